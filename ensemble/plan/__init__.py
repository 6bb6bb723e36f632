"""The plan language: what can be written, what is wrong with it, and the one model every form is read into.

This folder's law: no I/O, no threads, no clock. ``reading.read_plan`` is the way in, ``model.Plan`` what comes out.
"""
