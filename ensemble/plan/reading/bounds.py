"""How large a plan may be, and how one that can't be read at all is said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemble.contract.plain import too_long
from ensemble.contract.problems import Fault
from ensemble.plan.faults import PlanError

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_STEPS",
    "MAX_VALUES",
    "bounded",
    "encodable",
    "half_a_character",
    "too_deep",
    "too_many",
    "unreadable",
]

MAX_CHARACTERS = 1024 * 1024
"""The longest text of a plan."""
MAX_DEPTH = 40
"""How deep maps and lists may stand inside each other."""
MAX_STEPS = 2000
"""The most steps of a plan, and the most agents: what one exchange with the ledger holds."""
MAX_VALUES = 100_000
"""How many values a plan may hold, each counted as often as an alias repeats it."""


def bounded(data: Any, name: str) -> Any:
    """Return a copy of *data* with lists for sequences and texts for keys; other objects stay as they are.

    Raises:
        PlanError: it is deeper than :data:`MAX_DEPTH`, holds more than :data:`MAX_VALUES` values, broken text, or a
            number too long to be written.

    """
    left = MAX_VALUES

    def copy(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise too_many(name)
        if isinstance(value, str) and not encodable(value):
            raise half_a_character(name)
        if isinstance(value, int) and too_long(value):
            raise unreadable(name, "It holds a number of thousands of digits.", "Write it as a text.")
        if not isinstance(value, Mapping | list | tuple):
            return value
        if depth >= MAX_DEPTH:
            raise too_deep(name)
        if isinstance(value, Mapping):
            return {str(key): copy(item, depth + 1) for key, item in value.items()}
        return [copy(item, depth + 1) for item in value]

    return copy(data, 0)


def encodable(text: str) -> bool:
    """Return whether *text* can be sent: JSON escapes can spell half of a character, UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def half_a_character(name: str) -> PlanError:
    """Return the error of a text that is not :func:`encodable`."""
    return unreadable(name, "It holds half of a character (a lone surrogate).", "Write the text anew.")


def unreadable(name: str, problem: str, fix: str) -> PlanError:
    """Return the error of a text in which no single field can be blamed."""
    return PlanError([Fault(field=name, problem=problem, fix=fix)])


def too_deep(name: str) -> PlanError:
    """Return the error of a text nested without end."""
    return unreadable(name, "Its maps and lists stand too deep inside each other.", f"At most {MAX_DEPTH} levels.")


def too_many(name: str) -> PlanError:
    """Return the error of a text that holds, or by aliases unfolds to, too much."""
    return unreadable(name, "It holds too many values.", f"At most {MAX_VALUES:,}, repeated ones counted each time.")
