"""Admitting attempts: the budget first, then the breaker, and nothing written unless both say yes."""

from __future__ import annotations

from ensemble.contract.exchange import Admission, AdmissionAsk, Decision, Why
from ensemble.rules import breaker, budget
from ensemble.rules.addresses import run_hash
from ensemble.rules.guarding import refusal
from ensemble.rules.problems import Conflict
from ensemble.rules.records import Amounts, Attempt, Defaults
from ensemble.rules.snapshot import Address
from ensemble.rules.working import Working

__all__ = ["admit"]


def admit(work: Working, ask: AdmissionAsk, where: str, defaults: Defaults) -> Admission:
    """Decide one ask for admission; *where* names it in the exchange.

    Raises:
        NotRead: as any look at the records.
        Conflict: the ticket is known with another body.

    """
    known = work.attempt(ask.ticket)
    if known is not None:
        if known.ask != ask:
            raise Conflict(f"{where}.ticket", f"{ask.ticket} was admitted with another body", "mint a new ticket")
        return Admission(ticket=ask.ticket, decision=Decision.ADMITTED)
    result = work.step(ask.step)
    if result is not None:
        return Admission(ticket=ask.ticket, decision=Decision.DONE, result=result)
    if work.run.cancelled:
        return Admission(
            ticket=ask.ticket, decision=Decision.REFUSED, why=Why.CANCELLED, detail="the run was cancelled"
        )
    after, verdict = budget.admit(
        work.budget, work.run.limits, work.run.max_parallel, max_tokens=ask.max_tokens, timeout_ms=ask.timeout_ms
    )
    if verdict.reserved is None:
        retry_after_ms = budget.RETRY_MS if verdict.decision is Decision.WAIT else None
        return Admission(
            ticket=ask.ticket,
            decision=verdict.decision,
            why=Why.BUDGET,
            detail=verdict.detail,
            retry_after_ms=retry_after_ms,
        )
    policy = work.breakers.policy(ask.identity, ask.breaker, defaults.breaker)
    before, dead_runs = work.breakers.without_the_dead(ask.identity, policy, (work.run_id, work.run))
    after_breaker, answer = breaker.admit(before, policy, work.now_ms, ask.ticket, work.run_id)
    if answer.decision is not Decision.ADMITTED:
        return Admission(
            ticket=ask.ticket,
            decision=answer.decision,
            why=answer.why,
            detail=refusal(ask.agent, before, answer),
            retry_after_ms=answer.retry_after_ms,
        )
    for address in dead_runs:
        work.draft.check(address)
    work.breakers.put(ask.identity, after_breaker)
    work.budget = after
    _bound(work)
    _record(work, ask, after_breaker.generation, verdict.reserved)
    return Admission(ticket=ask.ticket, decision=Decision.ADMITTED)


def _bound(work: Working) -> None:
    """Let the commit fail if others have spent meanwhile what was just reserved."""
    key, limits = run_hash(work.run_id), work.run.limits
    ms = None if limits.seconds is None else limits.seconds * 1000
    for unit, limit in (("tokens", limits.tokens), ("calls", limits.calls), ("ms", ms)):
        if limit is not None:
            work.draft.bound((Address(key, f"{unit}_committed"), Address(key, f"{unit}_reserved")), limit)


def _record(work: Working, ask: AdmissionAsk, generation: int, reserved: Amounts) -> None:
    run = work.run
    work.run = run.model_copy(update={"open": {**run.open, ask.ticket: ask.step}, "admitted": run.admitted + 1})
    work.put_attempt(
        Attempt(
            ask=ask,
            number=work.run.admitted,
            epoch=run.epoch,
            generation=generation,
            reserved=reserved,
            admitted_ms=work.now_ms,
        )
    )
