"""Whether a failed attempt is worth another one, and when: the only retry layer there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ensemble.agents.port import Reply
from ensemble.contract.outcomes import Outcome

__all__ = ["Retry", "Tally", "next_try"]

BASE_DELAY_S = 0.5
MAX_DELAY_S = 20.0
UNAVAILABLE_RETRIES = 2
"""A call that surely never arrived is tried again this often even where the builder asked for no retry."""
THROTTLED_RETRIES = 5
"""A throttled agent asked for time; doing so is not counted as a retry."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a step was tried again, and why."""

    counted: int = 0
    """Retries that use up the builder's ``retry_times``."""
    throttled: int = 0
    """Delayed repetitions for a throttled agent."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after *delay_s* seconds."""

    delay_s: float
    tally: Tally
    warning: str = ""


def next_try(reply: Reply, retry_times: int, tally: Tally, chance: Callable[[], float]) -> Retry | None:
    """Return when to try again after *reply*, or None if its outcome stands.

    Args:
        reply: how the attempt ended.
        retry_times: the builder's wish; 2 means up to three attempts.
        tally: what was tried again before.
        chance: a number from 0 to 1, for full jitter (every delay between nothing and the backoff is as likely).

    """
    match reply.outcome:
        case Outcome.THROTTLED:
            if tally.throttled >= THROTTLED_RETRIES:
                return None
            delay = _backoff(tally.throttled, chance)
            return Retry(max(delay, reply.retry_after_s or 0.0), replace(tally, throttled=tally.throttled + 1))
        case Outcome.AGENT_FAILED | Outcome.TIMED_OUT:
            allowed = retry_times
        case Outcome.UNAVAILABLE:
            allowed = retry_times if reply.sent else max(retry_times, UNAVAILABLE_RETRIES)
        case _:
            return None
    if tally.counted >= allowed or not reply.retry_allowed:
        return None
    warning = "the first call had been sent, so it may still run" if reply.sent and _unheard(reply) else ""
    delay = max(_backoff(tally.counted, chance), reply.retry_after_s or 0.0)
    return Retry(delay, replace(tally, counted=tally.counted + 1), warning)


def _unheard(reply: Reply) -> bool:
    return reply.outcome in {Outcome.UNAVAILABLE, Outcome.TIMED_OUT}


def _backoff(nth: int, chance: Callable[[], float]) -> float:
    return min(MAX_DELAY_S, BASE_DELAY_S * 2.0**nth) * chance()
