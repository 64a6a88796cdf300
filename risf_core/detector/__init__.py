"""DeFRCN's network in plain torch: built, loaded, trained and run without detectron2."""
