"""Values that can be written as JSON and read again, whatever an agent, a model or a builder put into them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["plain", "read_json", "too_long"]

_DEEPEST = 64
"""How deep lists and maps may stand in each other; the readers of Dify and its daemon have limits, too."""

_MOST_BITS = 14_000
"""Of a whole number: what Python still writes in decimal digits, 4,300 of them."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return *value* as plain JSON that can be written.

    Half of a character (a lone surrogate, which JSON can spell but UTF-8 can't) becomes ``?``, a number that is none
    or has thousands of digits (which hexadecimal spells) becomes null, what no JSON knows becomes its text.
    """
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case bool() | None:
            return value
        case int():
            return None if too_long(value) else value
        case float():
            return value if math.isfinite(value) else None
        case Mapping() if depth < _DEEPEST:
            return {plain(str(key)): plain(each, depth + 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [plain(each, depth + 1) for each in value]
        case _:
            return plain(str(value))


def too_long(number: int) -> bool:
    """Return whether *number* has more digits than can be written."""
    return number.bit_length() > _MOST_BITS


def read_json(text: str, *, strict: bool = True) -> Any:
    """Return what *text* says as JSON, as a value that can be written again; not *strict*: line breaks in texts are read.

    Raises:
        ValueError: it is no JSON, or stands too deep in itself.

    """
    try:
        return plain(json.loads(text, strict=strict))
    except RecursionError:
        raise ValueError("its lists and maps stand too deep in each other") from None
