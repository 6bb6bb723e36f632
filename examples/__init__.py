"""Ensemble at work, to be run and read."""
