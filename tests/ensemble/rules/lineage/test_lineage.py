"""Which runs could be nested in which: as tables, and on random calls under way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ensemble.rules.lineage.lineage import (
    DEPTH_LIMIT,
    MOST_NESTED,
    could_lead_to,
    descended,
    first_link,
    going_round,
    longest_line,
    too_deep,
    too_nested,
)
from ensemble.rules.records import Going, Link, Origin
from tests.ensemble.rules.tables import cases, holds, table

type Call = tuple[str, str, str, int, int]
"""One call under way, written ``(caller, user, called app, opened, admitted)``: of a run without a token."""


def under_way(calls: Sequence[Call], app: str) -> list[Going]:
    """Return those into *app*; a called app written with a ``#`` was called by its key, so its user is another."""
    return [
        Going(
            run_id="0" * 32,
            agent=called.removesuffix("#"),
            admitted_ms=admitted,
            same_user=not called.endswith("#"),
            origin=Origin(caller=caller, end_user=user, opened_ms=opened),
            depth=1,
        )
        for caller, user, called, opened, admitted in calls
        if called.removesuffix("#") == app
    ]


def depth(caller: str, user: str, opened: int, calls: Sequence[Call]) -> int:
    """Return how deep a run could be that was opened by these calls under way; ``ann*`` is known to start this app."""
    run = Origin(caller=caller, end_user=user.rstrip("*"), opened_ms=opened, starter=user.endswith("*"))
    return longest_line(run, lambda app: under_way(calls, app))[0]


def line(*apps: str, user: str = "ann", key: bool = False) -> list[Call]:
    """Return the calls of runs that are nested in each other, each opened 5 ms after the call it stands in."""
    mark = "#" * key
    return [
        (caller, f"{user}{number if key else ''}", called + mark, 10 * number, 10 * number + 5)
        for number, (caller, called) in enumerate(itertools.pairwise(apps))
    ]


ANN_AND_BOB = [("A", "ann", "B", 0, 5), ("B", "bob", "A", 10, 15)]


@pytest.mark.parametrize(
    ("run", "calls", "deep"),
    [
        pytest.param(("A", "ann", 100), [], 1, id="nothing is under way"),
        pytest.param(("B", "ann", 10), line("A", "B"), 2, id="A calls B, and B opens a run"),
        pytest.param(("C", "ann", 10), line("A", "B"), 1, id="A calls B, and C opens one"),
        pytest.param(("B", "ann", 5), line("A", "B"), 1, id="B's was opened before the call went out"),
        pytest.param(("B", "bob", 10), line("A", "B"), 1, id="B's is another user's"),
        pytest.param(("B", "", 10), line("A", "B"), 2, id="nobody knows whose B's is"),
        pytest.param(("B", "bob", 10), line("A", "B", key=True), 2, id="called by its key, B sees another user"),
        pytest.param(("B", "bob*", 10), line("A", "B", key=True), 1, id="and Bob is known to start B himself"),
        pytest.param(("A", "cyd", 20), ANN_AND_BOB, 1, id="Ann runs A→B, Bob B→A; Cyd runs A"),
        pytest.param(("A", "bob", 20), ANN_AND_BOB, 2, id="and the A inside Bob's B"),
        pytest.param(("A", "ann", 40), line("A", "B", "A", "B", "A"), 5, id="A→B→A→B→A"),
        pytest.param(("B", "ann", 50), line("A", "B", "A", "B", "A", "B"), 6, id="A→B→A→B→A→B"),
        pytest.param(("B", "zed", 50), line("A", "B", "A", "B", "A", "B", key=True), 6, id="the same by keys"),
        pytest.param(("A", "ann", 60), line("A", "A", "A", "A", "A", "A", "A"), 6, id="A calls itself, and again"),
    ],
)
def test_how_deep_a_run_could_be(run: tuple[str, str, int], calls: list[Call], deep: int) -> None:
    """Six are too many, and a line that is longer still is not followed any further."""
    found = depth(*run, calls)

    assert found == deep
    assert bool(too_deep(found, [])) == (deep > DEPTH_LIMIT)


CHAIN = descended(descended((first_link("app:A"),), "market", ("api:m#1", "app:M")), "writer", ("app:W",))


@pytest.mark.parametrize(
    ("name", "identities", "words"),
    [
        pytest.param("tech", ("app:T",), "", id="an app that is not on the way"),
        pytest.param("market", ("api:m#2",), "", id="the same name, another app"),
        pytest.param("planner", ("app:A",), "planner → market → writer → planner", id="the first app"),
        pytest.param("shop", ("app:M",), "app:A… → market → writer → shop", id="an app called by its key before"),
        pytest.param("shop", ("api:m#1",), "app:A… → market → writer → shop", id="by the same key again"),
        pytest.param("me", ("app:W",), "app:A… → market → writer → me", id="itself"),
    ],
)
def test_who_would_be_called_again(name: str, identities: tuple[str, ...], words: str) -> None:
    """Known by what they are, not by what they are called."""
    assert going_round(CHAIN, name, identities) == words


def test_the_page_shows_these_cases() -> None:
    """The tables above."""
    rows = [
        (p.id, p.values[2], "refused" if p.values[2] > DEPTH_LIMIT else "") for p in cases(test_how_deep_a_run_could_be)
    ]
    holds("lineage.md", table(("under way, and what opens", "runs on the longest line", ""), rows))


def test_a_known_chain_has_an_end_too() -> None:
    """Every run above is charged for each call, so there is a most."""
    chain: tuple[Link, ...] = (first_link("app:0"),)
    for number in range(1, MOST_NESTED):
        chain = descended(chain, f"a{number}", (f"app:{number}",))

    assert not too_nested(chain)
    assert "a1 → a2" in too_nested(descended(chain, "last", ("app:last",)))


APPS = st.sampled_from("ABC")
USERS = st.sampled_from(["ann", "bob", "cyd", ""])
CALLS = st.lists(st.tuples(APPS, USERS, APPS, st.integers(0, 30), st.integers(1, 9)), max_size=12)


@given(APPS, USERS, CALLS)
def test_no_line_is_longer_than_it_can_be(caller: str, user: str, drawn: list[Call]) -> None:
    """The longest line is found, each call of it leads to the next, and none is counted twice."""
    calls = [(c, u, called, opened, opened + wait) for c, u, called, opened, wait in drawn]
    run = Origin(caller=caller, end_user=user, opened_ms=50)

    deep, way = longest_line(run, lambda app: under_way(calls, app))

    assert deep == min(DEPTH_LIMIT + 1, brute(run, calls))
    assert deep == len(way) + 1
    for call, after in zip(way, [*(each.origin for each in way), run][1:], strict=True):
        assert could_lead_to(call, after)


def brute(run: Origin, calls: list[Call]) -> int:
    """Return the same by trying every way there is."""
    into = [call for call in under_way(calls, run.caller or "") if could_lead_to(call, run)]
    return 1 + max((brute(call.origin, calls) for call in into), default=0)


@given(CALLS)
def test_strangers_add_nothing_to_a_line(drawn: list[Call]) -> None:
    """However many others call what I call, my run is as deep as if I were alone."""
    mine = line("A", "B", "C")
    others = [(c, "bob", called, opened, opened + wait) for c, _, called, opened, wait in drawn]

    assert depth("C", "ann", 60, [*mine, *others]) == 3
