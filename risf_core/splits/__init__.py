"""Few-shot splits: which boxes of a dataset are the shots."""
