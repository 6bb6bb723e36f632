"""Exchanges as wide as the contract lets them be: what they cost grows with them, not with their square."""

from __future__ import annotations

import time
from functools import partial
from typing import Any
from unittest.mock import Mock, create_autospec

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ensemble.contract.budgets import BudgetDefinition, BudgetWindow, Limits
from ensemble.contract.exchange import AdmissionAsk, Decision
from ensemble.rules.addresses import budget_hash
from ensemble.rules.budgets.drafted import SPENT
from ensemble.rules.budgets.reserving import define
from ensemble.rules.ring import Ring
from ensemble.rules.slots import drafted
from ensemble.rules.slots.queue import stand
from ensemble.rules.snapshot import EVERY, Address
from tests.ensemble.rules.asks import admission, closing, first, later, settlement
from tests.ensemble.rules.store import StrictStore

RUN, OTHER, MINE, THEIRS = 1, 2, 11, 12
HOST = "http://dify.example"


def wish(ticket: int, *, parallel: int = 8, **more: Any) -> AdmissionAsk:
    """Return an ask for a slot, for a part of its own."""
    ask = admission(ticket, host=HOST, host_parallel=parallel, **more)
    return ask.model_copy(update={"step": f"each[{ticket}]"})


def handed_in(parts: int) -> float:
    """Hand in a run of *parts* that another engine has taken over meanwhile; return what that costs, seconds of CPU."""
    store = StrictStore()
    store.exchange(first(RUN, MINE))
    store.now_ms += 40_000
    store.exchange(first(RUN, THEIRS))
    late = tuple(admission(100 + n).model_copy(update={"step": f"each[{n}]"}) for n in range(parts))
    ask = first(RUN, MINE, late=late, settle=tuple(map(settlement, late)), close=closing())
    began = time.process_time()
    store.exchange(ask)
    return time.process_time() - began


def test_handing_in_eight_times_the_parts_costs_eight_times_as_much() -> None:
    small, large = min(handed_in(1_000) for _ in range(2)), handed_in(8_000)

    assert large < 20 * small  # it was fifty times when each settlement looked at all that were open


def test_two_thousand_asks_for_eight_slots_look_through_the_line_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    store, looks = StrictStore(), Mock(wraps=stand)
    monkeypatch.setattr(drafted, "stand", looks)
    store.exchange(first(RUN, MINE))

    answer = store.exchange(later(RUN, MINE, admit=tuple(wish(100 + n) for n in range(2_000))))

    decisions = [each.decision for each in answer.admissions]
    assert decisions == [Decision.ADMITTED] * 8 + [Decision.WAIT] * 1_992
    assert looks.call_count <= 10
    assert answer.admissions[-1].detail.endswith("1991 wait before it")


@given(
    tickets=st.permutations(range(100, 110)),
    kinds=st.lists(st.sampled_from([(3, 0), (3, 2), (5, 0), (1, -1)]), min_size=10, max_size=10),
    taken=st.integers(0, 5),
    others=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_asks_side_by_side_are_answered_as_one_by_one(
    tickets: list[int], kinds: list[tuple[int, int]], taken: int, others: int
) -> None:
    """In any order, with limits and priorities of their own, before and after a while of waiting."""
    together, alone = StrictStore(), StrictStore()
    for store in (together, alone):
        store.exchange(first(OTHER, THEIRS, "other"))
        store.exchange(later(OTHER, THEIRS, admit=tuple(wish(10 + n, parallel=taken or 1) for n in range(taken))))
        store.exchange(later(OTHER, THEIRS, admit=tuple(wish(20 + n, parallel=1) for n in range(others))))
        store.now_ms += 1
        store.exchange(first(RUN, MINE))
    wishes = tuple(
        wish(ticket, parallel=parallel, priority=priority)
        for ticket, (parallel, priority) in zip(tickets, kinds, strict=True)
    )

    for _ in range(3):
        wide = together.exchange(later(RUN, MINE, admit=wishes)).admissions
        narrow = [alone.exchange(later(RUN, MINE, admit=(each,))).admissions[0] for each in wishes]
        assert [each.decision for each in wide] == [each.decision for each in narrow]
        for store in (together, alone):
            store.now_ms += 1_000


def test_a_thousand_asks_add_up_what_was_spent_of_a_budget_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all of its slots, in each of its dimensions; and no more is admitted than fits."""
    store = StrictStore()
    limits, rolling = Limits(calls=600), BudgetWindow(kind="rolling", seconds=100)
    whole = Address(budget_hash("b"), EVERY)
    store.apply(partial(define, "b", BudgetDefinition(limits=limits, window=rolling)), (whole,))
    store.exchange(first(RUN, MINE, budgets=("b",)))
    sums = create_autospec(Ring.total, side_effect=Ring.total)  # a function, so that it is bound as one
    monkeypatch.setattr(Ring, "total", sums)

    answer = store.exchange(later(RUN, MINE, admit=tuple(wish(100 + n, parallel=1_000) for n in range(1_000))))

    decisions = [each.decision for each in answer.admissions]
    assert decisions == [Decision.ADMITTED] * 600 + [Decision.WAIT] * 400
    assert sums.call_count <= 3 * len(SPENT)  # for each time that something more had to be read
