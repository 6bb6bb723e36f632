"""A breaker as it is shown, made from its documents as they are kept."""

from __future__ import annotations

from ensemble.contract.breakers import BreakerView
from ensemble.rules.breakers.drafted import changes_of
from ensemble.rules.records import Breaker

__all__ = ["breaker_view"]


def breaker_view(identity: str, text: str, now_ms: int, changes: str | None = None) -> BreakerView:
    """Return one breaker from its document, and from that of its changes of state where they are told."""
    breaker = Breaker.model_validate_json(text)
    return BreakerView(
        identity=identity,
        state=breaker.state,
        failures=breaker.failures,
        successes=breaker.successes,
        probes=len(breaker.probes),
        generation=breaker.generation,
        opened_ms=breaker.opened_ms,
        trips=breaker.trips,
        cooling_ms=max(0, breaker.cooling_until_ms - now_ms),
        cause=breaker.cause,
        forced=breaker.forced,
        policy=breaker.policy,
        changes=changes_of(changes),
    )
