"""Circles of runs inside runs: refused where the way is known, stopped at a limit where it only could be, strangers never."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.contract.exchange import Decision, Reached, Remote, Why
from ensemble.rules.problems import Conflict
from tests.ensemble.rules.asks import closing, hex_id, later
from tests.ensemble.rules.lineage.family import Member, left_over, opened
from tests.ensemble.rules.store import StrictStore

A, B, C = "app:a", "app:b", "app:c"
KEY_OF_B = "api:http://dify/v1#bbbb"


@pytest.fixture
def store() -> StrictStore:
    """An empty one."""
    return StrictStore()


def test_a_circle_is_refused_before_the_call_goes_out(store: StrictStore) -> None:
    """A calls B, and B calls A: named as the agents are."""
    outer = opened(store, 1, A)
    outer.call(1, B, agent="market")
    inner = opened(store, 2, B, parent=outer.parent(1))

    told = inner.call(2, A, agent="planner")

    assert (told.decision, told.why) == (Decision.REFUSED, Why.RECURSION)
    assert told.detail == "planner → market → planner"
    assert inner.call(3, C).decision is Decision.ADMITTED


def test_a_circle_by_keys_is_refused_where_it_closes_and_then_before(store: StrictStore) -> None:
    """Which app is behind a key is not known until a run in it has told; from then on no call goes out."""
    outer = opened(store, 1, A)
    outer.call(1, KEY_OF_B, agent="market")
    inner = opened(store, 2, B, parent=outer.parent(1))
    assert inner.call(2, "api:http://dify/v1#aaaa", agent="planner").decision is Decision.ADMITTED
    again = opened(store, 3, A, parent=inner.parent(2))

    told = again.call(3, C)

    assert (told.decision, told.why, told.detail) == (
        Decision.REFUSED, Why.RECURSION, "planner → market → planner",
    )  # fmt: skip
    told = inner.call(4, "api:http://dify/v1#aaaa", agent="boss")
    assert (told.why, told.detail) == (Why.RECURSION, "boss → market → boss")


def test_a_run_never_waits_for_one_that_waits_for_it(store: StrictStore) -> None:
    """With one run_key for both, the inner call would follow the outer run, which waits for it."""
    outer = opened(store, 1, A)
    outer.call(1, B)

    with pytest.raises(Conflict, match="run_key"):
        opened(store, 2, B, key=1, parent=outer.parent(1))


def test_two_users_of_a_b_and_b_a_at_once(store: StrictStore) -> None:
    """Nobody is refused, whatever token they show, if any."""
    ann = opened(store, 1, A, end_user="ann")
    bob = opened(store, 2, B, end_user="bob")
    ann.call(1, B)
    bob.call(2, A)
    runs = [
        opened(store, 3, B, end_user="ann"),
        opened(store, 4, A, end_user="bob"),
        opened(store, 5, B, parent=ann.parent(1)),
        opened(store, 6, A, parent=bob.parent(2)),
    ]

    for number, run in enumerate(runs):
        assert run.call(10 + number, C).decision is Decision.ADMITTED


def test_strangers_in_any_number_are_not_taken_for_a_circle(store: StrictStore) -> None:
    """Fifty users, every second of A→B, the others of B→A, each opened while all before are at it."""
    for number in range(50):
        app, other = (A, B) if number % 2 else (B, A)
        run = opened(store, number, app, end_user=f"user {number}")
        assert run.call(number, other).decision is Decision.ADMITTED


def test_without_tokens_a_circle_ends_at_the_limit(store: StrictStore) -> None:
    """A→B→A→B→…: Dify hands the user on."""
    depth = go_round(store, end_user="ann")

    assert depth in (6, 7)  # the very first time, the call by which B became known as an app with a team is not counted
    assert go_round(store, end_user="ann", first=100) == 6


def test_without_tokens_a_circle_by_keys_ends_at_the_limit(store: StrictStore) -> None:
    """Each app sees a user of its own; which app a key opens is told while the first calls are under way."""
    tell = {1: "b", 2: "a"}
    for round_, most in ((0, 7), (1, 6)):
        runs: list[Member] = []
        for number in range(1, 20):
            app, other = (A, B) if number % 2 else (B, A)
            first = 100 * round_
            runs.append(opened(store, first + number, app, end_user=f"user {first + number}"))
            told = runs[-1].call(first + number, f"api:dify#{other}")
            if told.decision is not Decision.ADMITTED:
                assert told.why is Why.RECURSION
                break
            if round_ == 0 and number in tell:
                reached = Reached(ticket=hex_id(number), remote=Remote(app_id=tell[number]))
                runs[-1].tell(reached=(reached,))
        assert len(runs) <= most
        for run in reversed(runs):
            run.close()
        assert not left_over(store)


def test_who_starts_an_app_himself_is_none_of_those_who_call_it_by_key(store: StrictStore) -> None:
    """Seen once when nothing could have called it, he is left in peace when others do."""
    opened(store, 1, A).call(1, "api:dify#b")
    opened(store, 2, B, parent=None, end_user="bob").call(2, "api:dify#a")
    for number, app in ((1, "b"), (2, "a")):
        store.exchange(
            later(number, 1000 + number, reached=(Reached(ticket=hex_id(number), remote=Remote(app_id=app)),))
        )
        store.exchange(later(number, 1000 + number, close=closing()))
    users = [f"user {number}" for number in range(8)]
    for number, user in enumerate(users):
        opened(store, 100 + number, (A, B)[number % 2], end_user=user).close()

    for number, user in enumerate(users):
        app, other = ((A, "b"), (B, "a"))[number % 2]
        run = opened(store, 200 + number, app, end_user=user)
        assert run.call(200 + number, f"api:dify#{other}").decision is Decision.ADMITTED
    # A stranger's first run, with all of these under way, could stand at the end of a line of one: those are starters.
    assert opened(store, 300, A, end_user="new").call(300, C).decision is Decision.ADMITTED


def test_a_key_that_opens_an_app_without_a_team_costs_nothing(store: StrictStore) -> None:
    """It is remembered with the app, in case that runs a team some day; calls by it are not listed until then."""
    run = opened(store, 1, A)
    run.call(1, "api:dify#leaf")
    run.tell(reached=(Reached(ticket=hex_id(1), remote=Remote(app_id="leaf", task_id="t")),))
    before = store.reads
    run.call(2, "api:dify#leaf")

    assert store.reads == before + 1
    assert not [key for key in store.hashes if key.startswith("going:")]
    opened(store, 2, "app:leaf")
    run.call(3, "api:dify#leaf")
    assert hex_id(3) in store.hashes["going:app:leaf"]


def go_round(store: StrictStore, first: int = 0, **more: Any) -> int:
    """Nest runs of A and B in each other until one is refused; return which, and end them all."""
    runs: list[Member] = []
    for number in range(1, 20):
        app, other = (A, B) if number % 2 else (B, A)
        runs.append(opened(store, first + number, app, **more))
        told = runs[-1].call(first + number, other)
        if told.decision is not Decision.ADMITTED:
            assert told.why is Why.RECURSION
            assert "ensemble_parent" in told.detail
            break
    for run in reversed(runs):
        run.close()
    assert not left_over(store)
    return len(runs)


def test_an_app_that_hands_tokens_on_is_believed_when_it_shows_none(store: StrictStore) -> None:
    """It was started by a person, whoever calls it meanwhile."""
    outer = opened(store, 1, A)
    outer.call(1, B)
    opened(store, 2, B, parent=outer.parent(1))
    for number in range(10, 20):
        run = opened(store, number, B, end_user="")
        assert run.call(number, A).decision is Decision.ADMITTED
    assert outer.view().depth == 1


def test_ordinary_runs_read_and_write_nothing_for_it(store: StrictStore) -> None:
    """Calls into apps that run no teams stand on no list, and an exchange reads once."""
    run = opened(store, 1, A)
    run.call(1, C)
    before = store.reads
    run.call(2, C)

    assert store.reads == before + 1
    assert not [key for key in store.hashes if key.startswith("going:")]
