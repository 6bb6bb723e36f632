"""Runs inside the calls of runs: one trace, one budget, no circles; and what is left once they are over."""

from __future__ import annotations

from functools import partial

import pytest

from ensemble.contract.budgets import BudgetDefinition, Limits
from ensemble.contract.exchange import LEASE_MS, Decision, Exchange, Parent, Role, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.addresses import budget_hash, run_hash
from ensemble.rules.budgets.reserving import define
from ensemble.rules.problems import Conflict
from ensemble.rules.runs.ending import ending_wants, sweep
from ensemble.rules.snapshot import EVERY, Address
from tests.ensemble.rules.asks import closing, hex_id, later, opening, settlement
from tests.ensemble.rules.lineage.family import Member, left_over, opened, wish
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
