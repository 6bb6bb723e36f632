"""The sweep over a real store: lapsed runs are tidied, once, and indexes lose what is gone."""

from __future__ import annotations

import logging

import pytest

from ensemble.contract.exchange import AdmissionAsk, Exchange, OpenRun, PlannedStep
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunParams
from ensemble.rules.addresses import LEASES, run_at
from ensemble.rules.records import Defaults
from ensemble.rules.snapshot import Address, Changes
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.store.keys import full_key
from sidecar.store.store import Store

LEASE_MS = 1
RUN, OWNER, TICKET = "a" * 32, "b" * 32, "c" * 32


def opened(runs: Runs, tenant: str, run_id: str = RUN) -> None:
    """Open a run with one attempt under way."""
    step = PlannedStep(id="one", agent="one", identity="app:one")
    runs.exchange(
        tenant,
        Exchange(
            run_id=run_id,
            owner=OWNER,
            open=OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id="t", steps=(step,)),
            admit=(AdmissionAsk(ticket=TICKET, step="one", agent="one", identity="app:one", timeout_ms=1000),),
        ),
    )


def test_a_lapsed_run_is_tidied_and_off_the_list(store: Store, tenant: str) -> None:
    """Its attempt is uncertain, nothing is reserved, no lease is left; a second sweep finds nothing."""
    runs = Runs(store, Defaults(lease_ms=LEASE_MS))
    opened(runs, tenant)
    while runs.get(tenant, RunParams(run_id=RUN)).lease_ms:
        pass

    sweeper = Sweeper(store, [tenant], 30_000)
    assert [sweeper.sweep(), sweeper.sweep()] == [1, 0]
    view = runs.get(tenant, RunParams(run_id=RUN))
    assert [each.outcome for each in view.attempts] == [Outcome.UNCERTAIN]
    assert (view.status, view.budget.calls_reserved, view.budget.calls_committed) == (RunStatus.RUNNING, 0, 1)
    assert store.redis.zcard(full_key(tenant, "leases")) == 0


def test_sidecars_of_other_tenants_and_leases_on_one_store_keep_no_round_from_each_other(
    store: Store, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sweeps sweeps its own tenants only, so a round is a tenant's; of one tenant's sidecars one has it."""
    runs, other = Runs(store, Defaults(lease_ms=LEASE_MS)), f"{tenant}-other"
    for each in (tenant, other):
        opened(runs, each)
        while runs.get(each, RunParams(run_id=RUN)).lease_ms:
            pass
    slow, quick = Sweeper(store, [tenant], 600_000), Sweeper(store, [other], 60_000)
    with caplog.at_level(logging.WARNING, "sidecar.sweep"):
        assert [slow.round(), quick.round()] == [1, 1]
    assert [record.message.partition(";")[0] for record in caplog.records] == ["1 run has lost its engine"] * 2

    opened(runs, other, "d" * 32)
    while runs.get(other, RunParams(run_id="d" * 32)).lease_ms:
        pass
    both = Sweeper(store, [tenant, other], 30_000)
    assert both.round() == 0
    assert both.sweep() == 1


def test_a_round_comes_again(store: Store, tenant: str) -> None:
    """After a third of a lease, without anybody giving it back."""
    runs = Runs(store, Defaults(lease_ms=LEASE_MS))
    sweeper = Sweeper(store, [tenant], 300)
    sweeper.round()
    opened(runs, tenant)
    while not sweeper.round():
        pass
    assert [each.outcome for each in runs.get(tenant, RunParams(run_id=RUN)).attempts] == [Outcome.UNCERTAIN]


def test_a_short_lease_is_swept_after_though_another_sidecar_of_the_tenant_has_a_long_one(
    store: Store, tenant: str
) -> None:
    """Whoever has the long rounds may have just begun one."""
    slow, quick = Sweeper(store, [tenant], 600_000), Sweeper(store, [tenant], 3_000)
    assert slow.round() == 0
    runs = Runs(store, Defaults(lease_ms=LEASE_MS))
    opened(runs, tenant)
    while runs.get(tenant, RunParams(run_id=RUN)).lease_ms:
        pass

    assert [slow.round(), quick.round(), quick.round()] == [0, 1, 0]


def test_a_living_run_is_left_alone(store: Store, tenant: str) -> None:
    """Its lease stays on the list."""
    runs = Runs(store)
    opened(runs, tenant)

    assert Sweeper(store, [tenant], 30_000).sweep() == 0
    assert store.redis.zcard(full_key(tenant, "leases")) == 1


def test_a_run_nobody_can_read_does_not_keep_the_others_waiting(store: Store, tenant: str) -> None:
    """As one written by another version may be."""
    runs = Runs(store, Defaults(lease_ms=LEASE_MS))
    broken = Changes(puts={run_at("broken"): "no document"}, index={Address(LEASES, "broken"): 1})
    store.decide(tenant, lambda _: (None, broken), [run_at("broken")])
    opened(runs, tenant)
    while runs.get(tenant, RunParams(run_id=RUN)).lease_ms:
        pass

    assert Sweeper(store, [tenant], 30_000).sweep() == 1
    assert [each.outcome for each in runs.get(tenant, RunParams(run_id=RUN)).attempts] == [Outcome.UNCERTAIN]


def test_ids_of_runs_that_are_gone_leave_the_indexes(store: Store, tenant: str) -> None:
    """Those that are kept stay."""
    runs = Runs(store)
    opened(runs, tenant)
    opened(runs, tenant, "d" * 32)
    store.redis.eval("return redis.call('DEL', KEYS[1])", 1, full_key(tenant, f"run:{RUN}"))
    store.redis.eval("return redis.call('ZADD', KEYS[1], 1, 'app:old')", 1, full_key(tenant, "breakers"))

    Sweeper(store, [tenant], 30_000).sweep()
    assert store.redis.zrange(full_key(tenant, "runs"), 0, -1) == ["d" * 32]
    assert store.redis.zcard(full_key(tenant, "breakers")) == 0


def test_a_cancel_closes_what_nobody_runs_and_warns_who_does(store: Store, tenant: str) -> None:
    """The engine hears of it at its next exchange."""
    runs = Runs(store)
    opened(runs, tenant)

    assert runs.cancel(tenant, RunParams(run_id=RUN)).status is RunStatus.RUNNING
    assert runs.exchange(tenant, Exchange(run_id=RUN, owner=OWNER, epoch=1)).run.cancelled
