"""Reading the names of the budgets a run is charged to: a list, or names in a line."""

from __future__ import annotations

import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ensemble.contract.budgets import BudgetName
from ensemble.plan.faults import Faults, shortened
from ensemble.plan.reading.fields import entries

__all__ = ["MOST_BUDGETS", "read_budgets"]

MOST_BUDGETS = 16
"""What one run can be charged to."""

_NAME: TypeAdapter[str] = TypeAdapter(BudgetName)
_SEPARATORS = re.compile("[,;\n\uff0c\uff1b\u3001]")
_FIX = "Write 1-128 letters, digits, spaces or _ . : @ / -, such as user:42."


def read_budgets(value: Any, path: str, faults: Faults) -> tuple[str, ...]:
    """Return the names in *value*, each once, in order; what is none is noted."""
    if isinstance(value, str):
        value = [name for name in _SEPARATORS.split(value) if name.strip()]
    names = dict.fromkeys(_name(item, where, faults) for where, item in entries(value, path, faults))
    if len(names) > MOST_BUDGETS:
        faults.add(path, f"There are {len(names)} budgets.", f"At most {MOST_BUDGETS}.")
        return ()
    return tuple(name for name in names if name)


def _name(value: Any, path: str, faults: Faults) -> str:
    name = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        faults.add(path, f"'{shortened(value)}' is no name of a budget.", _FIX)
        return ""
