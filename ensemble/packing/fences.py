"""Code fences of Markdown: where they stand, and closing one that a cut left open.

A fence begins with a line of three or more backticks or tildes and ends with a line of at least as many of the same,
or with the text (CommonMark 4.5); indentation is taken as it comes, since fences also stand in lists.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Fence", "around", "closed", "fences"]

_LINE = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence, from its first character to behind its last."""

    start: int
    end: int
    opening: str
    """Its first line."""
    closing: str
    """The line that ends it, whether the text has it or not."""
    is_closed: bool


def fences(text: str) -> list[Fence]:
    """Return the fences of *text* in order."""
    if "```" not in text and "~~~" not in text:
        return []
    found: list[Fence] = []
    opened: re.Match[str] | None = None
    for line in _LINE.finditer(text):
        _, run, rest = line.groups()
        if opened is None:
            if "`" not in run or "`" not in rest:
                opened = line
        elif run[0] == opened[2][0] and len(run) >= len(opened[2]) and not rest.strip():
            found.append(Fence(opened.start(), line.end(), opened[0], opened[1] + opened[2], is_closed=True))
            opened = None
    if opened is not None:
        found.append(Fence(opened.start(), len(text), opened[0], opened[1] + opened[2], is_closed=False))
    return found


def around(found: Sequence[Fence], position: int) -> Fence | None:
    """Return the fence that has *position* inside."""
    before = bisect_left(found, position, key=lambda fence: fence.start) - 1
    return found[before] if before >= 0 and position < found[before].end else None


def closed(text: str) -> str:
    """Return *text* with the line that closes its last fence, if that is open."""
    found = fences(text)
    if not found or found[-1].is_closed:
        return text
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{found[-1].closing}"
