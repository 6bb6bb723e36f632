"""Runs a plan: scheduling, joins, deadlines and retries, behind three ports (ledger, runner, agent).

This folder's law: no asyncio, no Flask, no Redis, no SDK, no HTTP. Time and chance enter at one place each.
"""
