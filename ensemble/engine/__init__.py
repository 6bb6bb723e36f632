"""Runs a plan: schedules steps, joins their results, retries what is worth it."""
