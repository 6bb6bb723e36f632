"""Every rule that moves a circuit breaker, and nothing else.

A call admitted while closed is told by its generation alone; a call admitted while half-open is a *probe* and holds one
of few places. Every change of state begins a new generation, and news of an earlier one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.records import Breaker

__all__ = ["COOLING_MS", "MAX_COOLING_MS", "PROBE_WAIT_MS", "Verdict", "admit", "free", "settle"]

COOLING_MS = 1_000
"""How long a throttled agent is left in peace if it named no time, milliseconds."""
MAX_COOLING_MS = 3_600_000
"""The longest time a throttled agent is left in peace, whatever it asked for, milliseconds."""
PROBE_WAIT_MS = 500
"""When to ask again while all probes are out, milliseconds."""

FAILURES = frozenset({Outcome.AGENT_FAILED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT})
"""The outcomes that speak against an agent's health; what is neither these nor a success is neutral."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go out, and if not, why and for how long."""

    decision: Decision
    why: Why | None = None
    retry_after_ms: int | None = None


_ADMITTED = Verdict(Decision.ADMITTED)


def admit(before: Breaker, policy: BreakerPolicy, now_ms: int, ticket: str, run_id: str) -> tuple[Breaker, Verdict]:
    """Return the breaker after one ask for admission, and the verdict.

    An open breaker whose recovery timeout has passed turns half-open for the first who asks. The asker's *policy* says
    how long that timeout is and how many probes may be out. A breaker that says no stays as it is.
    """
    if before.state is BreakerState.OPEN:
        left_ms = (before.opened_ms or 0) + int(policy.recovery_timeout * 1000) - now_ms
        if left_ms > 0:
            return before, Verdict(Decision.REFUSED, Why.BREAKER_OPEN, left_ms)
    if now_ms < before.cooling_until_ms:
        return before, Verdict(Decision.WAIT, Why.COOLING, before.cooling_until_ms - now_ms)
    if before.state is BreakerState.CLOSED:
        return before, _ADMITTED
    half_open = before if before.state is BreakerState.HALF_OPEN else _enter(before, BreakerState.HALF_OPEN, now_ms)
    if len(half_open.probes) >= policy.half_open_probes:
        return before, Verdict(Decision.REFUSED, Why.BREAKER_OPEN, PROBE_WAIT_MS)
    return half_open.model_copy(update={"probes": {**half_open.probes, ticket: run_id}}), _ADMITTED


def settle(
    before: Breaker,
    policy: BreakerPolicy,
    now_ms: int,
    *,
    ticket: str,
    generation: int,
    outcome: Outcome,
    retry_after_ms: int | None = None,
) -> Breaker:
    """Return the breaker after the news that *ticket*, admitted under *generation*, ended with *outcome*.

    While half-open only tickets that still hold a probe's place are heard: a place that was given away, because its
    holder's lease had ended, decides nothing any more.
    """
    if generation != before.generation:
        return before
    half_open = before.state is BreakerState.HALF_OPEN
    if half_open and ticket not in before.probes:
        return before
    after = free(before, (ticket,))
    if outcome is Outcome.THROTTLED:
        cooling_ms = min(COOLING_MS if retry_after_ms is None else retry_after_ms, MAX_COOLING_MS)
        return after.model_copy(update={"cooling_until_ms": max(after.cooling_until_ms, now_ms + cooling_ms)})
    if outcome is Outcome.SUCCEEDED:
        if half_open:
            return _half_open_success(after, policy, now_ms)
        return after.model_copy(update={"failures": 0}) if after.failures else after
    if outcome in FAILURES:
        failures = after.failures + 1
        if half_open or failures >= policy.failure_threshold:
            return _enter(after, BreakerState.OPEN, now_ms)
        return after.model_copy(update={"failures": failures})
    return after


def free(before: Breaker, tickets: Iterable[str]) -> Breaker:
    """Return the breaker with the probes' places of *tickets* given back, and nothing else changed."""
    gone = before.probes.keys() & set(tickets)
    if not gone:
        return before
    return before.model_copy(update={"probes": {t: run for t, run in before.probes.items() if t not in gone}})


def _half_open_success(after: Breaker, policy: BreakerPolicy, now_ms: int) -> Breaker:
    successes = after.successes + 1
    if successes >= policy.success_threshold:
        return _enter(after, BreakerState.CLOSED, now_ms)
    return after.model_copy(update={"successes": successes})


def _enter(before: Breaker, state: BreakerState, now_ms: int) -> Breaker:
    """Begin a new generation in *state* with fresh counts; the only place where a state changes."""
    return Breaker(
        state=state,
        generation=before.generation + 1,
        opened_ms=now_ms if state is BreakerState.OPEN else before.opened_ms,
        cooling_until_ms=before.cooling_until_ms,
    )
