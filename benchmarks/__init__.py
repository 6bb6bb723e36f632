"""Measures Ensemble beside other people's engines and breakers, in interleaved runs on this machine's loopback only."""
