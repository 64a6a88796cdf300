"""The two training stages of DeFRCN and RISF: base training and the few-shot stage."""
