"""What those who watch a run are told, and that they never wait long for a word."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from ensemble.engine.events import Event, Progress
from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase

__all__ = ["HEARTBEAT_S", "Watching"]

HEARTBEAT_S = 30.0
"""Something is told at least this often: Dify and those who watch must not take silence for death."""


class Watching:
    """Hands on the news of the run of *state*."""

    def __init__(self, state: RunState) -> None:
        """Begin with nothing told."""
        self._state = state
        self._told_s = time.monotonic()

    def due_s(self) -> float:
        """Return when, by the monotonic clock, a word is due though there be no news."""
        return self._told_s + HEARTBEAT_S

    def tell(self) -> Generator[Event, None, None]:
        """Yield what there is to say, or that we are still here."""
        state, now = self._state, time.monotonic()
        if not state.news and now >= self.due_s():
            running = ", ".join(step.step.id for step in state.in_phase(Phase.RUNNING)) or "nothing yet"
            state.say(f"still running: {running}")
        while state.news:
            self._told_s = now
            event = state.news.popleft()
            yield replace(event, more=True) if isinstance(event, Progress) and state.news else event
