"""What becomes of a run and its attempts whose engine is gone: booked as the run wishes, their probes given back."""

from __future__ import annotations

from collections.abc import Iterable

from ensemble.rules.addresses import attempt_at
from ensemble.rules.happenings import AttemptLost, EngineLost
from ensemble.rules.runs import paying
from ensemble.rules.runs.working import Working

__all__ = ["lose_attempts", "lose_engine", "lose_open_attempts"]


def lose_engine(work: Working) -> None:
    """Take note that the lease of a run's engine has ended; whoever comes later does not note it again."""
    if not work.run.lapsed:
        work.draft.tell(EngineLost(work.run_id, work.run))
        work.run = work.run.model_copy(update={"lapsed": True})


def lose_open_attempts(work: Working) -> None:
    """Give up every attempt still under way: nobody knows how it ended, and nobody will wait for it."""
    lose_attempts(work, work.open)


def lose_attempts(work: Working, tickets: Iterable[str]) -> None:
    """Give up those of *tickets* that are under way."""
    lost = tuple(ticket for ticket in tickets if ticket in work.open)
    work.draft.snapshot.require(attempt_at(work.run_id, ticket) for ticket in lost)
    for ticket in lost:
        work.leave(ticket)
        attempt = work.attempt(ticket)
        if attempt is None or attempt.booking is not None:
            continue
        attempt = attempt.model_copy(update={**paying.lose(work, attempt), "settled_ms": work.now_ms})
        work.put_attempt(attempt)
        work.draft.tell(AttemptLost(work.run_id, attempt))
        work.breakers.free_probes(attempt.ask.identity, (ticket,))
