"""Fits results into a window of tokens, counted as the models count."""
