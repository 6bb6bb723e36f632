"""Killed anywhere, nothing lost, nothing paid twice unseen: the short form of ``make soak``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunParams, RunsParams
from tests.faults.claims import budgets, increments, probes, slots, successors, without_sidecar
from tests.faults.crash import VICTIMS, crash
from tests.faults.holding import POINTS, Holding, holding
from tests.faults.network import BETWEEN, KINDS, storms
from tests.faults.patterns import patterns
from tests.faults.stops import STOPPED, stop
from tests.processes import until
from tests.standin.apps import App, Variable
from tests.standin.daemon import PluginProcess
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.standin.world import World, world


@pytest.fixture(scope="module")
def held() -> Iterator[Holding]:
    """A world whose runs can be held at every point of their life; round after round, whatever died in the last one."""
    with holding() as world:
        yield world


@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_at_any_point_costs_nothing_that_is_not_flagged(held: Holding, victim: str) -> None:
    """A run at each point of an attempt's life; the victim dies; everything ends, whole, and is counted."""
    count = crash(held, victim)

    assert count.runs == len(POINTS)
    assert (count.faults, count.seen) == (0, [])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stopped", STOPPED)
def test_who_is_stopped_for_long_and_goes_on_does_no_harm(held: Holding, stopped: str) -> None:
    """An engine that wakes up to a run of its own, or of another's by now; a worker, or the store, that was silent."""
    count = stop(held, stopped)

    assert count.runs == len(POINTS)
    assert (count.faults, count.seen) == (0, [])


@pytest.mark.timeout(120)
def test_trouble_on_every_wire_costs_nothing_that_is_not_flagged() -> None:
    """Pieces of conversations come late, or never, or break them off: between all parts at once."""
    with storms(*BETWEEN) as world:
        count = world.round(*KINDS, storm_s=2.5)

    assert count.runs > 0
    assert (count.faults, count.seen) == (0, [])


@pytest.mark.timeout(120)
def test_a_kill_amid_every_pattern_costs_nothing_that_is_not_flagged() -> None:
    """A run of each, whose parts come into being while it runs, killed together and resumed."""
    with patterns() as world:
        count = world.round()

    assert count.runs > 0, "nobody was killed midway"
    assert (count.faults, count.seen) == (0, [])


def test_one_probe_goes_through_however_many_ask() -> None:
    """Eight processes of eight threads at one instant."""
    assert probes(3) == [1, 1, 1]


def test_a_dead_probe_is_followed_by_one_more() -> None:
    """Once the lease of its run has ended."""
    ((number, seconds),) = successors(1)

    assert number == 1
    assert seconds > 0.9, "not before its lease of one second"


def test_no_increment_is_lost() -> None:
    """Many processes add to one number."""
    assert increments(processes=8, times=100) == 800


def test_a_budget_is_never_admitted_beyond() -> None:
    """64 threads in 8 processes ask while workers of the sidecar are killed."""
    ((admitted, view),) = budgets(1)

    assert (admitted, view.budget.calls_reserved, view.budget.tokens_reserved) == (40, 40, 40_000)


def test_slots_are_never_given_twice_and_none_stays_taken() -> None:
    """Four places, 24 threads in 6 processes; three of these are killed, and workers of the sidecar as well."""
    turns = slots(4.0)

    assert turns.out <= 4
    assert turns.held > 20
    assert (turns.killed, turns.left) == (3, 0)


def test_fail_open_goes_on_and_hands_in_later() -> None:
    """With a warning; the record is whole afterwards and answers a repeated call, which calls nobody."""
    told = without_sidecar("fail_open")

    assert told["result"].error is None
    assert "went on without it" in told["result"].variables["warnings"][0]
    assert told["view"].status is RunStatus.SUCCEEDED
    assert [(each.step, each.outcome) for each in told["view"].attempts] == [
        (step, Outcome.SUCCEEDED) for step in ("one", "two", "three")
    ]
    assert told["view"].attempts[-1].late
    assert told["calls"] == {"one": 1, "two": 1, "three": 1}


def test_fail_closed_fails_naming_the_sidecar_and_loses_nothing() -> None:
    """A repeated call goes on where it was."""
    told = without_sidecar("fail_closed")

    assert told["result"].error.error_type == "SidecarUnavailable"
    assert "http://127.0.0.1" in told["result"].error.message
    assert told["again"].variables["status"] == RunStatus.SUCCEEDED
    assert told["calls"] == {"one": 1, "two": 1, "three": 1}


def test_a_run_cancelled_from_outside_ends_and_stops_its_stream() -> None:
    """The node fails saying so, the run is closed as cancelled, and Dify was told to stop."""
    with _short_leases(App(name="slow", mode="workflow", inputs=(Variable(name="task"),), latency_s=20)) as scene:
        plan = {"steps": [{"id": "slow", "agent": "slow", "stream": True}]}
        call = scene.orchestrate("work", plan=plan)
        call.wait_for(lambda message: "slow started" in str(message.content.get("variable_value", "")))
        ledger = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())
        run_id = ledger.list_runs(RunsParams()).runs[0].run_id
        until(lambda: scene.dify.log().counts.get("slow") == 1, "the app to be called")
        ledger.cancel_run(RunParams(run_id=run_id))
        result = call.result()
        until(lambda: scene.dify.log().of("slow")[0].ended_s is not None, "the app's run to be stopped")

        assert result.error is not None
        assert result.error.error_type == "RunCancelled"
        assert ledger.run(run_id).status is RunStatus.CANCELLED
        assert scene.dify.log().of("slow")[0].took_s < 15


def test_a_step_whose_engine_was_killed_is_asked_after_and_not_run_again() -> None:
    """The plugin dies while the app works; the next call waits for that very run and takes its result."""
    app = App(name="slow", mode="workflow", inputs=(Variable(name="task"),), latency_s=4, answer="done once")
    with _short_leases(app) as scene:
        plan = {"steps": [{"id": "slow", "agent": "slow", "stream": True, "on_uncertain": "reconcile"}]}
        scene.orchestrate("work", plan=plan, run_key="k")
        ledger = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())
        until(lambda: _remote_is_known(ledger), "the run's id to be on record")
        scene.plugin.kill()
        with PluginProcess(ROOT) as second:
            given = {"task": "work", "plan": variable(plan), "run_key": "k"}
            result = second.invoke("orchestrator", given, scene.credentials()).result()

        assert (result.error, result.text) == (None, "done once")
        assert scene.dify.log().counts == {"slow": 1}


def _remote_is_known(ledger: SidecarLedger) -> bool:
    runs = ledger.list_runs(RunsParams()).runs
    return any(attempt.remote for run in runs for attempt in ledger.run(run.run_id).attempts)


def _short_leases(*apps: App) -> contextlib.AbstractContextManager[World]:
    return world(*apps, env={"ENSEMBLE_LEASE_MS": "1000", "ENSEMBLE_LOG_LEVEL": "error"})
