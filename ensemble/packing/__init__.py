"""Fits several texts into a window of tokens, and accounts for every character of them.

The law of this folder: nothing here reads a clock, draws chance or does I/O; who counts tokens is an argument.
"""
