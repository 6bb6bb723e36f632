"""Runs inside runs over a real store: many at once stay within what the first one may spend, and the dead leave nothing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import (
    Admission,
    AdmissionAsk,
    Decision,
    Exchange,
    OpenRun,
    Parent,
    PlannedStep,
    Settlement,
    Why,
)
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.contract.runs import RunParams, RunView
from ensemble.rules.records import Defaults
from sidecar.errors import Conflict, StoreDamaged
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.store.keys import full_key
from sidecar.store.store import Store

A, B, LEAF = "app:a", "app:b", "app:leaf"
LIMIT = 12
INSIDE = 6


def hex_id(number: int) -> str:
    return f"{number:032x}"


def opened(
    runs: Runs, tenant: str, number: int, app: str, *, parent: Parent | None = None, limits: Limits | None = None
) -> None:
    step = PlannedStep(id="one", agent="one", identity=LEAF)
    terms = OpenRun(
        run_key=f"{number}", fingerprint="f" * 64, trace_id=f"t{number}", steps=(step,), caller=app, parent=parent,
        limits=limits or Limits(),
    )  # fmt: skip
    runs.exchange(tenant, Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), open=terms))


def called(runs: Runs, tenant: str, number: int, ticket: int, identity: str) -> Admission:
    ask = AdmissionAsk(ticket=hex_id(ticket), step=f"s{ticket}", agent="one", identity=identity, timeout_ms=1000)
    told = runs.exchange(tenant, Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), epoch=1, admit=(ask,)))
    return told.admissions[0]


def ended(runs: Runs, tenant: str, number: int, ticket: int, tokens: int) -> None:
    news = Settlement(
        ticket=hex_id(ticket), step=f"s{ticket}", outcome=Outcome.SUCCEEDED, usage=Usage(tokens=tokens), took_ms=1
    )
    runs.exchange(tenant, Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), epoch=1, settle=(news,)))


def view_of(runs: Runs, tenant: str, number: int) -> RunView:
    return runs.get(tenant, RunParams(run_id=hex_id(number)))


def test_many_nested_runs_at_once_never_spend_more_than_the_first_may(store: Store, tenant: str) -> None:
    """Each asks until it is refused; what they got in all is exactly what there was."""
    runs = Runs(store)
    opened(runs, tenant, 1, A, limits=Limits(calls=LIMIT))
    assert called(runs, tenant, 1, 1, B).decision is Decision.ADMITTED
    parent = Parent(run_id=hex_id(1), ticket=hex_id(1))
    for number in range(2, 2 + INSIDE):
        opened(runs, tenant, number, B, parent=parent)
    barrier = threading.Barrier(INSIDE)

    def work(number: int) -> int:
        barrier.wait()
        for got, ticket in enumerate(range(100 * number, 100 * number + LIMIT + 1)):
            told = called(runs, tenant, number, ticket, LEAF)
            while told.decision is Decision.WAIT:
                told = called(runs, tenant, number, ticket, LEAF)
            if told.decision is Decision.REFUSED:
                assert told.why is Why.BUDGET
                return got
            assert view_of(runs, tenant, 1).budget.calls_committed <= LIMIT
            ended(runs, tenant, number, ticket, tokens=10)
        raise AssertionError("nobody said no")

    with ThreadPoolExecutor(INSIDE) as pool:
        got = list(pool.map(work, range(2, 2 + INSIDE)))

    assert sum(got) == LIMIT - 1
    budget = view_of(runs, tenant, 1).budget
    assert (budget.calls_committed, budget.calls_reserved, budget.tokens_committed) == (LIMIT - 1, 1, 10 * (LIMIT - 1))
    assert {line.depth for line in (view_of(runs, tenant, n) for n in range(2, 2 + INSIDE))} == {2}


def test_the_sweep_gives_back_above_what_a_dead_engine_held_once(store: Store, tenant: str) -> None:
    """Its parent's figures are as if the call had ended, and nothing is left of the list of calls under way."""
    short, long = Runs(store, Defaults(lease_ms=1)), Runs(store)
    opened(long, tenant, 1, A, limits=Limits(tokens=100_000))
    opened(long, tenant, 3, B)  # so that B is known to run teams
    called(long, tenant, 1, 1, B)
    assert store.redis.exists(full_key(tenant, f"going:{B}"))
    opened(short, tenant, 2, B, parent=Parent(run_id=hex_id(1), ticket=hex_id(1)))
    called(short, tenant, 2, 2, LEAF)
    assert view_of(long, tenant, 1).budget.calls_reserved == 2
    while view_of(short, tenant, 2).lease_ms:
        pass

    sweeper = Sweeper(store, [tenant], 30_000)
    assert [sweeper.sweep(), sweeper.sweep()] == [1, 0]

    budget = view_of(long, tenant, 1).budget
    assert (budget.calls_reserved, budget.calls_committed, budget.tokens_committed) == (1, 1, 4_000)
    ended(short, tenant, 2, 2, tokens=7)  # late news
    ended(long, tenant, 1, 1, tokens=5)
    budget = view_of(long, tenant, 1).budget
    assert (budget.calls_reserved, budget.calls_committed, budget.tokens_committed) == (0, 2, 12)
    assert not store.redis.exists(full_key(tenant, f"going:{B}"))


def test_whoever_cancels_a_run_cancels_those_inside_it(store: Store, redis: Any, tenant: str) -> None:
    """Of which one is not kept any more, and one has lost its engine; all is gone by itself after a time."""
    runs, short = Runs(store), Runs(store, Defaults(lease_ms=1))
    opened(runs, tenant, 1, A)
    for number, who in ((2, runs), (3, short), (4, runs)):
        called(runs, tenant, 1, number, B)
        opened(who, tenant, number, B, parent=Parent(run_id=hex_id(1), ticket=hex_id(number)))
    redis.delete(full_key(tenant, f"run:{hex_id(4)}"))
    while view_of(short, tenant, 3).lease_ms:
        pass

    assert runs.cancel(tenant, RunParams(run_id=hex_id(1))).status is RunStatus.RUNNING

    still = runs.exchange(tenant, Exchange(run_id=hex_id(2), owner=hex_id(1002), epoch=1))
    assert still.run.cancelled
    assert view_of(runs, tenant, 3).status is RunStatus.CANCELLED
    assert not store.redis.exists(full_key(tenant, f"run:{hex_id(4)}"))
    assert all(redis.pttl(key) > 0 for key in redis.keys(full_key(tenant, "below:*")))


def test_whatever_begins_while_a_run_is_cancelled_is_cancelled(store: Store, tenant: str) -> None:
    """Eight lines of runs inside runs grow while it happens; each begins as cancelled, or is there to be found."""
    runs, lines, deep = Runs(store), 8, 4
    for round_ in range(24):
        first = 1 + round_ * 100
        opened(runs, tenant, first, A)
        begin = threading.Barrier(lines + 1)

        def grow(line: int, first: int = first, begin: threading.Barrier = begin) -> list[int]:
            above, grown = first, []
            called(runs, tenant, first, first * 1000 + line, LEAF)
            begin.wait()
            ticket = first * 1000 + line
            for depth in range(deep):
                number = first + 1 + line * deep + depth
                opened(
                    runs,
                    tenant,
                    number,
                    f"app:{line}.{depth}",
                    parent=Parent(run_id=hex_id(above), ticket=hex_id(ticket)),
                )
                grown.append(number)
                above, ticket = number, number * 1000
                if called(runs, tenant, above, ticket, LEAF).decision is not Decision.ADMITTED:
                    break
            return grown

        with ThreadPoolExecutor(lines) as pool:
            growing = [pool.submit(grow, line) for line in range(lines)]
            begin.wait()
            time.sleep(0.001 * round_)
            runs.cancel(tenant, RunParams(run_id=hex_id(first)))
            began = [number for each in growing for number in each.result()]

        for number in (first, *began):
            still = runs.exchange(tenant, Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), epoch=1))
            assert still.run.cancelled, (round_, number)


def test_one_that_can_not_be_read_keeps_no_other_from_being_cancelled(store: Store, redis: Any, tenant: str) -> None:
    """And is told of once they are."""
    runs = Runs(store)
    opened(runs, tenant, 1, A)
    for number in (2, 3, 4):
        called(runs, tenant, 1, number, B)
        opened(runs, tenant, number, B, parent=Parent(run_id=hex_id(1), ticket=hex_id(number)))
    damaged = full_key(tenant, f"run:{hex_id(3)}")
    redis.delete(damaged)
    redis.set(damaged, "something else")

    with pytest.raises(StoreDamaged):
        runs.cancel(tenant, RunParams(run_id=hex_id(1)))

    for number in (2, 4):
        still = runs.exchange(tenant, Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), epoch=1))
        assert still.run.cancelled


def test_a_parent_of_another_tenant_is_none(store: Store, tenant: str) -> None:
    """Nothing crosses tenants, whoever names what."""
    runs = Runs(store)
    opened(runs, tenant, 1, A)
    called(runs, tenant, 1, 1, B)

    with pytest.raises(Conflict) as caught:
        opened(runs, f"{tenant}-other", 2, B, parent=Parent(run_id=hex_id(1), ticket=hex_id(1)))
    assert caught.value.faults[0].field == "parent"
