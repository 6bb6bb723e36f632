"""Decides an exchange: what the ledger answers, and what has to be written for that to hold.

The same exchange, decided again after its changes were written, gives the same answer and writes nothing but a lease.
"""

from __future__ import annotations

from ensemble.contract.exchange import Exchange, ExchangeAnswer, Role, RunHead
from ensemble.contract.outcomes import RunStatus
from ensemble.rules import lease
from ensemble.rules.addresses import (
    ABOUT,
    ANSWER,
    LINEAGE,
    STEPS,
    agent_at,
    attempt_at,
    breaker_at,
    cached_at,
    run_at,
    run_key_at,
    step_at,
)
from ensemble.rules.lease import Standing
from ensemble.rules.problems import Conflict, UnknownRun
from ensemble.rules.records import About, Defaults, Run
from ensemble.rules.runs.admitting import admit
from ensemble.rules.runs.closing import close, stored_answer
from ensemble.rules.runs.losing import lose_attempts
from ensemble.rules.runs.nesting import nesting_wants
from ensemble.rules.runs.opening import open_run
from ensemble.rules.runs.recording import note_reached, record_late, take_up_again
from ensemble.rules.runs.settling import settle
from ensemble.rules.runs.working import Working, counters_at
from ensemble.rules.slots.drafted import SLOTS_WANTED
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot

__all__ = ["Conflict", "Defaults", "UnknownRun", "decide", "wanted"]

_ROLES = {
    Standing.NEW: Role.OWNER,
    Standing.OWNER: Role.OWNER,
    Standing.HEIR: Role.OWNER,
    Standing.REOPENER: Role.OWNER,
    Standing.FOLLOWER: Role.FOLLOWER,
    Standing.LATE: Role.FINISHED,
    Standing.SUPERSEDED: Role.SUPERSEDED,
}


def wanted(ask: Exchange) -> tuple[Address, ...]:
    """Return what to read before the first decision: all that *ask* itself names, which is mostly all there is."""
    run_id = ask.run_id
    addresses = [run_at(run_id), *counters_at(run_id)]
    if ask.open is not None:
        addresses += [run_key_at(ask.open.run_key, ask.open.fingerprint)]
        addresses += [run_at(run_id, field) for field in (ABOUT, STEPS, LINEAGE)]
        addresses += nesting_wants(ask.open)
    addresses += [attempt_at(run_id, wish.ticket) for wish in ask.late]
    addresses += [attempt_at(run_id, each.ticket) for each in ask.reached]
    addresses += [attempt_at(run_id, ticket) for ticket in ask.holding]
    if ask.close is not None:
        addresses += [run_at(run_id, field) for field in (ABOUT, ANSWER)]
        addresses += SLOTS_WANTED
    for news in ask.settle:
        addresses += [attempt_at(run_id, news.ticket), step_at(run_id, news.step)]
        if news.identity is not None:
            addresses.append(breaker_at(news.identity))
        if news.cache is not None:
            addresses.append(cached_at(news.cache.key))
    addresses += [step_at(run_id, result.step) for result in ask.ended]
    for wish in ask.admit:
        addresses += [attempt_at(run_id, wish.ticket), step_at(run_id, wish.step), breaker_at(wish.identity)]
        addresses += agent_at(wish.identity)
        if wish.host is not None:
            addresses += SLOTS_WANTED
    return tuple(dict.fromkeys(addresses))


def decide(ask: Exchange, snapshot: Snapshot, defaults: Defaults) -> tuple[ExchangeAnswer, Changes]:
    """Return the answer to *ask* and what has to be written for it to hold.

    Raises:
        NotRead: the snapshot lacks addresses; read them too and decide again.
        Conflict: a ticket is known with another body or not known at all, or the ask contradicts itself.
        UnknownRun: no such run is on record.

    """
    if ask.close is not None and ask.admit:
        raise Conflict("admit", "no attempt goes out of a run that is closed", "send no admissions together with close")
    draft = Draft(snapshot)
    standing, work = _load(draft, ask) if ask.open is None else open_run(draft, ask, ask.open, defaults)
    owner = _ROLES[standing] is Role.OWNER
    running = work.run.status is RunStatus.RUNNING
    resumed = owner and ask.open is not None and not ask.open.afterwards and work.run.epoch > 1
    kept, uncertain = (work.kept(), work.uncertain()) if resumed else ((), ())
    record_late(work, ask, runs_it=owner and running)
    note_reached(work, ask.reached)
    if owner and running:
        take_up_again(work, ask.holding)
    for number, news in enumerate(ask.settle):
        settle(work, news, f"settle.{number}", defaults, late=not (owner and running))
    if not (owner and running):
        lose_attempts(work, (wish.ticket for wish in ask.late))
    if owner and running:
        for result in ask.ended:
            work.put_step(result)
        if ask.close is not None:
            close(work, ask.close)
    admissions = tuple(admit(work, a, f"admit.{n}", defaults) for n, a in enumerate(ask.admit)) if owner else ()
    if owner and running and ask.close is None:
        work.run = lease.renew(work.run, work.now_ms, defaults.lease_ms)
    if owner:
        draft.check(run_at(work.run_id))
    work.finish(new=standing is Standing.NEW)
    answer = ExchangeAnswer(
        run=_head(work, standing, tell_trace=ask.open is not None),
        admissions=admissions,
        kept=kept,
        kept_epochs=work.epochs_of(kept) if kept else (),
        uncertain=uncertain,
        lost=_lost(ask, work) if owner else (),
        stored=stored_answer(work) if standing is Standing.LATE else None,
    )
    return answer, draft.changes()


def _load(draft: Draft, ask: Exchange) -> tuple[Standing, Working]:
    """Return the run as it stands, for an asker that says it runs it."""
    if ask.epoch is None:
        raise Conflict("epoch", "is missing", "send the epoch the ledger told when the run was opened")
    text = draft.text(run_at(ask.run_id))
    if text is None:
        raise UnknownRun(ask.run_id)
    work = Working(draft, ask.run_id, Run.model_validate_json(text))
    return lease.carry_on(work.run, ask.owner, ask.epoch, closing=ask.close is not None), work


def _head(work: Working, standing: Standing, *, tell_trace: bool) -> RunHead:
    about = work.draft.text(run_at(work.run_id, ABOUT)) if tell_trace else None
    return RunHead(
        run_id=work.run_id,
        epoch=work.run.epoch,
        role=_ROLES[standing],
        lease_ms=lease.left_ms(work.run, work.now_ms),
        trace_id=None if about is None else About.model_validate_json(about).trace_id,
        cancelled=work.run.cancelled,
    )


def _lost(ask: Exchange, work: Working) -> tuple[str, ...]:
    """Return the tickets the asker believes to hold, does not settle right now, and does not hold."""
    settled = {news.ticket for news in ask.settle}
    return tuple(ticket for ticket in ask.holding if ticket not in work.open and ticket not in settled)
