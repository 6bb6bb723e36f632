"""Runs inside runs: whose call a run was opened in, and when that goes too far."""
