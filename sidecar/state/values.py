"""Values of shared state as they are kept: JSON as text, behind a version."""

from __future__ import annotations

import json
from typing import Any

from ensemble.contract.problems import Fault
from ensemble.contract.state import StateEntry
from sidecar.errors import Invalid

__all__ = ["to_entry", "to_json"]


def to_json(value: Any, field: str = "value") -> str:
    """Return *value* as the JSON that is kept: compact, and never written anew by the store, so every digit stays.

    Raises:
        Invalid: It holds a number JSON has no word for.

    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        problem = "holds NaN or a number too large for JSON"
        raise Invalid(
            "The value can't be kept.", Fault(field=field, problem=problem, fix="Send null or a text instead.")
        ) from None


def to_entry(key: str, raw: str) -> StateEntry:
    """Return the value kept as *raw*: version, for some lists their length, newline, JSON."""
    head, _, text = raw.partition("\n")
    return StateEntry(key=key, value=json.loads(text), version=int(head.partition(" ")[0]))
