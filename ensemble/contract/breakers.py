"""What can be said about circuit breakers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ensemble.contract.base import Answer, Ask, Identity

__all__ = ["BreakerList", "BreakerParams", "BreakerPolicy", "BreakerState", "BreakerView"]


class BreakerState(StrEnum):
    """The three states of a circuit breaker."""

    CLOSED = "closed"
    """Calls pass; consecutive failures are counted."""
    OPEN = "open"
    """Calls are refused until the recovery timeout has passed."""
    HALF_OPEN = "half_open"
    """A few probes pass; they decide."""


class BreakerPolicy(Ask):
    """The numbers by which a breaker is judged. A plan's policy judges that plan's asks and is never stored."""

    failure_threshold: int = Field(default=5, ge=1, le=1000, description="Consecutive failures that open it.")
    recovery_timeout: float = Field(default=60, ge=1, le=3600, strict=False, description="Seconds it stays open.")
    success_threshold: int = Field(default=2, ge=1, le=1000, description="Successes in half-open that close it.")
    half_open_probes: int = Field(default=1, ge=1, le=100, description="Calls in half-open at one time, everywhere.")


class BreakerView(Answer):
    """One breaker as it stands."""

    identity: Identity
    state: BreakerState
    failures: int = Field(ge=0, description="Consecutive failures while closed.")
    successes: int = Field(ge=0, description="Successes while half-open.")
    probes: int = Field(ge=0, description="Probes out while half-open.")
    generation: int = Field(ge=0, description="Grows at every change of state; older news changes nothing.")
    opened_ms: int | None = Field(default=None, description="When it opened last, unix milliseconds of the store.")
    cooling_ms: int = Field(default=0, ge=0, description="How long it still cools after a throttled call.")


class BreakerList(Answer):
    """All breakers on record."""

    breakers: tuple[BreakerView, ...]


class BreakerParams(Ask):
    """Which breaker."""

    identity: Identity
