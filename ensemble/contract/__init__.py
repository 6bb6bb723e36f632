"""What is said between plugin and sidecar: every ask, every answer, and the table of endpoints.

This folder's law: pydantic and the standard library only; nothing of ours is imported from outside it.
"""
