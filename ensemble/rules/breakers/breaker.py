"""Every rule that moves a circuit breaker, and nothing else.

A call admitted while closed is told by its generation alone; a call admitted while half-open is a *probe* and holds one
of few places. Every change of state begins a new generation, and news of an earlier one changes nothing. What only time
brings about (a force that ends, a half-open state that takes too long) is seen by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ensemble.contract.breakers import BreakerCause, BreakerForcing, BreakerPolicy, BreakerState, Forced
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.breakers.tripping import FAILURES, Counts, is_slow, open_ms, trips, watches
from ensemble.rules.records import Breaker

__all__ = [
    "COOLING_MS",
    "MAX_COOLING_MS",
    "PROBE_WAIT_MS",
    "Verdict",
    "admit",
    "counted",
    "force",
    "free",
    "settle",
]

COOLING_MS = 1_000
"""How long a throttled agent is left in peace if it named no time, milliseconds."""
MAX_COOLING_MS = 3_600_000
"""The longest time a throttled agent is left in peace, whatever it asked for, milliseconds."""
PROBE_WAIT_MS = 500
"""When to ask again while all probes are out, milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go out, and if not, why and for how long."""

    decision: Decision
    why: Why | None = None
    retry_after_ms: int | None = None
    """None where nobody knows when."""


_ADMITTED = Verdict(Decision.ADMITTED)


def admit(before: Breaker, policy: BreakerPolicy, now_ms: int, ticket: str, holder: str) -> tuple[Breaker, Verdict]:
    """Return the breaker after one ask for admission, and the verdict.

    An open breaker whose time has passed turns half-open for the first who asks. The asker's *policy* says how long
    that time is and how many probes may be out. *holder* is whose the call is, as the record keeps it of a probe. A
    breaker that says no stays as it is.
    """
    now = _aged(before, policy, now_ms)
    forced = now.forced
    if forced is not None and forced.state is Forced.OPEN:
        left_ms = None if forced.until_ms is None else forced.until_ms - now_ms
        return before, Verdict(Decision.REFUSED, Why.BREAKER_OPEN, left_ms)
    if forced is not None and forced.state is Forced.DISABLED:
        return now, _ADMITTED
    if now.state is BreakerState.OPEN:
        left_ms = (now.opened_ms or 0) + open_ms(now, policy) - now_ms
        if left_ms > 0:
            return before, Verdict(Decision.REFUSED, Why.BREAKER_OPEN, left_ms)
    if now_ms < now.cooling_until_ms:
        return before, Verdict(Decision.WAIT, Why.COOLING, now.cooling_until_ms - now_ms)
    if now.state is BreakerState.CLOSED:
        return now, _ADMITTED
    if now.state is BreakerState.OPEN:
        now = _enter(now, BreakerState.HALF_OPEN, BreakerCause.RECOVERY, now_ms)
    if len(now.probes) >= policy.half_open_probes:
        return before, Verdict(Decision.REFUSED, Why.BREAKER_OPEN, PROBE_WAIT_MS)
    return now.model_copy(update={"probes": {**now.probes, ticket: holder}}), _ADMITTED


def settle(
    before: Breaker,
    policy: BreakerPolicy,
    now_ms: int,
    *,
    ticket: str,
    generation: int,
    outcome: Outcome,
    took_ms: int = 0,
    retry_after_ms: int | None = None,
    counts: Counts | None = None,
) -> Breaker:
    """Return the breaker after the news that *ticket*, admitted under *generation*, ended with *outcome*.

    While half-open only tickets that still hold a probe's place are heard: a place that was given away, because its
    holder's lease had ended, decides nothing any more. *counts*: the window with this call in it, where
    :func:`counted` says that it belongs there.
    """
    now = _aged(before, policy, now_ms)
    if not _heard(now, ticket, generation):
        return before
    half_open = now.state is BreakerState.HALF_OPEN
    after = free(now, (ticket,))
    if outcome is Outcome.THROTTLED:
        cooling_ms = min(COOLING_MS if retry_after_ms is None else retry_after_ms, MAX_COOLING_MS)
        return after.model_copy(update={"cooling_until_ms": max(after.cooling_until_ms, now_ms + cooling_ms)})
    slow = policy.slow_call_rate_threshold is not None and is_slow(policy, took_ms)
    if half_open and (outcome in FAILURES or (outcome is Outcome.SUCCEEDED and slow)):
        return _enter(after, BreakerState.OPEN, BreakerCause.PROBE_FAILED, now_ms)
    if half_open and outcome is Outcome.SUCCEEDED:
        return _half_open_success(after, policy, now_ms)
    if outcome in FAILURES:
        after = after.model_copy(update={"failures": after.failures + 1})
    elif outcome is Outcome.SUCCEEDED and after.failures:
        after = after.model_copy(update={"failures": 0})
    cause = None if after.forced is not None else trips(after, policy, outcome, counts)
    return after if cause is None else _enter(after, BreakerState.OPEN, cause, now_ms)


def counted(
    before: Breaker, policy: BreakerPolicy, now_ms: int, *, ticket: str, generation: int, outcome: Outcome
) -> bool:
    """Return whether a call belongs into the window of *policy*: heard while closed and not held by an operator."""
    now = _aged(before, policy, now_ms)
    return (
        watches(policy)
        and _heard(now, ticket, generation)
        and now.state is BreakerState.CLOSED
        and now.forced is None
        and (outcome in FAILURES or outcome is Outcome.SUCCEEDED)
    )


def force(before: Breaker, forcing: BreakerForcing | None, now_ms: int) -> Breaker:
    """Return the breaker as an operator holds it from now on; None lets it go, closed."""
    held_open = forcing is not None and forcing.state is Forced.OPEN
    state = BreakerState.OPEN if held_open else BreakerState.CLOSED
    return _enter(before, state, BreakerCause.OPERATOR, now_ms).model_copy(update={"forced": forcing})


def free(before: Breaker, tickets: Iterable[str]) -> Breaker:
    """Return the breaker with the probes' places of *tickets* given back, and nothing else changed."""
    gone = before.probes.keys() & set(tickets)
    if not gone:
        return before
    return before.model_copy(update={"probes": {t: holder for t, holder in before.probes.items() if t not in gone}})


def _heard(now: Breaker, ticket: str, generation: int) -> bool:
    if generation != now.generation or (now.forced is not None and now.forced.state is Forced.DISABLED):
        return False
    return now.state is not BreakerState.HALF_OPEN or ticket in now.probes


def _aged(before: Breaker, policy: BreakerPolicy, now_ms: int) -> Breaker:
    """Return the breaker as time alone has left it: let go by an operator, or back from a half-open state too long."""
    forced = before.forced
    if forced is not None:
        if forced.until_ms is None or now_ms < forced.until_ms:
            return before
        return _enter(before, BreakerState.CLOSED, BreakerCause.FORCE_ENDED, now_ms).model_copy(update={"forced": None})
    wait_ms = int(policy.max_wait_duration_in_half_open_state * 1000)
    if before.state is not BreakerState.HALF_OPEN or not wait_ms or before.half_open_ms is None:
        return before
    ends_ms = before.half_open_ms + wait_ms
    if now_ms < ends_ms:
        return before
    return _enter(before, BreakerState.OPEN, BreakerCause.PROBES_TOO_LONG, ends_ms)


def _half_open_success(after: Breaker, policy: BreakerPolicy, now_ms: int) -> Breaker:
    successes = after.successes + 1
    if successes >= policy.success_threshold:
        return _enter(after, BreakerState.CLOSED, BreakerCause.HEALED, now_ms)
    return after.model_copy(update={"successes": successes})


def _enter(before: Breaker, state: BreakerState, cause: BreakerCause, now_ms: int) -> Breaker:
    """Begin a new generation in *state* with fresh counts; the only place where a state changes."""
    opens = state is BreakerState.OPEN
    return before.model_copy(
        update={
            "state": state,
            "generation": before.generation + 1,
            "failures": 0,
            "successes": 0,
            "probes": {},
            "opened_ms": now_ms if opens else before.opened_ms,
            "half_open_ms": now_ms if state is BreakerState.HALF_OPEN else None,
            "trips": 0 if state is BreakerState.CLOSED else before.trips + opens,
            "cause": cause,
        }
    )
