"""Runs of one step whose agent fails, for tests of what stands in for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ensemble.agents.port import Agent, Reply
from ensemble.contract.caching import CacheView
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import StepResult
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import LedgerUnavailable
from tests.ensemble.engine.kit import Played, bad, good, play

HOUR_MS = 3_600_000

FALLS = (
    Outcome.AGENT_FAILED,
    Outcome.THROTTLED,
    Outcome.UNAVAILABLE,
    Outcome.TIMED_OUT,
    Outcome.REJECTED,
    Outcome.MISCONFIGURED,
    Outcome.REFUSED,
)
STANDS = (Outcome.INPUT_REQUIRED, Outcome.CANCELLED, Outcome.UNCERTAIN, Outcome.SUCCEEDED)
REPLIED = tuple(outcome for outcome in FALLS if outcome is not Outcome.REFUSED)


class Shelf(Book):
    """A book whose clock can be set forward, and whose cache can be away."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.away = False
        self.looked = 0
        super().__init__(clock=lambda: time.time_ns() // 1_000_000 + self.ahead_ms)

    def cached(self, key: str) -> CacheView:
        self.looked += 1
        if self.away:
            raise LedgerUnavailable("away")
        return super().cached(key)


def one(agents: Mapping[str, Agent], *, book: Book | None = None, task: str = "do it", **fields: Any) -> Played:
    """Run one step of agent *a* with these *fields*; options of the run begin with ``run_``."""
    options = {name.removeprefix("run_"): fields.pop(name) for name in list(fields) if name.startswith("run_")}
    plan = {"steps": [{"id": "a", "agent": "a", **fields}], **options.pop("plan", {})}
    return play(plan, agents, ledger=book, task=task, **options)


def result(played: Played) -> StepResult:
    """Return the one step's result."""
    return played.by_step["a"]


def failing(outcome: Outcome) -> list[Reply]:
    """Return a script that answers once, and then ends so for ever."""
    return [good("before"), bad(outcome, retry=False, message=f"it was {outcome}")]
