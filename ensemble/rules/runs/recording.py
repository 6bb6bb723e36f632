"""Taking down what happened without the ledger's word: attempts told late, and those a lapsed owner still holds."""

from __future__ import annotations

from collections.abc import Iterable

from ensemble.contract.exchange import Exchange, Reached, Remote
from ensemble.rules import lease
from ensemble.rules.addresses import attempt_at
from ensemble.rules.happenings import AttemptAdmitted
from ensemble.rules.records import Attempt
from ensemble.rules.runs import paying, under_way
from ensemble.rules.runs.working import Working

__all__ = ["NO_GENERATION", "note_reached", "record_late", "take_up_again"]

NO_GENERATION = -1
"""Of attempts no breaker was asked about: no breaker is ever in it, so none hears how they ended."""


def record_late(work: Working, said: Exchange, *, runs_it: bool) -> None:
    """Put attempts on record that went out while the ledger did not answer, whatever the limits say.

    A ticket that is known already stays as it is: its admission was written, and only the answer was lost. *runs_it*: the
    sender still runs the run; of others, no attempt takes a result away that somebody else may have got since.

    What others tell stands under the epoch they had, so that it hides nothing the run's own engine leaves under way. What
    they don't know the end of themselves stands under the present one: whoever takes the run over next has to hear of it.
    """
    work.draft.snapshot.require(attempt_at(work.run_id, ask.ticket) for ask in said.late)
    settled = {news.ticket for news in said.settle}
    theirs = lease.epoch_of(work.run, said.owner)
    for ask in said.late:
        if work.attempt(ask.ticket) is not None:
            continue
        if ask.again and runs_it:
            work.forget_step(ask.step)
        reserved, shares, charges = paying.reserve_late(work, ask)
        work.run = work.run.model_copy(update={"admitted": work.run.admitted + 1})
        work.enter(ask.ticket, ask.step)
        attempt = Attempt(
            ask=ask,
            number=work.run.admitted,
            epoch=theirs if ask.ticket in settled else work.run.epoch,
            generation=NO_GENERATION,
            reserved=reserved,
            shares=shares,
            charges=charges,
            admitted_ms=work.now_ms,
            late=True,
        )
        work.put_attempt(attempt)
        work.draft.tell(AttemptAdmitted(work.run_id, attempt))


def take_up_again(work: Working, tickets: Iterable[str]) -> None:
    """Let attempts run on that were given up as lost while their owner was not heard of: it is back, and holds them.

    What was booked for them is taken back, and the same is reserved again, over the limits if need be.
    """
    lost = tuple(ticket for ticket in tickets if ticket not in work.open)
    work.draft.snapshot.require(attempt_at(work.run_id, ticket) for ticket in lost)
    for ticket in lost:
        attempt = work.attempt(ticket)
        if attempt is None or attempt.settlement is not None or attempt.booking is None:
            continue
        if attempt.epoch != work.run.epoch:
            continue
        work.put_attempt(attempt.model_copy(update={**paying.revive(work, attempt), "settled_ms": None}))
        work.enter(ticket, attempt.ask.step)


def note_reached(work: Working, reached: Iterable[Reached]) -> None:
    """Keep what attempts under way have told about themselves; of others there is nothing to keep."""
    for each in reached:
        attempt = work.attempt(each.ticket)
        if attempt is not None and attempt.settlement is None:
            before = Remote() if attempt.remote is None else attempt.remote
            remote = before.model_copy(update=each.remote.model_dump(exclude_none=True))
            work.put_attempt(under_way.found_out(work, attempt.model_copy(update={"remote": remote})))
