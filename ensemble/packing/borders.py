# ruff: noqa: RUF001 -- the full stops and commas of Chinese and Japanese are meant.
"""Where a text may be cut: between paragraphs, lines (list items, table rows), sentences, words; never in a character.

A stronger border is taken even if it is further away, up to a share of the piece that is cut off there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ensemble.packing.fences import Fence, around

__all__ = ["SENTENCE_END", "end_before", "start_after"]

SENTENCE_END = r"[.!?…؟।]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）】》]*"
"""How sentences end; those of Chinese and Japanese need no space behind."""

_BORDERS = (
    (re.compile(r"\n[ \t]*\n"), 1 / 6),
    (re.compile(r"\n"), 1 / 6),
    (re.compile(SENTENCE_END), 1 / 5),
    (re.compile(r"[\s、，；：,;]"), 1 / 12),
)
"""From the strongest to the weakest, each with the share of the piece that may be given up for it."""
_FENCE_SHARE = 1 / 4
_WIDEST = 20_000
"""Characters; no border is looked for further away."""
_JOINERS = frozenset("\u200d\ufe0e\ufe0f" + "".join(map(chr, range(0x1F3FB, 0x1F400))))
"""What goes with the sign before it: joiners, variants, skin tones."""


def end_before(text: str, position: int, found: Sequence[Fence]) -> int:
    """Return where text[:position] had better end: at *position* or a border before it."""
    if not 0 < position < len(text):
        return position
    fence = around(found, position)
    if fence is not None:
        if position - fence.start <= _share(position, _FENCE_SHARE):
            return fence.start
        return _line_end(text, position, fence)
    for border, share in _BORDERS:
        low = position - _share(position, share)
        matches = list(border.finditer(text, low, min(len(text), position + 1)))
        ends = [end for end in (_end(match) for match in matches) if low < end <= position]
        if ends:
            return ends[-1]
    return _whole_character(text, position, -1)


def start_after(text: str, position: int, found: Sequence[Fence]) -> int:
    """Return where text[position:] had better begin: at *position* or a border after it."""
    if not 0 < position < len(text):
        return position
    left = len(text) - position
    fence = around(found, position)
    if fence is not None:
        if fence.end - position <= _share(left, _FENCE_SHARE):
            return fence.end
        line = text.find("\n", position, min(fence.end, position + _share(left, _FENCE_SHARE)))
        return line + 1 if line >= 0 else _whole_character(text, position, 1)
    for border, share in _BORDERS:
        high = position + _share(left, share)
        match = border.search(text, max(0, position - 1), min(len(text), high + 1))
        while match is not None and match.end() < position:
            match = border.search(text, match.end() + 1, min(len(text), high + 1))
        if match is not None and position <= match.end() <= high:
            return match.end()
    return _whole_character(text, position, 1)


def _end(match: re.Match[str]) -> int:
    """Return where the text before a border ends: white space belongs to what comes after, a full stop does not."""
    return match.start() if match[0].isspace() else match.end()


def _line_end(text: str, position: int, fence: Fence) -> int:
    first = fence.start + len(fence.opening)
    line = text.rfind("\n", max(first, position - _share(position, _FENCE_SHARE)), position + 1)
    return line if line > first else _whole_character(text, position, -1)


def _share(chars: int, share: float) -> int:
    return min(_WIDEST, int(chars * share))


def _whole_character(text: str, position: int, step: int) -> int:
    """Return the nearest place in direction *step* that is between two characters as people see them."""
    while 0 < position < len(text) and (
        unicodedata.combining(text[position])
        or text[position] in _JOINERS
        or text[position - 1] == "\u200d"
        or (text[position] == "\n" and text[position - 1] == "\r")
    ):
        position += step
    return position
