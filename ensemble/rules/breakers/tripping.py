"""When a closed breaker opens, and for how long it stays open: failures in a row, rates over a window, slow calls."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ensemble.contract.breakers import BreakerCause, BreakerPolicy
from ensemble.contract.outcomes import Outcome
from ensemble.rules.records import Breaker

__all__ = ["FAILURES", "Counts", "fewest_calls", "is_slow", "open_ms", "trips", "watches", "window_shape"]

FAILURES = frozenset({Outcome.AGENT_FAILED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT})
"""The outcomes that speak against an agent's health; what is neither these nor a success is neutral."""


WINDOW_SLOTS = 10
"""A window moves by tenths: it holds between nine and ten tenths of its size."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a window holds, the call just settled included."""

    calls: int = 0
    """Successes and failures; neutral outcomes do not count."""
    failures: int = 0
    slow: int = 0


def trips(after: Breaker, policy: BreakerPolicy, outcome: Outcome, counts: Counts | None) -> BreakerCause | None:
    """Return why a closed breaker opens now, None if it does not."""
    if outcome in FAILURES and after.failures >= policy.failure_threshold:
        return BreakerCause.FAILURES
    if counts is None or counts.calls < fewest_calls(policy):
        return None
    for part, threshold, cause in (
        (counts.failures, policy.failure_rate_threshold, BreakerCause.FAILURE_RATE),
        (counts.slow, policy.slow_call_rate_threshold, BreakerCause.SLOW_CALLS),
    ):
        if threshold is not None and 100 * part >= threshold * counts.calls:
            return cause
    return None


def watches(policy: BreakerPolicy) -> bool:
    """Return whether *policy* judges rates, for which calls have to be counted."""
    return policy.failure_rate_threshold is not None or policy.slow_call_rate_threshold is not None


def is_slow(policy: BreakerPolicy, took_ms: int) -> bool:
    """Return whether a call that took so long is slow."""
    return took_ms >= policy.slow_call_duration_threshold * 1000


def window_shape(policy: BreakerPolicy) -> tuple[int, int]:
    """Return how many slots the policy's window has, and how many calls, or milliseconds, each is for."""
    if policy.sliding_window_type == "time_based":
        return WINDOW_SLOTS, policy.sliding_window_size * 1000 // WINDOW_SLOTS
    slots = min(WINDOW_SLOTS, policy.sliding_window_size)
    return slots, -(-policy.sliding_window_size // slots)


def fewest_calls(policy: BreakerPolicy) -> int:
    """Return how many calls have to be in the window before a rate is judged: never more than it surely holds."""
    if policy.sliding_window_type == "time_based":
        return policy.minimum_number_of_calls
    slots, each = window_shape(policy)
    return min(policy.minimum_number_of_calls, (slots - 1) * each + 1)


def open_ms(breaker: Breaker, policy: BreakerPolicy) -> int:
    """Return how long an open breaker stays open, milliseconds.

    It grows with every trip that was not healed, is moved by chance, and never passes the cap. The chance is drawn from
    the trip itself, so that every process that asks draws the same.
    """
    cap = policy.exponential_max_wait_duration_in_open_state
    seconds = min(cap, policy.recovery_timeout)
    for _ in range(1, breaker.trips):
        seconds *= policy.exponential_backoff_multiplier
        if seconds >= cap or policy.exponential_backoff_multiplier == 1:
            break
    if policy.randomized_wait_factor:
        drawn = sha256(f"{breaker.generation}.{breaker.opened_ms}".encode()).digest()
        chance = int.from_bytes(drawn[:6]) / 2**48
        seconds *= 1 + policy.randomized_wait_factor * (2 * chance - 1)
    return int(min(cap, seconds) * 1000)
