"""Slots over exchanges on a real store: limits across processes, the line, and that dead owners give them back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Decision,
    Exchange,
    OpenRun,
    PlannedStep,
    Settlement,
    Why,
)
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunParams
from ensemble.rules.records import Defaults
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.slots.service import Slots
from sidecar.store.connection import connect
from sidecar.store.store import Store

type Ask = Callable[..., Any]
HOST, IDENTITY = "http://dify.example", "app:market"


def wish(number: int, **more: Any) -> AdmissionAsk:
    fields = {"identity": IDENTITY, "host": HOST, "host_parallel": 2, **more}
    return AdmissionAsk(ticket=f"{number:032x}", step=f"s{number}", agent="market", timeout_ms=1_000, **fields)


def opening(number: int, *wishes: AdmissionAsk) -> Exchange:
    step = PlannedStep(id="s", agent="market", identity=IDENTITY)
    opened = OpenRun(run_key=f"k{number}", fingerprint="f" * 64, trace_id="t", steps=(step,))
    return Exchange(run_id=f"{number:032x}", owner=f"{number + 1000:032x}", open=opened, admit=wishes)


def later(number: int, **more: Any) -> Exchange:
    return Exchange(run_id=f"{number:032x}", owner=f"{number + 1000:032x}", epoch=1, **more)


def ended(ask: AdmissionAsk) -> Settlement:
    return Settlement(ticket=ask.ticket, step=ask.step, outcome=Outcome.SUCCEEDED, took_ms=1)


@pytest.fixture
def runs(store: Store) -> Runs:
    return Runs(store)


def decisions(runs: Runs, tenant: str, ask: Exchange) -> list[Decision]:
    return [told.decision for told in runs.exchange(tenant, ask).admissions]


def test_a_host_takes_so_many_calls_of_all_runs(runs: Runs, store: Store, tenant: str) -> None:
    """The third waits, in words; when one ends it goes, before a fourth that came later."""
    YES, WAIT = Decision.ADMITTED, Decision.WAIT  # noqa: N806 -- short words for a table
    assert decisions(runs, tenant, opening(1, wish(1), wish(2))) == [YES, YES]
    (told,) = runs.exchange(tenant, opening(2, wish(3))).admissions
    assert (told.decision, told.why, told.retry_after_ms) == (WAIT, "no_slot", 40)
    assert told.detail == "all places at http://dify.example are taken"
    assert decisions(runs, tenant, opening(3, wish(4))) == [WAIT]
    runs.exchange(tenant, later(1, settle=(ended(wish(1)),)))
    assert Slots(store).get(tenant).waiting == 2
    assert decisions(runs, tenant, later(3, admit=(wish(4),))) == [WAIT]
    assert decisions(runs, tenant, later(2, admit=(wish(3),))) == [YES]
    assert decisions(runs, tenant, opening(4, wish(5, host="http://other"))) == [YES]
    used = Slots(store).get(tenant).used
    assert used.hosts == {HOST: 2, "http://other": 1}


def test_an_operator_limits_hosts_agents_and_all(ask: Ask, runs: Runs, tenant: str) -> None:
    """Before the caller's own number; who names no host takes no slot."""
    limits = {"total": 3, "hosts": {HOST: 5}, "identities": {IDENTITY: 1}}
    assert ask("PUT", "/v1/slots", limits).json["limits"] == limits
    asks = [wish(1), wish(2), *(wish(n, identity=f"app:{n}") for n in range(3, 7)), wish(7, host=None)]
    told = decisions(runs, tenant, opening(1, *asks))
    assert [d is Decision.ADMITTED for d in told] == [True, False, True, True, False, False, True]
    view = ask("GET", "/v1/slots").json
    assert view["used"] == {"total": 3, "hosts": {HOST: 3}, "identities": {IDENTITY: 1}}
    assert view["waiting"] == 3
    runs.exchange(tenant, later(1, settle=(ended(wish(1)),)))
    assert ask("GET", "/v1/slots").json["used"] == {"total": 2, "hosts": {HOST: 2}, "identities": {IDENTITY: 0}}
    assert ask("PUT", "/v1/slots", {"total": 0}).status_code == 422


def test_the_slots_of_an_engine_that_died_are_free_again(store: Store, redis: Any, tenant: str) -> None:
    """With its lease; and an engine that was only slow takes them up again, over the limit if need be."""
    runs = Runs(store, Defaults(lease_ms=1))
    assert decisions(runs, tenant, opening(1, wish(1), wish(2))) == [Decision.ADMITTED] * 2
    while not Sweeper(store, [tenant], 30_000).sweep():
        pass
    assert Slots(store).get(tenant).used.hosts == {HOST: 0}
    alive = Runs(store)
    assert decisions(alive, tenant, opening(2, wish(3))) == [Decision.ADMITTED]
    alive.exchange(tenant, later(1, holding=(wish(1).ticket, wish(2).ticket)))
    assert Slots(store).get(tenant).used.hosts == {HOST: 3}
    alive.exchange(tenant, later(1, settle=(ended(wish(1)), ended(wish(2)))))
    alive.exchange(tenant, later(2, settle=(ended(wish(3)),)))
    assert Slots(store).get(tenant).used.hosts == {HOST: 0}


def test_of_many_that_ask_at_once_no_more_get_in_than_there_are_places(valkey: Any, tenant: str) -> None:
    """Ten rounds of eight runs for two places; afterwards all places are free."""
    store = Store(connect(valkey.url))
    runs, barrier = Runs(store), threading.Barrier(8)

    def enter(number: int) -> bool:
        barrier.wait()
        (told,) = runs.exchange(tenant, opening(number, wish(number))).admissions
        return told.decision is Decision.ADMITTED

    with ThreadPoolExecutor(8) as pool:
        for first in range(0, 80, 8):
            numbers = range(first + 1, first + 9)
            inside = [n for n, entered in zip(numbers, pool.map(enter, numbers), strict=True) if entered]
            assert len(inside) <= 2
            for number in inside:
                runs.exchange(tenant, later(number, settle=(ended(wish(number)),)))
    assert Slots(store).get(tenant).used.hosts == {HOST: 0}


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_who_is_told_to_stop_leaves_the_line_at_once(runs: Runs, store: Store, tenant: str, how: str) -> None:
    """The free slot it stood before goes to whoever comes next, and not only when it has not been seen for a while."""
    assert decisions(runs, tenant, opening(1, wish(1), wish(2))) == [Decision.ADMITTED] * 2
    assert decisions(runs, tenant, opening(2, wish(3), wish(4))) == [Decision.WAIT] * 2
    assert decisions(runs, tenant, opening(3, wish(5))) == [Decision.WAIT]
    if how == "cancelled":
        runs.cancel(tenant, RunParams(run_id=later(2).run_id))
    else:
        runs.exchange(tenant, later(2, close=CloseRun(status=RunStatus.TIMED_OUT, answer="")))
    assert Slots(store).get(tenant).waiting == 1
    runs.exchange(tenant, later(1, settle=(ended(wish(1)),)))

    assert decisions(runs, tenant, later(3, admit=(wish(5),))) == [Decision.ADMITTED]
    assert [told.why for told in runs.exchange(tenant, later(2, admit=(wish(3),))).admissions] == (
        [Why.CANCELLED] if how == "cancelled" else []
    )
