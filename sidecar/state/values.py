"""Values of shared state as they are kept: JSON as text, behind a version."""

from __future__ import annotations

import json
from typing import Any

from ensemble.contract.problems import Fault
from ensemble.contract.state import MAX_STATE_VALUE_BYTES, StateEntry
from sidecar.errors import Invalid, TooLarge

__all__ = ["to_entry", "to_json"]


def to_json(value: Any) -> str:
    """Return *value* as the JSON that is kept: never parsed again by the store, so every digit stays.

    Raises:
        Invalid: It holds a number JSON has no word for.
        TooLarge: It takes more than 1 MiB.

    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        problem = "holds NaN or a number too large for JSON"
        raise Invalid(
            "The value can't be kept.", Fault(field="value", problem=problem, fix="Send null or a text instead.")
        ) from None
    size = len(text.encode())
    if size > MAX_STATE_VALUE_BYTES:
        raise TooLarge(
            f"The value takes {size} bytes as JSON; a value may take {MAX_STATE_VALUE_BYTES}.",
            Fault(
                field="value",
                problem="too large",
                fix="Keep it elsewhere and store where, or split it over several keys.",
            ),
        )
    return text


def to_entry(key: str, raw: str) -> StateEntry:
    """Return the value kept as *raw*: version, newline, JSON."""
    version, _, text = raw.partition("\n")
    return StateEntry(key=key, value=json.loads(text), version=int(version))
