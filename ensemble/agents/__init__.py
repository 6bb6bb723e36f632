"""Calls a sub-agent: the port, the Service API client, reading answers and judging failures."""
