"""What becomes of attempts whose owner is gone: booked as the run wishes, their probes given back."""

from __future__ import annotations

from ensemble.rules import budget
from ensemble.rules.addresses import attempt_at
from ensemble.rules.working import Working

__all__ = ["lose_open_attempts"]


def lose_open_attempts(work: Working) -> None:
    """Give up every attempt still under way: nobody knows how it ended, and nobody will wait for it."""
    work.draft.snapshot.require(attempt_at(work.run_id, ticket) for ticket in work.run.open)
    for ticket in work.run.open:
        attempt = work.attempt(ticket)
        if attempt is None or attempt.booking is not None:
            continue
        work.budget, booking = budget.lose(work.budget, attempt.reserved, work.run.on_lost)
        work.put_attempt(attempt.model_copy(update={"booking": booking, "settled_ms": work.now_ms}))
        work.free_probes(attempt.ask.identity, (ticket,))
    work.run = work.run.model_copy(update={"open": {}})
