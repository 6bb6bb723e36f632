"""Slots: who gets the next free one, and what is written for that."""
