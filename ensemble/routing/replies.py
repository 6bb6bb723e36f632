"""What a model said when it was asked for a route, read with suspicion: only a route that was offered is ever taken.

A reply is an object with a field ``route``, perhaps inside other words, or the name of a route and nothing else. What
is broken is mended only where the mending can't change the route: a text that breaks off inside the name, an object that
names two routes, or two objects that disagree, are no answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ensemble.contract.loose import Fields, objects, without_thoughts
from ensemble.plan.routes import Strategy
from ensemble.routing.choices import Choice, Ranked

__all__ = ["NONE", "BadReply", "read_reply"]

NONE = "none"
"""What a model answers where no route fits."""
READ_CHARS = 20_000
"""How much of a reply is read."""

_REASON_CHARS = 500
_PERCENT = 100
_NOTHING = frozenset({"", NONE, "null"})
_WRAPPING = " \t\r\n\"'`\u201c\u201d\u2018\u2019\u300c\u300d*#>.\u3002"
"""What may stand around a name: quotes, Markdown, a full stop."""
_PAIRS = (("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u300c", "\u300d"))
_QUOTES = "\"'`"
_FIELD = re.compile(r'"route"\s*:\s*("(?:[^"\\\n]|\\.)*")')


class BadReply(Exception):  # noqa: N818 - what it says is about the reply
    """The reply names no route that was offered; the message says what it does instead."""


def read_reply(reply: str | Mapping[str, Any], offered: Sequence[str]) -> Choice:
    """Return what *reply* chose among *offered*; a choice without a route where it says that none fits.

    Raises:
        BadReply: it chose nothing that was offered.

    """
    if isinstance(reply, Mapping):
        return _chosen(reply, offered)
    text = without_thoughts(reply[:READ_CHARS])
    answers = list(_answers(text))
    if not answers:
        return _bare(text if len(reply) <= READ_CHARS else "", offered)
    if any("route" in answer.torn for answer in answers):
        raise BadReply("It names several routes.")
    choices = [_chosen(answer, offered) for answer in answers]
    if len({choice.route for choice in choices}) > 1:
        raise BadReply("It names several routes.")
    return choices[-1]


def _chosen(answer: Mapping[str, Any], offered: Sequence[str]) -> Choice:
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


def _answers(text: str) -> Iterator[Fields]:
    """Yield the objects of *text* with a route, mended where that is needed."""
    for written in objects(text):
        if not written.whole:
            # It breaks off. What stands whole at its own level was meant; what stands deeper is something else.
            fields = (_FIELD.match(written.text, at) for at in written.quoted)
            routes = {_unquoted(field[1]) for field in fields if field}
            if len(routes) == 1:
                yield Fields({"route": routes.pop()})
            return
        said = written.read(python="\\" not in written.text)  # Python has escapes of its own.
        if said is not None and "route" in said:
            yield said


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
