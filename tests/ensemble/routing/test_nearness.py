"""Routes chosen by nearness: the largest cosine, if it is large enough and far enough before the next."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ensemble.plan.routes import Route, Routing
from ensemble.routing.nearness import choose_by_nearness, unit

QUERY = [1.0, 0.0]
KNOWN = {"a": [0.8, 0.6], "an example": [0.6, 0.8], "b": [0.6, 0.8], "c": [-1.0, 0.0]}
ROUTES = (Route(name="a", examples=("an example",)), Route(name="b"), Route(name="c"))


@pytest.mark.parametrize(
    ("threshold", "margin", "shut", "route", "over"),
    [
        (0.5, 0.1, (), "a", ()),
        (0.8, 0.2, (), "a", ()),
        (0.81, 0.0, (), "", ()),
        (0.5, 0.21, (), "", ()),
        (0.5, 0.1, ("a",), "b", ("a",)),
        (0.7, 0.1, ("a",), "", ("a",)),
        (0.5, 0.3, ("b",), "a", ()),
        (0.0, 0.0, ("a", "b", "c"), "", ("a", "b", "c")),
    ],
)
def test_threshold_margin_and_open_breakers(
    threshold: float, margin: float, shut: tuple[str, ...], route: str, over: tuple[str, ...]
) -> None:
    """The next one has to be near enough itself; an open rival narrows no margin."""
    routing = Routing(routes=ROUTES, threshold=threshold - 1e-9, margin=max(0.0, margin - 1e-9))

    choice = choose_by_nearness(routing, QUERY, KNOWN, shut)

    assert (choice.route, choice.passed_over) == (route, over)
    assert choice.reason
    if route:
        assert [each.route for each in choice.alternatives] == [each for each in "abc" if each != route]


def test_a_confidence_is_never_outside_of_0_and_1() -> None:
    """An opposite vector is as good as unrelated."""
    choice = choose_by_nearness(Routing(routes=ROUTES), QUERY, KNOWN)

    assert choice.confidence == 0.8
    assert [each.confidence for each in choice.alternatives] == [0.6, 0.0]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@example([5e-324, 5e-324])
@example([1.7e308, 1.7e308])
def test_a_vector_has_length_one_or_none(values: list[float]) -> None:
    """Whatever the model gives."""
    made = unit(values)

    assert made is not None
    assert math.hypot(*made) == pytest.approx(1.0) or not any(made)


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [math.inf]])
def test_what_is_no_vector_is_refused(values: list[float]) -> None:
    """Empty, not a number, infinite."""
    assert unit(values) is None
