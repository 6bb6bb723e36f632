"""How an agent does, from its breaker and its calls: one word, and why."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.contract.agents import AgentHealth
from ensemble.contract.breakers import BreakerState, Forced
from ensemble.rules.records import Breaker

__all__ = ["DEGRADED_RATE", "FAILING_CALLS", "FAILING_RATE", "Tally", "health"]

FAILING_CALLS = 4
"""Calls below which failures alone do not make an agent a failing one."""
FAILING_RATE = 0.5
DEGRADED_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls that ended by themselves, and how many of them failed."""

    calls: int = 0
    failures: int = 0
    misconfigured: int = 0
    """Of the failures: refused for a key, a model or a publishing somebody has to put right."""

    @property
    def rate(self) -> float:
        """The part that failed."""
        return self.failures / self.calls if self.calls else 0.0


def health(breaker: Breaker, now_ms: int, hour: Tally, day: Tally) -> tuple[AgentHealth, str]:
    """Return how an agent does and why: by the last hour's calls, else by the last day's."""
    tally, when = (hour, "in the last hour") if hour.calls else (day, "in the last day")
    failed = f"{tally.failures} of {tally.calls} calls failed {when}"
    free = breaker.forced is not None and breaker.forced.state in (Forced.CLOSED, Forced.DISABLED)
    if breaker.forced is not None and breaker.forced.state is Forced.OPEN:
        return AgentHealth.FAILING, "an operator holds its breaker open"
    if breaker.state is BreakerState.OPEN and not free:
        return AgentHealth.FAILING, "its breaker is open"
    if tally.misconfigured and 2 * tally.misconfigured >= tally.calls:
        return AgentHealth.FAILING, f"its key, model or publishing has to be put right: {failed}"
    if tally.calls >= FAILING_CALLS and tally.rate >= FAILING_RATE:
        return AgentHealth.FAILING, failed
    if breaker.state is BreakerState.HALF_OPEN and not free:
        return AgentHealth.DEGRADED, "its breaker is half-open: single calls try whether it is back"
    if breaker.cooling_until_ms > now_ms:
        return AgentHealth.DEGRADED, "it asked for time: its calls wait"
    if tally.calls and tally.rate >= DEGRADED_RATE:
        return AgentHealth.DEGRADED, failed
    if breaker.failures:
        return AgentHealth.DEGRADED, "its last call failed"
    if not tally.calls:
        return AgentHealth.UNKNOWN, "nobody has called it in the last day"
    return AgentHealth.HEALTHY, failed if tally.failures else f"none of {tally.calls} calls failed {when}"
