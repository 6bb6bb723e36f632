"""Reading an amount of money: ``2.50 USD``, or a map of amount and currency; exactly as written, never as a float."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ensemble.contract.budgets import Money
from ensemble.plan.faults import Faults, shortened

__all__ = ["read_money", "written"]

_MONEY = re.compile(r"\s*([0-9]{1,7}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{3,8})\s*")
_FIX = "Write an amount above 0, at most 9,000,000, and a currency, such as 2.50 USD."


def read_money(value: Any, path: str, faults: Faults) -> Money | None:
    """Return the money in *value*; None where there is none, after noting what is wrong."""
    if value is None or value == "":
        return None
    text = value
    if isinstance(value, Mapping):
        text = f"{value.get('amount')} {value.get('currency')}" if set(value) == {"amount", "currency"} else ""
    found = _MONEY.fullmatch(text) if isinstance(text, str) else None
    try:
        money = found and Money.model_validate({"amount": found[1], "currency": found[2].upper()})
    except ValidationError:
        money = None
    if money and money.amount:
        return money
    faults.add(path, f"'{shortened(value)}' is no amount of money.", _FIX)
    return None


def written(money: Money) -> str:
    """Return it as one writes it."""
    return f"{money.amount} {money.currency}"
