"""The orchestrator: a task and a team in, a run's outcome out."""
