"""Draws what a run did as text: a timeline and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["table", "timeline"]

WIDTH = 48
_MARKS = {"succeeded": "█", "failed": "░", "timed_out": "░", "refused": "·"}


def timeline(results: Sequence[Mapping[str, Any]], total_ms: float) -> str:
    """Return a bar per step, in the order they ended, on one scale from 0 to *total_ms*."""
    names = max(len(str(result["step"])) for result in results)
    lines = []
    for result in results:
        start = round(WIDTH * result.get("started_ms", 0) / total_ms)
        length = max(1, round(WIDTH * result["took_ms"] / total_ms))
        bar = " " * start + _MARKS.get(result["status"], "·") * min(length, WIDTH - start)
        tail = f"{result['took_ms'] / 1000:5.2f} s" if result["status"] == "succeeded" else result["status"]
        lines.append(f"  {result['step']:<{names}} │{bar:<{WIDTH}}│ {tail}")
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* under *head*; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])

    return "\n".join(f"  {text}" for text in (line(head), "  ".join("─" * width for width in widths), *map(line, rows)))
