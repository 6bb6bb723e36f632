"""Runs inside the calls of runs: one trace, one budget, no circles; and what is left once they are over."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ensemble.contract.budgets import BudgetDefinition, Limits
from ensemble.contract.exchange import LEASE_MS, Decision, Exchange, Parent, Reached, Remote, Role, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.addresses import budget_hash, run_hash
from ensemble.rules.ending import ending_wants, sweep
from ensemble.rules.problems import Conflict
from ensemble.rules.reserving import define
from ensemble.rules.snapshot import EVERY, Address
from tests.ensemble.rules.asks import closing, hex_id, later, opening, settlement
from tests.ensemble.rules.family import Member, opened, wish
from tests.ensemble.rules.store import StrictStore

A, B, C = "app:a", "app:b", "app:c"
KEY_OF_B = "api:http://dify/v1#bbbb"


@pytest.fixture
def store() -> StrictStore:
    """An empty one."""
    return StrictStore()


def nested(store: StrictStore, limits: Limits | None = None, inner: Limits | None = None) -> tuple[Member, Member]:
    """Return a run of A that calls B, and B's run inside that call."""
    outer = opened(store, 1, A, limits)
    assert outer.call(1, B).decision is Decision.ADMITTED
    return outer, opened(store, 2, B, inner, parent=outer.parent(1))


def left_over(store: StrictStore) -> dict[str, int]:
    """Return every counter of what is reserved or held that is not zero, and every call on a list."""
    found = {
        f"{key} {name}": int(text)
        for key, fields in store.hashes.items()
        for name, text in fields.items()
        if key.startswith("run:") and name.endswith(("_reserved", "_held")) and int(text)
    }
    return found | {key: len(fields) for key, fields in store.hashes.items() if key.startswith("going:") and fields}


def test_a_nested_run_joins_the_trace_and_shows_its_parent(store: StrictStore) -> None:
    """Whatever trace it would have had."""
    outer = opened(store, 1, A)
    outer.call(1, B)

    inner = opened(store, 2, B, parent=outer.parent(1), key="another")

    assert inner.answer.run.trace_id == outer.answer.run.trace_id
    assert (inner.view().parent_run_id, inner.view().depth) == (outer.run_id, 2)
    assert (outer.view().parent_run_id, outer.view().depth) == (None, 1)


def test_the_beginning_of_a_ticket_is_enough(store: StrictStore) -> None:
    """Tokens are short."""
    outer = opened(store, 1, A)
    outer.call(0xABCDEF << 104, B)

    inner = opened(store, 2, B, parent=Parent(run_id=outer.run_id, ticket=hex_id(0xABCDEF << 104)[:12]))

    assert inner.view().parent_run_id == outer.run_id


@pytest.mark.parametrize("how", ["ended", "lost", "closed", "never", "elsewhere"])
def test_a_call_that_is_over_is_nobodys_parent(store: StrictStore, how: str) -> None:
    """And the fault names the parameter."""
    outer = opened(store, 1, A)
    outer.call(1, B)
    parent = outer.parent(1)
    match how:
        case "ended":
            outer.end(1)
        case "lost":
            store.now_ms += LEASE_MS
            store.apply(partial(sweep, outer.run_id), ending_wants(outer.run_id))
        case "closed":
            outer.close()
        case "never":
            parent = outer.parent(7)
        case _:
            parent = Parent(run_id=hex_id(77), ticket=hex_id(1))

    with pytest.raises(Conflict, match="parent") as caught:
        opened(store, 2, B, parent=parent)
    assert caught.value.field == "parent"
    # Who tells a run once more does not have to have a parent that still lives.
    assert opened(store, 2, B, parent=parent.model_copy(update={"under_way": False})).answer.run.role is Role.OWNER


def test_opening_twice_is_opening_once_even_if_the_parent_ended_between(store: StrictStore) -> None:
    """An answer may be lost on the way."""
    outer, inner = nested(store)
    outer.end(1)

    again = opened(store, 2, B, parent=outer.parent(1))

    assert again.answer.run.model_dump(exclude={"lease_ms"}) == inner.answer.run.model_dump(exclude={"lease_ms"})


def test_what_a_nested_run_uses_is_used_by_all_above(store: StrictStore) -> None:
    """Reserved at once, booked as it was, tokens that nobody told as they were reserved."""
    outer, middle = nested(store)
    middle.call(2, C)
    inner = opened(store, 3, C, parent=middle.parent(2))
    inner.call(3, "app:leaf", max_tokens=700)
    inner.call(4, "app:leaf", max_tokens=50)

    reserved = [run.counter("tokens_reserved") for run in (outer, middle, inner)]
    assert reserved == [4_000 + 4_000 + 750, 4_000 + 750, 750]
    assert [run.counter("calls_reserved") for run in (outer, middle, inner)] == [4, 3, 2]
    inner.end(3, tokens=900)
    inner.end(4, tokens=None)
    inner.close()
    middle.end(2, tokens=10)
    middle.close()
    outer.end(1, tokens=1)
    outer.close()

    assert [run.counter("tokens_committed") for run in (outer, middle, inner)] == [961, 960, 950]
    assert [run.counter("calls_committed") for run in (outer, middle, inner)] == [4, 3, 2]
    assert [run.view().budget.estimated for run in (outer, middle, inner)] == [True] * 3
    assert not left_over(store)


def test_no_run_spends_what_one_above_does_not_have(store: StrictStore) -> None:
    """Not even if it was allowed more itself."""
    _, inner = nested(store, Limits(tokens=10_000), Limits(tokens=1_000_000))

    assert inner.call(2, C, max_tokens=7_000).decision is Decision.ADMITTED
    assert inner.call(3, C, max_tokens=500).decision is Decision.ADMITTED
    told = inner.call(4, C, max_tokens=400)
    assert (told.decision, told.why) == (Decision.WAIT, Why.BUDGET)
    told = inner.call(5, C, max_tokens=8_000)
    assert (told.decision, told.why) == (Decision.REFUSED, Why.BUDGET)
    assert "the run above's 10000" in told.detail


def test_two_below_can_not_both_have_the_last_of_it(store: StrictStore) -> None:
    """Each saw that it was there; whoever commits second decides anew."""
    outer = opened(store, 1, A, Limits(tokens=20_000))
    outer.call(1, B, max_tokens=1_000)
    left, right = (opened(store, number, B, parent=outer.parent(1)) for number in (2, 3))
    right.call(9, C, max_tokens=1)  # so that C is known, and nothing but the limit stands between the two
    ask = later(2, 1002, admit=(wish(2, C, max_tokens=10_000),))

    answer = store.exchange(ask, lambda: right.call(3, C, max_tokens=10_000))

    assert right.counter("tokens_reserved") == 10_001
    assert answer.admissions[0].decision is Decision.WAIT
    assert left.counter("tokens_reserved") == 0


def test_nobody_waits_for_a_call_that_waits_for_it(store: StrictStore) -> None:
    """What the call above has reserved comes back after this run only: waiting for it would last until both time out."""
    _, inner = nested(store, Limits(calls=1))

    told = inner.call(2, C)

    assert (told.decision, told.why) == (Decision.REFUSED, Why.BUDGET)


def test_nor_do_two_nested_runs_wait_for_each_other(store: StrictStore) -> None:
    """Each call above holds one of the four, each run inside has one of its own: the next of either is refused."""
    outer = opened(store, 1, A, Limits(calls=4))
    outer.call(1, B)
    outer.call(2, C)
    left, right = opened(store, 3, B, parent=outer.parent(1)), opened(store, 4, C, parent=outer.parent(2))

    assert [left.call(3, "app:x").decision, right.call(4, "app:y").decision] == [Decision.ADMITTED] * 2
    assert left.call(5, "app:z").decision is Decision.WAIT
    left.end(3)
    right.end(4)
    assert [left.call(5, "app:z").decision, right.call(6, "app:z").decision] == [Decision.REFUSED] * 2


def test_time_inside_a_call_is_not_set_apart_twice(store: StrictStore) -> None:
    """A call takes all the seconds that are left; the run inside it lives on the same ones."""
    outer = opened(store, 1, A, Limits(seconds=60))
    outer.call(1, B, timeout_ms=300_000)
    assert outer.counter("ms_reserved") == 60_000

    inner = opened(store, 2, B, parent=outer.parent(1))

    assert inner.call(2, C, timeout_ms=20_000).decision is Decision.ADMITTED
    assert outer.counter("ms_reserved") == 20_000
    inner.end(2)
    inner.close()
    outer.end(1)
    assert not left_over(store)


@pytest.mark.parametrize("who", ["inner", "outer", "both"])
def test_an_engine_that_dies_leaves_nothing_with_the_runs_above(store: StrictStore, who: str) -> None:
    """Its attempts are given up by the sweep: booked once, there and above."""
    outer, inner = nested(store, Limits(tokens=100_000))
    inner.call(2, C, max_tokens=500)
    store.now_ms += LEASE_MS
    dead = {"inner": [inner], "outer": [outer], "both": [outer, inner]}[who]
    for run in (outer, inner):
        if run not in dead:
            run.tell()
    for _ in range(2):
        for run in dead:
            store.apply(partial(sweep, run.run_id), ending_wants(run.run_id))

    if inner not in dead:
        inner.end(2, tokens=500)
    inner_tokens = 500
    if outer in dead:
        assert outer.counter("tokens_committed") == 4_000 + inner_tokens
    else:
        assert outer.counter("tokens_committed") == inner_tokens
        outer.end(1, tokens=4_000)
    assert outer.counter("tokens_committed") == 4_000 + inner_tokens
    inner.close()
    outer.close()
    assert not left_over(store)


def test_late_news_of_a_lost_attempt_corrects_the_runs_above(store: StrictStore) -> None:
    """What was booked for it is taken back there as well."""
    outer, inner = nested(store)
    inner.call(2, C, max_tokens=500)
    store.now_ms += LEASE_MS
    store.apply(partial(sweep, inner.run_id), ending_wants(inner.run_id))
    inner.end(2, tokens=30)

    assert (outer.counter("tokens_committed"), outer.counter("tokens_reserved")) == (30, 4_000)


def test_an_owner_that_comes_back_holds_its_calls_again_above_too(store: StrictStore) -> None:
    """As before it was given up; the call above counts as spent again."""
    outer, inner = nested(store)
    inner.call(2, C, max_tokens=500)
    before = {key: dict(fields) for key, fields in store.hashes.items()}
    store.now_ms += LEASE_MS
    for run in (inner, outer):
        store.apply(partial(sweep, run.run_id), ending_wants(run.run_id))
    outer.tell(holding=(hex_id(1),))
    inner.tell(holding=(hex_id(2),))

    for run in (outer, inner):
        now = store.hashes[run_hash(run.run_id)]
        names = [name for name in now if name.endswith(("_reserved", "_held", "_committed"))]
        was = before[run_hash(run.run_id)]
        assert {name: int(now[name]) for name in names} == {name: int(was.get(name, 0)) for name in names}


def test_a_run_that_is_not_kept_any_more_is_not_brought_back_by_a_counter(store: StrictStore) -> None:
    """Not even if it goes between decision and commit."""
    outer, inner = nested(store)
    inner.call(2, C)

    def gone() -> None:
        store.hashes.pop(run_hash(outer.run_id))
        store.versions = {at: v for at, v in store.versions.items() if at.key != run_hash(outer.run_id)}

    settle = inner.asks[hex_id(2)]
    store.exchange(later(2, 1002, settle=(settlement(settle),)), gone)

    assert run_hash(outer.run_id) not in store.hashes
    assert inner.call(3, C).decision is Decision.ADMITTED
    inner.close()
    assert run_hash(outer.run_id) not in store.hashes


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
    outer, _ = nested(store)
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


def test_named_budgets_of_the_parent_hold_for_the_nested_run(store: StrictStore) -> None:
    """Named or not when it was opened."""
    terms = BudgetDefinition(limits=Limits(calls=2))
    store.apply(partial(define, "team", terms), (Address(budget_hash("team"), EVERY),))
    outer = opened(store, 1, A, budgets=("team",))
    outer.call(1, B)
    inner = opened(store, 2, B, parent=outer.parent(1))

    assert inner.call(2, C).decision is Decision.ADMITTED
    assert inner.call(3, C).decision is not Decision.ADMITTED


def test_handed_in_late_a_nested_run_is_charged_above(store: StrictStore) -> None:
    """It ran while the ledger was away; its parent may be over by then."""
    outer = opened(store, 1, A)
    outer.call(1, B)
    parent = outer.parent(1, under_way=False)
    outer.end(1, tokens=1)
    ask = wish(2, C)
    whole = Exchange(
        run_id=hex_id(2), owner=hex_id(9), open=opening("late", caller=B, parent=parent), late=(ask,),
        settle=(settlement(ask, Outcome.SUCCEEDED),), close=closing(),
    )  # fmt: skip

    assert store.exchange(whole) == store.exchange(whole)

    assert outer.counter("tokens_committed") == 101
    assert not left_over(store)
