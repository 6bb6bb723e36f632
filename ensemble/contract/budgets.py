"""What can be said about budgets: a run's own, and named ones over windows that any number of runs share."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ensemble.contract.base import Answer, Ask, Identity

__all__ = [
    "NANO",
    "Account",
    "BudgetDefinition",
    "BudgetList",
    "BudgetName",
    "BudgetParams",
    "BudgetState",
    "BudgetView",
    "BudgetWindow",
    "Limits",
    "Money",
    "Reservation",
    "ReservationAsk",
    "ReservationNews",
    "ReservationSettled",
    "ReserveOutcome",
]

NANO = 10**9
"""Money is counted in billionths of its unit, in whole numbers."""

BudgetName = Annotated[str, StringConstraints(pattern=r"^[\w .:@/\-]{1,128}$")]
"""Such as ``workspace``, ``user:42`` or ``agent:market``; the words are the operator's."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3,8}$")]


class Money(Ask):
    """An amount of one currency. Amounts in another one are never converted."""

    amount: Decimal = Field(ge=0, le=9_000_000, max_digits=16, decimal_places=9, strict=False)
    currency: Currency

    def nano(self) -> int:
        """Return the amount in billionths of its unit."""
        return int(self.amount * NANO)


class Limits(Ask):
    """The most that may be spent; None means no limit."""

    tokens: int | None = Field(default=None, ge=0, le=10**12)
    calls: int | None = Field(default=None, ge=0, le=10**9)
    seconds: int | None = Field(default=None, ge=0, le=10**9, description="Agents' time, summed over all attempts.")
    money: Money | None = Field(default=None, description="What agents say they cost, in one currency.")


class BudgetView(Answer):
    """What a run has spent and what is reserved for the attempts under way."""

    tokens_committed: int = 0
    tokens_reserved: int = 0
    calls_committed: int = 0
    calls_reserved: int = 0
    ms_committed: int = 0
    ms_reserved: int = 0
    nano_committed: int = Field(default=0, description="Billionths of the limit's currency.")
    nano_reserved: int = 0
    estimated: bool = Field(default=False, description="True once something was booked at its reservation.")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone is known here; write one like Europe/Berlin, or UTC") from None
    return name


class BudgetWindow(Ask):
    """The time a budget is for. Weeks begin on Monday; days, weeks and months at midnight in *timezone*."""

    kind: Literal["total", "hour", "day", "week", "month", "rolling"] = "total"
    seconds: int | None = Field(default=None, ge=20, le=366 * 86_400, description="How long a rolling window is.")
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] = "UTC"

    @model_validator(mode="after")
    def _seconds_are_of_rolling_windows(self) -> BudgetWindow:
        if (self.kind == "rolling") is (self.seconds is None):
            raise ValueError("a rolling window needs seconds, and no other window has them")
        return self


class BudgetDefinition(Ask):
    """What a named budget allows in its window."""

    limits: Limits
    window: BudgetWindow = BudgetWindow()
    warn_at: int = Field(default=80, ge=1, le=100, description="Per cent of a limit from which on there are warnings.")


class BudgetState(Answer):
    """A named budget as it stands in its present window."""

    name: BudgetName
    definition: BudgetDefinition
    used: BudgetView
    ends_ms: int | None = Field(
        default=None, description="When the window ends, or moves on; unix milliseconds; None: never."
    )
    warnings: tuple[str, ...] = Field(default=(), description="Limits that are nearly reached, in words.")


class BudgetList(Answer):
    """All named budgets, by name."""

    budgets: tuple[BudgetState, ...]


class BudgetParams(Ask):
    """Which named budget."""

    name: BudgetName


class ReserveOutcome(StrEnum):
    """What became of an ask for a reservation."""

    ADMITTED = "admitted"
    WARN = "warn"
    """Reserved; a limit is nearly reached, and the warnings say which."""
    WAIT = "wait"
    """Not now, but once others have settled."""
    REFUSED = "refused"


class ReservationAsk(Ask):
    """Reserve the same in several budgets, in all or in none, for one call of no run."""

    budgets: tuple[BudgetName, ...] = Field(min_length=1, max_length=16)
    ticket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]{1,128}$")] | None = Field(
        default=None, description="None: the sidecar mints one and tells it."
    )
    identity: Identity | None = Field(default=None, description="Whose calls an estimate is taken from.")
    tokens: int | None = Field(default=None, ge=0, le=10**12, description="None: estimated.")
    money: Money | None = Field(default=None, description="None: estimated.")
    calls: int = Field(default=1, ge=0, le=10**6)
    seconds: float = Field(default=0, ge=0, le=86_400)
    lease_s: float = Field(
        default=600, ge=1, le=86_400, description="Seconds after which what nobody settled is booked as reserved."
    )


class Account(Answer):
    """What is reserved, or was spent."""

    tokens: int = 0
    calls: int = 0
    ms: int = 0
    nano: int = Field(default=0, description="Billionths of *currency*.")
    currency: str | None = None


class Reservation(Answer):
    """Whether the call may be paid for."""

    ticket: str
    admitted: bool = Field(description="Whether it was reserved, for a condition in a workflow.")
    outcome: ReserveOutcome
    reserved: Account | None = None
    warnings: tuple[str, ...] = ()
    detail: str = ""
    retry_after_ms: int | None = Field(default=None, ge=0)


class ReservationNews(Ask):
    """What a call has really used. The first news of a ticket wins; None is unknown, and booked as reserved."""

    ticket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]{1,128}$")]
    tokens: int | None = Field(default=None, ge=0, le=10**12)
    money: Money | None = None
    calls: int | None = Field(default=None, ge=0, le=10**6)
    took_ms: int = Field(default=0, ge=0, le=10**9)


class ReservationSettled(Answer):
    """What was booked."""

    ticket: str
    spent: Account
    estimated: bool = Field(description="True where something was booked as it was reserved.")
