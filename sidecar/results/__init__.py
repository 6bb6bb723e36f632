"""Keeps for a day what was too long for a workflow's variable."""
