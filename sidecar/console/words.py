"""How figures, moments, lengths and states are put into words on the pages. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ensemble.contract.agents import AgentHealth
from ensemble.contract.breakers import BreakerState
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus

__all__ = [
    "Tone",
    "ago",
    "clean",
    "count",
    "head",
    "json_head",
    "lasting",
    "left_over",
    "mark",
    "moment",
    "money",
    "tone",
    "word",
]


class Tone(StrEnum):
    """How a state is drawn: each has a sign of its own beside its colour, and its word beside both."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    BUSY = "busy"
    CALM = "calm"


_TONES: Mapping[StrEnum, Tone] = {
    RunStatus.RUNNING: Tone.BUSY,
    RunStatus.SUCCEEDED: Tone.GOOD,
    RunStatus.PARTIAL: Tone.WARN,
    RunStatus.FAILED: Tone.BAD,
    RunStatus.TIMED_OUT: Tone.BAD,
    StepStatus.REFUSED: Tone.WARN,
    StepStatus.UNCERTAIN: Tone.WARN,
    StepStatus.INPUT_REQUIRED: Tone.WARN,
    Outcome.AGENT_FAILED: Tone.BAD,
    Outcome.UNAVAILABLE: Tone.BAD,
    Outcome.REJECTED: Tone.BAD,
    Outcome.MISCONFIGURED: Tone.BAD,
    Outcome.THROTTLED: Tone.WARN,
    BreakerState.CLOSED: Tone.GOOD,
    BreakerState.HALF_OPEN: Tone.WARN,
    BreakerState.OPEN: Tone.BAD,
    AgentHealth.HEALTHY: Tone.GOOD,
    AgentHealth.DEGRADED: Tone.WARN,
    AgentHealth.FAILING: Tone.BAD,
}
"""Members of several enumerations that are the same word are the same key; what is not here is calm."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What a page may not hold, or would show as nothing."""
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def tone(state: StrEnum | None) -> Tone:
    """Return how a state is drawn."""
    return Tone.CALM if state is None else _TONES.get(state, Tone.CALM)


def word(state: StrEnum) -> str:
    """Return a state's word as people write it."""
    return state.value.replace("_", " ")


def clean(text: str) -> str:
    """Return *text* as a page can hold it: what is no character for reading becomes a replacement one."""
    return _CONTROLS.sub("\ufffd", text)


def head(text: str, most: int) -> str:
    """Return the first *most* characters."""
    return text if len(text) <= most else text[:most]


def left_over(text: str, most: int) -> int:
    """Return how many characters stand behind the first *most*."""
    return max(0, len(text) - most)


def json_head(value: Any, most: int) -> str:
    """Return the beginning of *value*: a text as it is, all else as JSON, written no further than is shown."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]} …"
    pieces, length = [], 0
    for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            return "".join(pieces)[:most] + " …"
    return "".join(pieces)


def lasting(ms: int | None) -> str:
    """Return a length of time such as ``240 ms``, ``4.19 s``, ``3 min 20 s``."""
    if ms is None:
        return ""
    ms = max(0, ms)
    if ms < _SECOND:
        return f"{ms} ms"
    if ms < 10 * _SECOND:
        return f"{ms / _SECOND:.2f} s"
    if ms < _MINUTE:
        return f"{ms / _SECOND:.1f} s"
    for unit, name, part, part_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", _SECOND, "s"),
    ):
        if ms >= unit:
            whole, rest = divmod(ms, unit)
            return f"{whole} {name} {rest // part} {part_name}" if rest // part else f"{whole} {name}"
    raise AssertionError(ms)


def mark(ms: int) -> str:
    """Return a moment on a scale that begins at 0, without digits that say nothing."""
    if ms < _SECOND or ms >= _MINUTE:
        return lasting(ms) if ms else "0"
    return f"{ms / _SECOND:g} s"


def ago(then_ms: int, now_ms: int) -> str:
    """Return how long ago a moment was, by its largest unit: ``just now``, ``3 min ago``."""
    gone = now_ms - then_ms
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (_SECOND, "s")):
        if gone >= unit:
            return f"{gone // unit} {name} ago"
    return "just now"


def moment(ms: int | None) -> str:
    """Return a moment of the store's clock, to the second, in UTC."""
    if ms is None:
        return ""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "out of reach"


def count(number: float | None) -> str:
    """Return a number with its thousands apart."""
    return "" if number is None else f"{number:,}"


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return an amount without zeros that say nothing."""
    if amount is None:
        return ""
    digits = format(amount.normalize(), "f")
    return f"{digits} {currency}" if currency else digits
