"""What can be said about budgets."""

from __future__ import annotations

from pydantic import Field

from ensemble.contract.base import Answer, Ask

__all__ = ["BudgetView", "Limits"]


class Limits(Ask):
    """The most a run may spend; None means no limit."""

    tokens: int | None = Field(default=None, ge=0, le=10**12)
    calls: int | None = Field(default=None, ge=0, le=10**9)
    seconds: int | None = Field(default=None, ge=0, le=10**9, description="Agents' time, summed over all attempts.")


class BudgetView(Answer):
    """What a run has spent and what is reserved for the attempts under way."""

    tokens_committed: int = 0
    tokens_reserved: int = 0
    calls_committed: int = 0
    calls_reserved: int = 0
    ms_committed: int = 0
    ms_reserved: int = 0
    estimated: bool = Field(default=False, description="True once something was booked at its reservation.")
