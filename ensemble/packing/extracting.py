"""Shortens one text to the sentences that have most to do with a query, in their order; no model is asked.

A sentence scores by the query's words in it, rare words more than common ones, and lends some of it to its neighbours,
which tell what it is about. Without a query, the words that the text itself uses most stand in for it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.packing.borders import SENTENCE_END
from ensemble.packing.counting import TokenCounter
from ensemble.packing.cutting import NOTHING, Fitted, head_tail
from ensemble.packing.fences import closed, fences
from ensemble.packing.model import CUT_MARK

__all__ = ["extract", "terms"]

_GAP = "…"
_NEIGHBOURS = 0.35
_EDGE = 0.01
"""What the first and the last sentence score for standing there; what is left of the room goes to head and tail."""
_MOST_TERMS = 48
_MANY = 20
_LONGEST_SEGMENT = 1_000
"""Characters; a sentence that never ends is taken in pieces."""
_SAMPLE_CHARS = 100_000
_OWN_TERMS = 12
_TELLING = 4
"""Letters; shorter words of a text are mostly articles and the like."""

_WORD = re.compile(r"[^\W\d_]{2,}|\d+|[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f]+")
_SEGMENT = re.compile(rf"[^\n]{{0,{_LONGEST_SEGMENT}}}?(?:{SENTENCE_END}[ \t]*|\n|\Z)|[^\n]{{1,{_LONGEST_SEGMENT}}}")


@dataclass(frozen=True, slots=True)
class _Segment:
    start: int
    end: int


def terms(text: str) -> list[str]:
    """Return the words of *text* to look for, each once: words of scripts with spaces, pairs of signs of the others."""
    found: dict[str, None] = {}
    for word in _WORD.finditer(text):
        for piece in _pieces(word[0].lower()):
            found.setdefault(piece)
    return list(found)


def extract(text: str, tokens: int, counter: TokenCounter, query: str) -> Fitted:
    """Return the best sentences of *text*, at most *tokens* by *counter*; head and tail where none is better."""
    looked_for = terms(query)[:_MOST_TERMS] or _own_terms(text)
    segments = _segments(text)
    scores = _scores(text, segments, looked_for)
    if not scores:
        return head_tail(text, tokens, counter)
    room = tokens - counter.count(f"\n{CUT_MARK}")
    while room > 0:
        chosen = _chosen(text, segments, scores, room, counter)
        if not chosen:
            return head_tail(text, tokens, counter)
        fitted = _joined(text, [segments[index] for index in sorted(chosen)])
        over = counter.count(fitted.text) - tokens
        if over <= 0:
            return fitted
        room -= max(over, room // 16, 1)
    return NOTHING


def _pieces(word: str) -> list[str]:
    if not _CJK.fullmatch(word):
        return [word]
    return [word[at : at + 2] for at in range(len(word) - 1)] or [word]


def _own_terms(text: str) -> list[str]:
    counts = Counter(
        piece for word in _WORD.finditer(text[:_SAMPLE_CHARS]) for piece in _pieces(word[0].lower()) if len(piece) > 1
    )
    long = [
        (word, number)
        for word, number in counts.most_common(_OWN_TERMS * 8)
        if len(word) >= _TELLING or _CJK.match(word)
    ]
    return [word for word, number in long[:_OWN_TERMS] if number > 1]


def _segments(text: str) -> list[_Segment]:
    """Return the sentences, list items, table rows and whole code fences of *text*, one behind the other."""
    found: list[_Segment] = []
    at = 0
    for fence in fences(text):
        found += _sentences(text, at, fence.start)
        end = min(len(text), fence.end + 1)
        found.append(_Segment(fence.start, end))
        at = end
    return found + _sentences(text, at, len(text))


def _sentences(text: str, start: int, end: int) -> list[_Segment]:
    return [_Segment(*match.span()) for match in _SEGMENT.finditer(text, start, end) if match.end() > match.start()]


def _scores(text: str, segments: Sequence[_Segment], looked_for: Sequence[str]) -> list[float]:
    """Return the score of each segment; nothing where none of the words is in the text."""
    if not looked_for or not segments:
        return []
    hits = _hits(text, [segment.start for segment in segments], looked_for)
    if not hits:
        return []
    own = [0.0] * len(segments)
    for where in hits.values():
        weight = math.log(1 + len(segments) / len(where))
        for index in where:
            own[index] += weight
    last = len(segments) - 1
    return [
        score
        + _NEIGHBOURS * max(own[index - 1] if index else 0.0, own[index + 1] if index < last else 0.0)
        + _EDGE * max(1 - index / (0.6 * last + 1), 1 - (last - index) / (0.4 * last + 1))
        for index, score in enumerate(own)
    ]


def _hits(text: str, starts: Sequence[int], looked_for: Sequence[str]) -> dict[str, set[int]]:
    """Return the segments in which each word begins a word; those of scripts without spaces stand anywhere."""
    lower = text.replace("İ", "i").lower()  # the one letter whose small form is longer than itself
    hits: dict[str, set[int]] = {}
    for word in looked_for:
        at = lower.find(word)
        if at < 0 or (len(starts) > _MANY and lower.count(word) > len(starts) // 2):
            continue  # what stands in every other sentence tells none from another
        anywhere = _CJK.match(word) is not None
        where = set()
        while at >= 0:
            if anywhere or not at or not lower[at - 1].isalnum():
                where.add(bisect_right(starts, at) - 1)
            at = lower.find(word, at + len(word))
        if where:
            hits[word] = where
    return hits


def _chosen(
    text: str, segments: Sequence[_Segment], scores: Sequence[float], room: int, counter: TokenCounter
) -> set[int]:
    """Return the best segments that fit *room* together, each paying for a gap behind it."""
    chosen: set[int] = set()
    gap = counter.count(f"{_GAP}\n")
    for index in sorted(range(len(segments)), key=lambda index: -scores[index]):
        segment = segments[index]
        if segment.end - segment.start > room * 16:
            continue
        neighbours = (index - 1 in chosen) + (index + 1 in chosen)
        cost = counter.count(text[segment.start : segment.end]) + gap * (1 - neighbours)
        if cost <= room:
            chosen.add(index)
            room -= cost
        if room <= gap:
            break
    return chosen


def _joined(text: str, segments: Sequence[_Segment]) -> Fitted:
    """Return *segments* as one text: a gap where some are left out, the mark at the end."""
    pieces: list[str] = []
    at = kept = 0
    for segment in segments:
        if segment.start > at:
            if pieces and not pieces[-1].endswith("\n"):
                pieces.append("\n")
            pieces.append(f"{_GAP}\n")
        pieces.append(text[segment.start : segment.end])
        kept += segment.end - segment.start
        at = segment.end
    whole = closed("".join(pieces))
    return Fitted(f"{whole.rstrip()}\n{CUT_MARK}", kept)
