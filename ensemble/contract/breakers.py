"""What can be said about circuit breakers."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from ensemble.contract.base import Answer, Ask, Identity

__all__ = [
    "MAX_OPEN_S",
    "BreakerCause",
    "BreakerChange",
    "BreakerForce",
    "BreakerForcing",
    "BreakerList",
    "BreakerParams",
    "BreakerPolicy",
    "BreakerPolicyAsk",
    "BreakerState",
    "BreakerView",
    "Forced",
]

MAX_OPEN_S = 3600
"""The longest a breaker stays open without another try, seconds."""


class BreakerState(StrEnum):
    """The three states of a circuit breaker."""

    CLOSED = "closed"
    """Calls pass; failures are counted."""
    OPEN = "open"
    """Calls are refused until the recovery timeout has passed."""
    HALF_OPEN = "half_open"
    """A few probes pass; they decide."""


class Forced(StrEnum):
    """What an operator can hold a breaker at, whatever its calls say."""

    OPEN = "open"
    """Nothing passes."""
    CLOSED = "closed"
    """Everything passes that is not cooling; nothing opens it."""
    DISABLED = "disabled"
    """Everything passes, and nothing is heard."""


class BreakerCause(StrEnum):
    """Why a breaker changed its state last."""

    FAILURES = "failures"
    """So many failures in a row."""
    FAILURE_RATE = "failure_rate"
    SLOW_CALLS = "slow_calls"
    PROBE_FAILED = "probe_failed"
    PROBES_TOO_LONG = "probes_too_long"
    """Half-open took longer than it may."""
    RECOVERY = "recovery"
    """It was open long enough; probes pass."""
    HEALED = "healed"
    """Enough probes succeeded."""
    OPERATOR = "operator"
    """Somebody forced it, or took that back."""
    FORCE_ENDED = "force_ended"
    """It was forced for a time, which is over."""


class BreakerPolicy(Ask):
    """The numbers by which a breaker is judged. A plan's policy judges that plan's asks and is never stored.

    The names are resilience4j's where it has them; times are seconds, rates per cent.
    """

    failure_threshold: int = Field(default=5, ge=1, le=1000, description="Consecutive failures that open it.")
    recovery_timeout: float = Field(
        default=60, ge=1, le=MAX_OPEN_S, strict=False, description="Seconds it stays open at first."
    )
    success_threshold: int = Field(default=2, ge=1, le=1000, description="Successes in half-open that close it.")
    half_open_probes: int = Field(
        default=1,
        ge=1,
        le=100,
        validation_alias=AliasChoices("half_open_probes", "permitted_number_of_calls_in_half_open_state"),
        description="Calls in half-open at one time, everywhere.",
    )
    sliding_window_type: Literal["count_based", "time_based"] = Field(
        default="count_based", description="Whether the window holds the last calls or the last seconds."
    )
    sliding_window_size: int = Field(default=100, ge=1, le=3600, description="How many calls, or seconds.")
    minimum_number_of_calls: int = Field(
        default=10, ge=1, le=3600, description="Calls in the window below which no rate is judged."
    )
    failure_rate_threshold: float | None = Field(
        default=None, gt=0, le=100, description="Per cent of failures in the window that open it; None: not judged."
    )
    slow_call_rate_threshold: float | None = Field(
        default=None, gt=0, le=100, description="Per cent of slow calls in the window that open it; None: not judged."
    )
    slow_call_duration_threshold: float = Field(
        default=60, gt=0, le=86_400, description="Seconds from which on a call is slow."
    )
    exponential_backoff_multiplier: float = Field(
        default=1, ge=1, le=10, description="By how much it stays open longer each time it opens again unhealed."
    )
    exponential_max_wait_duration_in_open_state: float = Field(
        default=MAX_OPEN_S, ge=1, le=MAX_OPEN_S, description="Seconds it stays open at most."
    )
    randomized_wait_factor: float = Field(
        default=0, ge=0, lt=1, description="By what part the time open is shortened or prolonged at random."
    )
    max_wait_duration_in_half_open_state: float = Field(
        default=0, ge=0, le=MAX_OPEN_S, description="Seconds in half-open after which it opens again; 0: no limit."
    )


class BreakerChange(Answer):
    """One change of a breaker's state."""

    at_ms: int = Field(description="Unix milliseconds of the store.")
    before: BreakerState
    after: BreakerState
    cause: BreakerCause
    forced: Forced | None = None
    generation: int


class BreakerForcing(Answer):
    """How an operator holds a breaker."""

    state: Forced
    until_ms: int | None = Field(default=None, description="None: until it is taken back.")
    reason: str = ""


class BreakerView(Answer):
    """One breaker as it stands."""

    identity: Identity
    state: BreakerState
    failures: int = Field(ge=0, description="Consecutive failures while closed.")
    successes: int = Field(ge=0, description="Successes while half-open.")
    probes: int = Field(ge=0, description="Probes out while half-open.")
    generation: int = Field(ge=0, description="Grows at every change of state; older news changes nothing.")
    opened_ms: int | None = Field(default=None, description="When it opened last, unix milliseconds of the store.")
    trips: int = Field(default=0, ge=0, description="How often it opened since it was closed last.")
    cooling_ms: int = Field(default=0, ge=0, description="How long it still cools after a throttled call.")
    cause: BreakerCause | None = Field(default=None, description="Why it changed last.")
    forced: BreakerForcing | None = None
    policy: BreakerPolicy | None = Field(default=None, description="The operator's, which beats any plan's.")
    changes: tuple[BreakerChange, ...] = Field(
        default=(), description="The last changes of state, oldest first; of one breaker asked for, not in lists."
    )


class BreakerList(Answer):
    """All breakers on record."""

    breakers: tuple[BreakerView, ...]


class BreakerParams(Ask):
    """Which breaker."""

    identity: Identity


class BreakerPolicyAsk(Ask):
    """Judge all calls to this agent by *policy*, whatever plans say; None: by what plans say again."""

    policy: BreakerPolicy | None


class BreakerForce(Ask):
    """Hold a breaker; *state* None lets it go, closed and with fresh counts."""

    state: Forced | None
    seconds: float | None = Field(default=None, gt=0, le=31 * 86_400, description="For how long; None: for good.")
    reason: str = Field(default="", max_length=200, description="Told to whoever is refused.")

    @model_validator(mode="after")
    def _nothing_lasts(self) -> BreakerForce:
        if self.state is None and self.seconds is not None:
            raise ValueError("seconds say how long a state is held; without a state there is nothing to hold")
        return self
