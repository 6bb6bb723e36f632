"""Adding up what attempts and steps used, where some of it may be unknown."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ensemble.contract.results import Usage

__all__ = ["add_usage", "priced", "total_usage"]


def add_usage(one: Usage, other: Usage) -> Usage:
    """Return both together. An unknown figure counts as nothing in the sum, and the sum is flagged as estimated.

    Prices in two currencies can't be added: the sum has none then, and is flagged too.
    """
    unknown = one.tokens is None or other.tokens is None
    mixed = one.price is not None and other.price is not None and one.currency != other.currency
    prices = [usage.price for usage in (one, other) if usage.price is not None]
    return Usage(
        tokens=None if one.tokens is None and other.tokens is None else (one.tokens or 0) + (other.tokens or 0),
        price=None if mixed or not prices else sum(prices, Decimal(0)),
        currency=None if mixed or not prices else one.currency or other.currency,
        estimated=one.estimated or other.estimated or mixed or unknown,
    )


def priced(usage: Usage, per_1k: Decimal | None, currency: str | None) -> Usage:
    """Return *usage* with its price by what 1,000 tokens are declared to cost, where the app itself told none."""
    if per_1k is None or usage.price is not None or not usage.tokens:
        return usage
    price = (per_1k * usage.tokens / 1000).normalize()
    return usage.model_copy(update={"price": price, "currency": currency, "estimated": True})


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum over *usages*; of nothing at all it is 0 tokens."""
    total: Usage | None = None
    for usage in usages:
        total = usage if total is None else add_usage(total, usage)
    return Usage(tokens=0) if total is None else total
