"""How far a run may go: its width, time, tokens, calls and money; the lower of two limits holds."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.contract.budgets import Money

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a run may go; None sets no limit."""

    max_parallel: int | None = None
    """Calls at one time."""
    timeout_s: float | None = None
    """Of the whole run."""
    max_tokens: int | None = None
    max_calls: int | None = None
    max_seconds: int | None = None
    """Agents' time, summed over all attempts."""
    max_money: Money | None = None
    """What agents say they cost, in one currency."""
    priority: int | None = None
    """Where its calls stand in the line for slots; higher ones come earlier."""

    def lowered(self, by: Limits) -> Limits:
        """Return the lower of both, limit by limit; of money in two currencies, which nobody can compare, *by* counts."""
        return Limits(
            max_parallel=_lower(self.max_parallel, by.max_parallel),
            timeout_s=_lower(self.timeout_s, by.timeout_s),
            max_tokens=_lower(self.max_tokens, by.max_tokens),
            max_calls=_lower(self.max_calls, by.max_calls),
            max_seconds=_lower(self.max_seconds, by.max_seconds),
            max_money=_lower_money(self.max_money, by.max_money),
            priority=_lower(self.priority, by.priority),
        )


def _lower_money(one: Money | None, other: Money | None) -> Money | None:
    if one is None or other is None:
        return other if one is None else one
    return one if one.currency == other.currency and one.amount < other.amount else other


def _lower[N: (int, float)](one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
