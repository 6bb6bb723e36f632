"""Finds paragraphs that several texts share; the first by priority keeps them, the others get a note."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ensemble.packing.fences import fences

__all__ = ["LEAST_CHARS", "Repeat", "without_repeats"]

LEAST_CHARS = 60
"""Shorter paragraphs are alike by chance; the note would hardly be shorter."""
_BREAK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


@dataclass(frozen=True, slots=True)
class Repeat:
    """A paragraph that was left out because the text *owner* has it."""

    owner: int
    paragraph: str
    """As the owner has it."""


def without_repeats(
    texts: Sequence[str], names: Sequence[str], rank: Sequence[int], not_these: Collection[str] = ()
) -> tuple[list[str], set[Repeat]]:
    """Return *texts*, each without the paragraphs that one before it in *rank* has, and what was left out so.

    Paragraphs are alike if they are so but for white space. Those of *not_these* stay everywhere.
    """
    seen = _Seen(names, frozenset(not_these))
    result = list(texts)
    for index in rank:
        result[index] = seen.without(texts[index], index)
    return result, seen.repeats


class _Seen:
    """The paragraphs of the texts so far."""

    def __init__(self, names: Sequence[str], not_these: frozenset[str]) -> None:
        self.repeats: set[Repeat] = set()
        self._names = names
        self._not_these = not_these
        self._owners: dict[str, Repeat] = {}

    def without(self, text: str, index: int) -> str:
        pieces: list[str] = []
        noted, changed = "", False
        for paragraph, gap in _paragraphs(text):
            note = self._note(paragraph, index)
            if not note:
                pieces += (paragraph, gap)
            elif note != noted:
                pieces += (note, gap)
            changed = changed or bool(note)
            noted = note
        return "".join(pieces) if changed else text

    def _note(self, paragraph: str, index: int) -> str:
        """Return what to write instead of *paragraph*, nothing where it stays."""
        if len(paragraph) < LEAST_CHARS:
            return ""
        first = self._owners.setdefault(" ".join(paragraph.split()), Repeat(index, paragraph))
        if first.owner == index or first.paragraph in self._not_these:
            return ""
        name = " ".join(self._names[first.owner].split())
        note = f"[same as {name}]" if name else "[same as above]"
        if len(note) >= len(paragraph):
            return ""
        self.repeats.add(first)
        return note


def _paragraphs(text: str) -> list[tuple[str, str]]:
    """Return the paragraphs of *text*, each with the white space behind it; a code fence is never taken apart."""
    found: list[tuple[str, str]] = []
    inside = [(fence.start, fence.end) for fence in fences(text)]
    at = number = 0
    for gap in _BREAK.finditer(text):
        while number < len(inside) and inside[number][1] <= gap.start():
            number += 1
        if number < len(inside) and inside[number][0] < gap.start():
            continue
        found.append((text[at : gap.start()], gap[0]))
        at = gap.end()
    return [*found, (text[at:], "")]
