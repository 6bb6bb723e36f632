"""Routes chosen by rules: keywords, patterns, conditions about the task and the inputs."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from ensemble.plan.conditions import evaluate
from ensemble.plan.rendering import Scope
from ensemble.plan.routes import Route, Routing, Strategy
from ensemble.routing.choices import Choice, Ranked, first_open

__all__ = ["choose_by_rules", "hits"]

KEYWORD_CHARS = 20_000
"""How much of a query is looked through for keywords."""
PATTERN_CHARS = 500
"""How much of a query is held against patterns: all that are taken, made to be slow, need about a second for it."""


def choose_by_rules(routing: Routing, scope: Scope, shut: Collection[str] = ()) -> Choice:
    """Return the route with the most hits, in the order of the routes where several have as many.

    With the strategy *auto* a tie is no decision: whoever comes next decides. Routes in *shut* are passed over.
    """
    found = [(route.name, hits(route, scope)) for route in routing.routes if route.has_rules]
    ranked = sorted(((name, words) for name, words in found if words), key=lambda each: -len(each[1]))
    total = sum(len(words) for _, words in ranked)
    listed = [Ranked(name, round(len(words) / total, 4)) for name, words in ranked]
    best, passed = first_open(listed, shut)
    rest = tuple(each for each in listed if best is None or each.route != best.route)
    if best is None:
        reason = f"By rules it were {passed[0]}, whose breaker is open." if passed else ""
        return Choice(reason=reason, alternatives=rest, passed_over=passed)
    equals = [each.route for each in rest if each.confidence == best.confidence and each.route not in shut]
    if equals and routing.strategy is Strategy.AUTO:
        reason = f"By rules it is as much {best.route} as {', '.join(equals)}."
        return Choice(reason=reason, alternatives=tuple(listed), passed_over=passed)
    words = dict(ranked)[best.route]
    return Choice(
        route=best.route,
        by=Strategy.RULES,
        confidence=best.confidence,
        reason=f"{', '.join(words[:5])}." + _over(passed),
        alternatives=rest,
        passed_over=passed,
    )


def hits(route: Route, scope: Scope) -> tuple[str, ...]:
    """Return, in words, the rules of *route* that speak for it.

    Where it has a condition that does not hold, nothing does; one that holds speaks for it.
    """
    held: tuple[str, ...] = ()
    if route.when is not None:
        holds, _ = evaluate(route.when, scope)
        if not holds:
            return ()
        held = ("its condition holds",)
        if not route.keywords and not route.patterns:
            return held
    text = _folded(scope.task[:KEYWORD_CHARS])
    words = tuple(f"keyword '{word}'" for word in route.keywords if _stands(_folded(word), text))
    head = scope.task[:PATTERN_CHARS]
    shapes = tuple(f"pattern {number}" for number, each in enumerate(route.patterns, 1) if each.search(head))
    found = words + shapes
    return found + held if found else ()


def _stands(word: str, text: str) -> bool:
    """Return whether *word* stands in *text*: as a word of its own, in scripts that part words by spaces."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not _joined(text[at - 1 : at], word[0]) and not _joined(word[-1], text[end : end + 1]):
            return True
        at = text.find(word, at + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Return whether two neighbours are letters of one word."""
    return bool(left) and bool(right) and all(each.isalnum() and not _wide(each) for each in (left, right))


def _wide(letter: str) -> bool:
    """Return whether it belongs to a script that writes without spaces, as Han and Kana."""
    return unicodedata.east_asian_width(letter) in {"W", "F"}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _over(passed: Collection[str]) -> str:
    return f" Passed over, because their breakers are open: {', '.join(passed)}." if passed else ""
