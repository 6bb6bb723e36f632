"""Routes chosen by rules: what hits, who wins, what is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.reading.fields import Fields
from ensemble.plan.reading.routes import read_routing
from ensemble.plan.reading.texts import Texts
from ensemble.plan.rendering import Scope
from ensemble.plan.routes import Routing
from ensemble.plan.templates import BareWords
from ensemble.routing.rules import choose_by_rules


def routing(*routes: dict[str, Any], **settings: Any) -> Routing:
    """Return a routing as read."""
    faults = Faults()
    given = {"strategy": "rules", "routes": list(routes), **settings}
    read = read_routing(Fields(given, "route", faults), {}, Texts(BareWords((), {}), faults, [], refusal="no steps"))
    faults.stop()
    return read


def route(query: str, *routes: dict[str, Any], shut: tuple[str, ...] = (), **settings: Any) -> str:
    """Return the route of *query*."""
    return choose_by_rules(routing(*routes, **settings), Scope(task=query, inputs={"plan": "pro"}), shut).route


@pytest.mark.parametrize(
    ("keyword", "query", "hit"),
    [
        ("art", "modern ART, please", True),
        ("art", "a party", False),
        ("art", "the artist", False),
        ("C++", "is c++ hard?", True),
        ("退款", "我要退款谢谢", True),
        ("パスワード", "パスワードを忘れた", True),
        ("GPU", "新しいGPUがほしい", True),
        ("\uff36\uff30\uff2e", "the vpn is down", True),
        ("straße", "STRASSE 5", True),
        ("log in", "I can't log in", True),
    ],
)
def test_a_keyword_stands_as_a_word(keyword: str, query: str, hit: bool) -> None:  # noqa: FBT001 - a table's column
    """Whatever its case and width; in scripts without spaces it may stand anywhere."""
    assert route(query, {"name": "a", "keywords": [keyword]}) == ("a" if hit else "")


def test_the_most_hits_win_and_the_first_of_equals() -> None:
    """With *auto* a tie is left to whoever comes next."""
    routes = {"name": "a", "keywords": ["x", "y"]}, {"name": "b", "keywords": ["z", "w"], "patterns": ["q+"]}

    assert route("x z w", *routes) == "b"
    assert route("x z", *routes) == "a"
    assert route("x z", *routes, strategy="auto") == ""
    assert route("x z w", *routes, strategy="auto") == "b"


def test_a_condition_chooses_alone_and_holds_others_back() -> None:
    """A route whose condition does not hold is not taken, whatever its keywords."""
    pro = {"name": "pro", "when": "{{ start.plan }} is pro"}
    free = {"name": "free", "when": "{{ start.plan }} is free", "keywords": ["x"]}
    both = {"name": "both", "when": "{{ task }} contains x", "keywords": ["x"]}

    assert route("hello", pro) == "pro"
    assert route("x", free) == ""
    assert route("x", free, both) == "both"


def test_an_open_breaker_is_passed_over() -> None:
    """For the next best; if there is none, nothing is chosen."""
    routes = {"name": "a", "keywords": ["x", "y"]}, {"name": "b", "keywords": ["x"]}

    choice = choose_by_rules(routing(*routes), Scope(task="x y"), ("a",))

    assert (choice.route, choice.passed_over) == ("b", ("a",))
    assert "a" in choice.reason
    assert route("x y", *routes, shut=("a", "b")) == ""


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"routes": [{"name": "a", "keywords": ["x"]}, {"name": "A"}]}, "route.routes[1]"),
        ({"routes": [{"keywords": ["x"]}]}, "route.routes[0].name"),
        ({"routes": [{"name": "a", "patterns": ["("]}]}, "route.routes[0].patterns[0]"),
        ({"routes": [{"name": "a", "when": "{{ step.x }} is 1"}]}, "route.routes[0].when.field"),
        ({"routes": [{"name": "a", "keywords": ["x"], "colour": 1}]}, "route.routes[0].colour"),
        ({"routes": [{"name": "a", "keywords": ["x"]}], "default": "b"}, "route.default"),
        ({"routes": [{"name": "a", "keywords": ["x"]}], "threshold": 2}, "route.threshold"),
        ({"routes": [{"name": "a", "keywords": ["x"]}], "model": "gpt"}, "route.model"),
        ({"routes": []}, "route.routes"),
        ({"routes": [{"name": f"r{n}"} for n in range(101)]}, "route.routes"),
        ({"routes": [{"name": "a"}]}, "route.strategy"),
    ],
)
def test_what_is_wrong_with_routes_is_named(settings: dict[str, Any], field: str) -> None:
    """By its place."""
    with pytest.raises(PlanError) as refused:
        routing(**{"routes": [], **settings})

    assert field in [fault.field for fault in refused.value.faults]


def test_routes_can_be_a_map() -> None:
    """From name to description, or to the route's fields."""
    read = routing(routes={"a": "all of it", "b": {"keywords": "x, y", "description": "the rest"}})

    assert [(each.name, each.description, each.keywords) for each in read.routes] == [
        ("a", "all of it", ()),
        ("b", "the rest", ("x", "y")),
    ]
