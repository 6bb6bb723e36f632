"""What was measured: entries with a name, a value and a unit, as JSON for machines and as tables for people."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Entry", "median", "table", "write"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure, and the same of others."""

    name: str
    value: float
    unit: str
    versus: Mapping[str, float] = field(default_factory=dict)


def median(values: Iterable[float]) -> float:
    """Return the median, which one slow run on a busy machine does not move."""
    return statistics.median(values)


def write(entries: Iterable[Entry], path: Path) -> None:
    """Write *entries* as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"name": each.name, "value": _short(each.value), "unit": each.unit, "versus": _shorts(each.versus)}
        for each in entries
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its columns lined up; the first one is text, the others are figures."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    shown = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))] for line in lines
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (shown[0], rule, *shown[1:]))


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _shorts(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _short(value) for name, value in values.items()}
