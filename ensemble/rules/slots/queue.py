"""Who gets the next free slot: every rule of the queue, and nothing else.

A slot is held in several *scopes* at once: of all calls, of a host, of an agent. Waiters stand in one line, ordered by a
score: when they came, earlier for a higher priority, later for each call their run has out or waiting before them. The
parts beside the time are bounded, so whoever waits long enough comes before all who come later: nobody starves. Free slots
are dealt out along the line; who needs a scope that is full is passed over, and keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GONE_MS", "PRIORITY_MS", "ROUND_MS", "Standing", "Waiter", "comes_after", "line", "stand"]

PRIORITY_MS = 10_000
"""What one step of priority is worth: so much longer waited, milliseconds."""
ROUND_MS = 1_000
"""What each call of the same run, out or before it in line, costs: so much shorter waited, milliseconds."""
MOST_ROUNDS = 60
GONE_MS = 5_000
"""After what time a waiter that has not asked again has left the line, milliseconds."""


class Waiter(BaseModel):
    """One call that waits for a slot."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ticket: str
    run: str
    scopes: dict[str, int] = Field(description="Each scope it needs a slot of, and how many slots that has.")
    priority: int = 0
    since_ms: int
    seen_ms: int = Field(description="When it asked last.")
    held: int = Field(default=0, description="How many calls its run had out when it asked last.")


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a waiter's turn has come, and if not, how many are before it and which scope is full."""

    admitted: bool
    before: int = 0
    full: str | None = None


def line(waiters: Iterable[Waiter], now_ms: int) -> tuple[Waiter, ...]:
    """Return those who still wait, in the order in which they are served."""
    here = sorted((w for w in waiters if now_ms - w.seen_ms < GONE_MS), key=_by_age)
    rounds: dict[str, int] = {}
    scored = []
    for waiter in here:
        ahead = rounds.get(waiter.run, 0)
        rounds[waiter.run] = ahead + 1
        score = _by_age(waiter)[0] + ROUND_MS * min(MOST_ROUNDS, waiter.held + ahead)
        scored.append((score, waiter.ticket, waiter))
    return tuple(waiter for *_, waiter in sorted(scored, key=lambda entry: entry[:2]))


def stand(waiters: Iterable[Waiter], used: Mapping[str, int], asker: Waiter, now_ms: int) -> Standing:
    """Return whether *asker* gets a slot in all its scopes now, with *used* slots taken in each scope."""
    taken = dict(used)
    before = 0
    for waiter in line((*(w for w in waiters if w.ticket != asker.ticket), asker), now_ms):
        full = next((scope for scope, limit in waiter.scopes.items() if taken.get(scope, 0) >= limit), None)
        if waiter.ticket == asker.ticket:
            return Standing(full is None, before, full)
        if full is None:
            for scope in waiter.scopes:
                taken[scope] = taken.get(scope, 0) + 1
        before += bool(waiter.scopes.keys() & asker.scopes.keys())
    return Standing(admitted=False)


def comes_after(waiter: Waiter, other: Waiter) -> bool:
    """Return whether *waiter*, of the same run as *other* and with as many calls out, stands behind it in line."""
    return _by_age(waiter) > _by_age(other)


def _by_age(waiter: Waiter) -> tuple[int, str]:
    return waiter.since_ms - PRIORITY_MS * waiter.priority, waiter.ticket
