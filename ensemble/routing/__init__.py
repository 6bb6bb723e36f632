"""Chooses one of several routes for a query: by rules, by nearness of meaning, by asking a model.

This folder's law: no I/O, no threads, no clock. Models and vectors stand behind ports; whoever decides by calling one is
an agent like any other, so that its calls are admitted and settled.
"""
