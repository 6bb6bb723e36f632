"""Calls of no run behind a breaker, and what an operator does to one: forces it, lets it go, gives it a policy."""

from __future__ import annotations

from ensemble.contract.breakers import BreakerCause, BreakerForce, BreakerForcing, BreakerPolicyAsk, BreakerView
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.guarding import CallAdmission, CallAsk, CallNews, CallSettled
from ensemble.rules.addresses import breaker_at, breaker_changes_at, call_at
from ensemble.rules.breakers import breaker
from ensemble.rules.breakers.drafted import DraftedBreakers
from ensemble.rules.breakers.view import breaker_view
from ensemble.rules.problems import Conflict, UnknownCall
from ensemble.rules.records import Breaker, Call, Defaults
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot

__all__ = ["admit_call", "force", "operator_wants", "refusal", "set_policy", "settle_call"]

CALL_KEPT_MS = 3_600_000
"""How long a guarded call is kept beyond its lease, so that it can still be settled, milliseconds."""


def admit_call(ask: CallAsk, ticket: str, snapshot: Snapshot, defaults: Defaults) -> tuple[CallAdmission, Changes]:
    """Decide whether a call may go out under *ticket*, and what has to be written.

    Raises:
        NotRead: as any look at the records.
        Conflict: the ticket is known with another body.

    """
    draft, at = Draft(snapshot), call_at(ask.identity, ticket)
    snapshot.require((at, breaker_at(ask.identity)))
    drafted = DraftedBreakers(draft)
    text = draft.text(at)
    before = drafted.get(ask.identity)
    if text is not None:
        if Call.model_validate_json(text).ask != ask:
            raise Conflict("ticket", f"{ticket} was admitted with another body", "take a new ticket")
        return _answer(ticket, before, breaker.Verdict(Decision.ADMITTED)), draft.changes()
    policy = drafted.policy(ask.identity, ask.breaker, defaults.breaker)
    before, looked_at = drafted.without_the_dead(ask.identity, policy)
    lease_ms = int(ask.lease_s * 1000)
    after, verdict = breaker.admit(before, policy, draft.now_ms, ticket, str(draft.now_ms + lease_ms))
    if verdict.decision is not Decision.ADMITTED:
        return _answer(ticket, before, verdict, refusal(ask.identity, before, verdict)), Changes()
    for address in looked_at:
        draft.check(address)
    drafted.put(ask.identity, after)
    drafted.finish()
    draft.put(at, Call(ask=ask, generation=after.generation).model_dump_json(exclude_defaults=True))
    draft.expire(at.key, lease_ms + CALL_KEPT_MS)
    return _answer(ticket, after, verdict), draft.changes()


def settle_call(news: CallNews, snapshot: Snapshot, defaults: Defaults) -> tuple[CallSettled, Changes]:
    """Take the first news of how a guarded call ended; any later ones change nothing.

    Raises:
        NotRead: as any look at the records.
        UnknownCall: it was never admitted, or its time to be kept has passed.

    """
    draft, at = Draft(snapshot), call_at(news.identity, news.ticket)
    snapshot.require((at, breaker_at(news.identity)))
    text = draft.text(at)
    if text is None:
        raise UnknownCall(news.ticket)
    call, drafted = Call.model_validate_json(text), DraftedBreakers(draft)
    if call.outcome is None:
        call = call.model_copy(update={"outcome": news.outcome})
        draft.put(at, call.model_dump_json(exclude_defaults=True))
        drafted.settle(
            news.identity,
            drafted.policy(news.identity, call.ask.breaker, defaults.breaker),
            ticket=news.ticket,
            generation=call.generation,
            outcome=news.outcome,
            took_ms=news.took_ms,
            retry_after_ms=news.retry_after_ms,
        )
        drafted.finish()
    state, outcome = drafted.get(news.identity).state, call.outcome or news.outcome
    return CallSettled(ticket=news.ticket, state=state, outcome=outcome), draft.changes()


def operator_wants(identity: str) -> tuple[Address, ...]:
    """Return what to read before the first decision of :func:`force` or :func:`set_policy`."""
    return breaker_at(identity), breaker_changes_at(identity)


def force(identity: str, ask: BreakerForce, snapshot: Snapshot) -> tuple[BreakerView, Changes]:
    """Hold a breaker as *ask* says, or let it go. Raises NotRead."""
    draft = Draft(snapshot)
    until_ms = None if ask.seconds is None else draft.now_ms + int(ask.seconds * 1000)
    forcing = None if ask.state is None else BreakerForcing(state=ask.state, until_ms=until_ms, reason=ask.reason)
    before = DraftedBreakers(draft).get(identity)
    same = before.forced == forcing and forcing is not None
    return _operated(draft, identity, before if same else breaker.force(before, forcing, draft.now_ms))


def set_policy(identity: str, ask: BreakerPolicyAsk, snapshot: Snapshot) -> tuple[BreakerView, Changes]:
    """Judge an agent's calls by an operator's policy from now on, or by none. Raises NotRead."""
    draft = Draft(snapshot)
    before = DraftedBreakers(draft).get(identity)
    return _operated(draft, identity, before.model_copy(update={"policy": ask.policy}))


def refusal(name: str, before: Breaker, verdict: breaker.Verdict) -> str:
    """Return in words why a breaker lets no call to *name* pass."""
    left_ms, forced = verdict.retry_after_ms, before.forced
    seconds = (left_ms or 0) / 1000
    if verdict.why is Why.COOLING:
        return f"{name} asked for time; its calls wait {seconds:.1f} s more"
    if forced is not None:
        how_long = "until that is taken back" if left_ms is None else f"for {seconds:.1f} s more"
        reason = f" ({forced.reason})" if forced.reason else ""
        return f"{name} was isolated by an operator{reason}, {how_long}"
    cause = _CAUSES.get(before.cause or BreakerCause.FAILURES, "repeated failures")
    return f"{name} is isolated after {cause}; the next try may go out in {seconds:.1f} s"


_CAUSES = {
    BreakerCause.FAILURE_RATE: "too many failures",
    BreakerCause.SLOW_CALLS: "too many slow calls",
    BreakerCause.PROBE_FAILED: "a failed probe",
}


def _answer(ticket: str, after: Breaker, verdict: breaker.Verdict, detail: str = "") -> CallAdmission:
    return CallAdmission(
        ticket=ticket,
        admitted=verdict.decision is Decision.ADMITTED,
        decision=verdict.decision,
        state=after.state,
        why=verdict.why,
        detail=detail,
        retry_after_ms=verdict.retry_after_ms,
    )


def _operated(draft: Draft, identity: str, after: Breaker) -> tuple[BreakerView, Changes]:
    drafted = DraftedBreakers(draft)
    drafted.put(identity, after)
    drafted.finish()
    changes = draft.text(breaker_changes_at(identity))
    return breaker_view(identity, after.model_dump_json(), draft.now_ms, changes), draft.changes()
