"""Packs parts into a window: who gets how much, what is cut, and an account that adds up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ensemble.contract.context import Compression, Fate, Order
from ensemble.packing.counting import TokenCounter
from ensemble.packing.cutting import NOTHING, Fitted, head_tail
from ensemble.packing.duplicates import Repeat, without_repeats
from ensemble.packing.extracting import extract
from ensemble.packing.fences import closed
from ensemble.packing.model import Entry, Packed, Part, Policy
from ensemble.packing.sharing import ranking, shares

__all__ = ["pack", "section"]

_ROUNDS = 4
"""A paragraph may be cut out of the part that was to keep it for others; then those keep it, and all is fitted anew."""


def pack(parts: Sequence[Part], policy: Policy, counter: TokenCounter) -> Packed:
    """Return *parts* as ``### name`` sections that are, together, never over ``policy.limit_tokens`` by *counter*.

    What is not text in UTF-8 (half of a character) becomes ``?``.
    """
    readable = [_readable(part) for part in parts]
    stay: set[str] = set()
    rounds_left = _ROUNDS
    while True:
        rounds_left -= 1
        packer = _Packer(readable, policy if rounds_left else replace(policy, dedupe=False), counter, stay)
        fitted, text, tokens = packer.packed()
        missing = packer.missing(fitted)
        if not missing:
            entries = tuple(packer.entry(index, each) for index, each in enumerate(fitted))
            return Packed(text=text, tokens=tokens, entries=entries, counter=counter.name, exact=counter.exact)
        stay |= missing


def section(name: str, text: str) -> str:
    """Return *text* below its heading; one without a name has none."""
    return f"### {' '.join(name.split())}\n{text}" if name.strip() else text


def _readable(part: Part) -> Part:
    return Part(
        name=part.name.encode("utf-8", "replace").decode(),
        text=part.text.encode("utf-8", "replace").decode(),
        priority=part.priority,
    )


@dataclass(frozen=True, slots=True)
class _Fitted:
    """One part in the window; None where it is dropped."""

    fitted: Fitted | None
    tokens: int


_DROPPED = _Fitted(None, 0)


class _Packer:
    """What is known of the parts while room is made."""

    def __init__(self, parts: Sequence[Part], policy: Policy, counter: TokenCounter, stay: Collection[str]) -> None:
        self._parts = parts
        self._policy = policy
        self._counter = counter
        self._priorities = [part.priority for part in parts]
        given = [part.text for part in parts]
        rank = ranking(self._priorities)
        self._texts, self._repeats = given, set[Repeat]()
        if policy.dedupe and len(parts) > 1:
            self._texts, self._repeats = without_repeats(given, [part.name for part in parts], rank, stay)
        self._wholes = [closed(text) for text in self._texts]
        self._sizes = [counter.size(text) for text in given]
        self._wanted = [
            size if text == whole else counter.size(whole)
            for size, text, whole in zip(self._sizes, given, self._wholes, strict=True)
        ]
        # One token more: a heading beside a text may be counted as a little more than both.
        self._overheads = [
            counter.count(section(part.name, "")) + counter.count("\n\n") + bool(part.name) for part in parts
        ]

    def packed(self) -> tuple[list[_Fitted], str, int]:
        """Return what is there of each part, the window's text and its tokens, never over the limit."""
        room = limit = self._policy.limit_tokens
        while True:
            fitted = self._fitted(room) if room >= 0 else [_DROPPED] * len(self._parts)
            text = self._joined(fitted)
            tokens = self._counter.count(text)
            if tokens <= limit:
                return fitted, text, tokens
            # The whole has a few tokens more than its pieces: text beside text is counted differently.
            room -= max(1, tokens - limit)

    def missing(self, fitted: Sequence[_Fitted]) -> set[str]:
        """Return the paragraphs that are in no part, because the one that has them for others was cut."""
        there = [each.fitted.text if each.fitted is not None else "" for each in fitted]
        return {repeat.paragraph for repeat in self._repeats if repeat.paragraph not in there[repeat.owner]}

    def _fitted(self, room: int) -> list[_Fitted]:
        """Return what of each part fits into *room* tokens for all."""
        wanted = [min(size, self._policy.each_tokens) for size in self._wanted]
        given = shares(self._policy.allocation, wanted, self._overheads, self._priorities, room)
        return [_DROPPED if share is None else self._fit(index, share) for index, share in enumerate(given)]

    def _joined(self, fitted: Sequence[_Fitted]) -> str:
        """Return the window's text."""
        there = [(self._parts[index].name, fitted[index].fitted) for index in self._order()]
        return "\n\n".join(section(name, each.text) for name, each in there if each is not None)

    def entry(self, index: int, there: _Fitted) -> Entry:
        """Return what became of one part."""
        part, text = self._parts[index], self._texts[index]
        repeated = len(part.text) - len(text)
        kept = there.fitted.kept_chars if there.fitted is not None else 0
        fate = Fate.KEPT if part.text == text and kept == len(text) else Fate.CUT
        return Entry(
            name=part.name,
            fate=Fate.DROPPED if there.fitted is None else fate,
            tokens=self._sizes[index],
            kept_tokens=there.tokens,
            chars=len(part.text),
            kept_chars=kept,
            cut_chars=len(text) - kept,
            repeated_chars=repeated,
        )

    def _fit(self, index: int, share: int) -> _Fitted:
        text = self._texts[index]
        if self._wanted[index] <= share:
            return _Fitted(Fitted(self._wholes[index], len(text)), self._wanted[index])
        if self._policy.compression is Compression.EXTRACTIVE:
            fitted = extract(text, share, self._counter, self._policy.query)
        else:
            fitted = head_tail(text, share, self._counter)
        return _DROPPED if fitted is NOTHING else _Fitted(fitted, self._counter.count(fitted.text))

    def _order(self) -> list[int]:
        rank = ranking(self._priorities)
        match self._policy.order:
            case Order.PRIORITY:
                return rank
            case Order.EDGES:
                return [*rank[::2], *rank[1::2][::-1]]
            case _:
                return sorted(rank)
