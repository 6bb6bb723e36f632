"""Which of the things that may stand in for an agent are tried after a final failure, and in which order."""

from __future__ import annotations

from enum import Enum, auto

from ensemble.contract.exchange import Why
from ensemble.contract.outcomes import Outcome

__all__ = ["StandIn", "stand_ins"]

_FALLS = frozenset(
    {
        Outcome.AGENT_FAILED,
        Outcome.THROTTLED,
        Outcome.UNAVAILABLE,
        Outcome.TIMED_OUT,
        Outcome.REJECTED,
        Outcome.MISCONFIGURED,
        Outcome.REFUSED,
    }
)
"""What something may stand in for. Not for what we ended ourselves, what waits for a human, or what may have worked."""
_ENDED = frozenset({Why.CANCELLED, Why.SUPERSEDED})
"""Refusals that mean the run, not the agent."""


class StandIn(Enum):
    """One thing that may stand in for an agent."""

    CACHE = auto()
    """An answer it gave before, fresh or stale."""
    BACKUP = auto()
    """The next agent of the chain."""
    DEFAULT = auto()
    """The plan's value."""


def stand_ins(
    outcome: Outcome,
    why: Why | None = None,
    *,
    first: bool = True,
    cached: bool = False,
    backup: bool = False,
    default: bool = False,
    in_time: bool = True,
) -> tuple[StandIn, ...]:
    """Return what to try now, in this order; nothing: the failure stands.

    Args:
        outcome: How the last attempt ended, once no retry followed it.
        why: Of a refusal.
        first: Whether it was the plan's own agent that failed; only its answers are kept.
        cached: Whether the step's answers are kept at all.
        backup: Whether there is another agent to ask.
        default: Whether there is a value.
        in_time: Whether an attempt may still begin before the run's deadline.

    """
    if outcome not in _FALLS or why in _ENDED:
        return ()
    wanted = {StandIn.CACHE: first and cached, StandIn.BACKUP: backup and in_time, StandIn.DEFAULT: default}
    return tuple(each for each, there in wanted.items() if there)
