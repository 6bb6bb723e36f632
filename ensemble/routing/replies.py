"""What a model said when it was asked for a route, read with suspicion: only a route that was offered is ever taken.

A reply is an object with a field ``route``, perhaps inside other words, or the name of a route and nothing else. What
is broken is mended only where the mending can't change the route: a text that breaks off inside the name, an object that
names two routes, or two objects that disagree, are no answer.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ensemble.plan.routes import Strategy
from ensemble.routing.choices import Choice, Ranked

__all__ = ["NONE", "BadReply", "read_reply"]

NONE = "none"
"""What a model answers where no route fits."""
READ_CHARS = 20_000
"""How much of a reply is read."""

_MOST_OBJECTS = 50
_REASON_CHARS = 500
_PERCENT = 100
_NOTHING = frozenset({"", NONE, "null"})
_WRAPPING = " \t\r\n\"'`\u201c\u201d\u2018\u2019\u300c\u300d*#>.\u3002"
"""What may stand around a name: quotes, Markdown, a full stop."""
_PAIRS = (("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u300c", "\u300d"))
_QUOTES = "\"'`"
_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_FIELD = re.compile(r'"route"\s*:\s*("(?:[^"\\\n]|\\.)*")')
_TRAILING = re.compile(r",\s*([}\]])")


class BadReply(Exception):  # noqa: N818 - what it says is about the reply
    """The reply names no route that was offered; the message says what it does instead."""


class _Object(dict[str, Any]):
    """An object that remembers whether its route was given twice, with two values."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.torn = len({str(value) for name, value in pairs if name == "route"}) > 1


_DECODER = json.JSONDecoder(object_pairs_hook=_Object)


def read_reply(reply: str | Mapping[str, Any], offered: Sequence[str]) -> Choice:
    """Return what *reply* chose among *offered*; a choice without a route where it says that none fits.

    Raises:
        BadReply: it chose nothing that was offered.

    """
    if isinstance(reply, Mapping):
        return _chosen(reply, offered)
    text = _THOUGHTS.sub("", reply[:READ_CHARS])
    answers = [each for each in _objects(text) if "route" in each]
    if not answers:
        return _bare(text if len(reply) <= READ_CHARS else "", offered)
    choices = [_chosen(answer, offered) for answer in answers]
    if len({choice.route for choice in choices}) > 1:
        raise BadReply("It names several routes.")
    return choices[-1]


def _chosen(answer: Mapping[str, Any], offered: Sequence[str]) -> Choice:
    if getattr(answer, "torn", False):
        raise BadReply("It names several routes.")
    given = answer.get("route")
    route = _offered(given, offered)
    reason = answer.get("reason")
    told = " ".join(reason.split())[:_REASON_CHARS] if isinstance(reason, str) else ""
    others = tuple(_others(answer.get("alternatives"), offered, route))
    if not route:
        return Choice(reason=f"The model says that no route fits{f': {told}' if told else '.'}", alternatives=others)
    return Choice(
        route=route,
        by=Strategy.LLM,
        confidence=_share(answer.get("confidence")),
        reason=told or "The model chose it.",
        alternatives=others,
    )


def _offered(given: Any, offered: Sequence[str]) -> str:
    """Return the offered route that *given* is the name of; "" where it says that none fits."""
    if isinstance(given, str) or given is None:
        word = (given or "").strip()
        if word in offered:
            return word
        same = [name for name in offered if _plain(name) == _plain(word)]
        if len(same) == 1:
            return same[0]
        if not same and _plain(word) in _NOTHING:
            return ""
    raise BadReply(f"It names {json.dumps(given, default=str)[:80]}, which was not offered.")


def _bare(reply: str, offered: Sequence[str]) -> Choice:
    """Read a reply without an object: a name and nothing else, perhaps in quotes that are closed again."""
    if any(reply.count(opening) != reply.count(closing) for opening, closing in _PAIRS) or any(
        reply.count(quote) % 2 for quote in _QUOTES
    ):
        raise BadReply("It breaks off.")
    for word in (reply.strip(), reply.strip(_WRAPPING)):
        if not word:
            continue
        try:
            route = _offered(word, offered)
        except BadReply:
            continue
        if route:
            return Choice(route=route, by=Strategy.LLM, reason="The model chose it.")
        return Choice(reason="The model says that no route fits.")
    raise BadReply("It holds no object with a route.")


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of *text* that stand in no other one, mended where that is needed."""
    at = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            return
        end, fields = _walked(text, at)
        if end is None:
            # It breaks off. What stands whole at its own level was meant; what stands deeper is something else.
            if len(fields) == 1:
                yield {"route": fields.pop()}
            return
        found = _object(text[at:end])
        if found is not None:
            yield found
        at = text.find("{", end)


def _walked(text: str, at: int) -> tuple[int | None, set[str]]:
    """Return where the object at *at* ends, None if it does not; and the routes that stand at its own level."""
    depth, fields = 0, set()
    while at < len(text):
        letter = text[at]
        if letter == '"':
            if depth == 1 and (field := _FIELD.match(text, at)):
                fields.add(_unquoted(field[1]))
            at = _string_end(text, at)
            continue
        depth += (letter in "{[") - (letter in "}]")
        at += 1
        if not depth:
            return at, fields
    return None, fields


def _string_end(text: str, at: int) -> int:
    """Return where the text in quotes that begins at *at* is over."""
    at += 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1


def _object(piece: str) -> Mapping[str, Any] | None:
    """Return the object that *piece* is, as JSON or as Python and careless models write it."""
    for written in (piece, _TRAILING.sub(r"\1", piece)):
        try:
            value = _DECODER.decode(written)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, Mapping) else None
    if piece.count("route") != 1 or "\\" in piece:
        return None  # As Python reads it, the last of two fields would win; and it has escapes of its own.
    try:
        value = ast.literal_eval(piece)
        repr(value)  # a whole number in hexadecimal may be too long to be written
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _others(given: Any, offered: Sequence[str], route: str) -> Iterator[Ranked]:
    seen = {route}
    for each in given if isinstance(given, list) else ():
        named = each if isinstance(each, Mapping) else {"route": each}
        try:
            other = _offered(named.get("route"), offered)
        except BadReply:
            continue
        if other and other not in seen:
            seen.add(other)
            yield Ranked(other, _share(named.get("confidence")))


def _share(value: Any) -> float | None:
    """Return a confidence as 0 to 1; percent are understood, anything else is unknown."""
    if isinstance(value, str):
        try:
            value = float(value.strip().removesuffix("%"))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _PERCENT:
        return None
    return round(float(value if value <= 1 else value / _PERCENT), 4)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
