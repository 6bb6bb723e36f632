"""Admitting attempts: budgets, slots, the breaker, and nothing written but a place in the line unless all say yes."""

from __future__ import annotations

from ensemble.contract.exchange import Admission, AdmissionAsk, Decision, Why
from ensemble.rules.breakers import breaker
from ensemble.rules.breakers.guarding import refusal
from ensemble.rules.budgets import budget
from ensemble.rules.budgets.budget import Verdict
from ensemble.rules.happenings import AttemptAdmitted, AttemptTurnedAway
from ensemble.rules.problems import Conflict
from ensemble.rules.records import Attempt, Breaker, Defaults, Share
from ensemble.rules.runs import nesting, paying
from ensemble.rules.runs import under_way as going
from ensemble.rules.runs.working import Working
from ensemble.rules.slots.queue import Standing, Waiter

__all__ = ["admit"]

SLOT_WAIT_MS = 40
"""When to ask again for a slot, for each that waits before, milliseconds."""
LONGEST_WAIT_MS = 1_000


def admit(work: Working, ask: AdmissionAsk, where: str, defaults: Defaults) -> Admission:
    """Decide one ask for admission; *where* names it in the exchange.

    Raises:
        NotRead: as any look at the records.
        Conflict: the ticket is known with another body.

    """
    told = _judged(work, ask, where, defaults)
    if told.decision in (Decision.WAIT, Decision.REFUSED):
        work.draft.tell(AttemptTurnedAway(work.run_id, ask, told.decision, told.why))
    return told


def _judged(work: Working, ask: AdmissionAsk, where: str, defaults: Defaults) -> Admission:
    told = _already_decided(work, ask, where)
    if told is not None:
        return told
    verdict = paying.afford(work, ask)
    if verdict.reserved is None:
        retry_after_ms = budget.RETRY_MS if verdict.decision is Decision.WAIT else verdict.retry_after_ms
        return _turned_away(
            work, ask, verdict.decision, Why.BUDGET, detail=verdict.detail, retry_after_ms=retry_after_ms
        )
    standing, asker = work.slots.ask(ask, work.run_id, len(work.open))
    if asker is not None and not standing.admitted:
        work.slots.wait(asker)
        return _wait(ask, standing)
    policy = work.breakers.policy(ask.identity, ask.breaker, defaults.breaker)
    before, dead_runs = work.breakers.without_the_dead(ask.identity, policy, (work.run_id, work.open))
    after_breaker, answer = breaker.admit(before, policy, work.now_ms, ask.ticket, work.run_id)
    if answer.decision is not Decision.ADMITTED:
        detail = refusal(ask.agent, before, answer)
        return _turned_away(work, ask, answer.decision, answer.why, detail=detail, retry_after_ms=answer.retry_after_ms)
    for address in dead_runs:
        work.draft.check(address)
    return _let_out(work, ask, verdict, asker, after_breaker)


def _already_decided(work: Working, ask: AdmissionAsk, where: str) -> Admission | None:
    """Return the answer where it does not depend on what is left: a ticket that is known, a step or a run that is over."""
    known = work.attempt(ask.ticket)
    if known is not None:
        if known.ask != ask:
            raise Conflict(f"{where}.ticket", f"{ask.ticket} was admitted with another body", "mint a new ticket")
        return _admitted(work, ask, known.shares)
    result = work.step(ask.step)
    if result is not None and not ask.again:
        return Admission(ticket=ask.ticket, decision=Decision.DONE, result=result)
    if work.run.cancelled:
        return Admission(
            ticket=ask.ticket, decision=Decision.REFUSED, why=Why.CANCELLED, detail="the run was cancelled"
        )
    round_again = nesting.refusal(work, ask)
    if round_again:
        return Admission(ticket=ask.ticket, decision=Decision.REFUSED, why=Why.RECURSION, detail=round_again)
    return None


def _turned_away(
    work: Working, ask: AdmissionAsk, decision: Decision, why: Why | None, *, detail: str, retry_after_ms: int | None
) -> Admission:
    """Answer one that may not go out now; it does not stand in line for a slot any more."""
    work.slots.leave_line(ask.ticket)
    return Admission(ticket=ask.ticket, decision=decision, why=why, detail=detail, retry_after_ms=retry_after_ms)


def _let_out(
    work: Working, ask: AdmissionAsk, verdict: Verdict, asker: Waiter | None, after_breaker: Breaker
) -> Admission:
    """Write down all that one takes that may go out."""
    changes = work.breakers.put(ask.identity, after_breaker)
    reserved, shares, charges = paying.reserve(work, verdict)
    app = going.into(work, ask.identity)
    attempt = Attempt(
        ask=ask,
        number=work.run.admitted + 1,
        epoch=work.run.epoch,
        generation=after_breaker.generation,
        reserved=reserved,
        shares=shares,
        charges=charges,
        into=app,
        slots=() if asker is None else work.slots.take(asker),
        admitted_ms=work.now_ms,
        breaker=changes,
    )
    if ask.again:
        work.forget_step(ask.step)
    _record(work, attempt)
    if app is not None:
        going.enter(work, ask, app, work.now_ms)
    work.agents.note(ask.identity, ask.agent)
    return _admitted(work, ask, shares)


def _wait(ask: AdmissionAsk, standing: Standing) -> Admission:
    scope = standing.full or ""
    where = {"all": "all places", f"agent:{ask.identity}": f"all places of {ask.agent}"}.get(
        scope, f"all places at {ask.host}"
    )
    others = f"; {standing.before} wait before it" if standing.before else ""
    return Admission(
        ticket=ask.ticket,
        decision=Decision.WAIT,
        why=Why.NO_SLOT,
        detail=f"{where} are taken{others}" if scope else f"{standing.before} wait before it",
        retry_after_ms=min(LONGEST_WAIT_MS, SLOT_WAIT_MS * (1 + standing.before)),
    )


def _admitted(work: Working, ask: AdmissionAsk, shares: tuple[Share, ...]) -> Admission:
    declared = work.agents.declared(ask.identity)
    priced = declared is not None and declared.price_per_1k is not None
    return Admission(
        ticket=ask.ticket,
        decision=Decision.ADMITTED,
        warnings=tuple(line for share in shares for line in work.named.warnings(share.name)),
        price_per_1k=declared.price_per_1k if declared is not None and priced else None,
        currency=declared.currency if declared is not None and priced else None,
    )


def _record(work: Working, attempt: Attempt) -> None:
    work.run = work.run.model_copy(update={"admitted": attempt.number})
    work.enter(attempt.ask.ticket, attempt.ask.step)
    work.put_attempt(attempt)
    work.draft.tell(AttemptAdmitted(work.run_id, attempt))
