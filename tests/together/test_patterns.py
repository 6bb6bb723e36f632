"""Groups through the real plugin, sidecar and store: every pattern, whole, failing, cut off, killed and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ensemble.agents.identity import api_identity
from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.agents import AgentDeclaration, AgentParams
from ensemble.contract.base import is_part
from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.contract.runs import RunParams, RunsParams, RunView
from tests.processes import until
from tests.standin.daemon import PluginProcess
from tests.standin.failures import always
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.standin.world import World, world
from tests.together.groups import ANSWERS, PLANS, SLOW, several, worker
from tests.together.team import Team, entry

type MakeTeam = Callable[..., Team]


@pytest.mark.parametrize("pattern", PLANS)
def test_every_pattern_through_plugin_and_sidecar(make_team: MakeTeam, pattern: str) -> None:
    """The answer, an entry per step, and what the parts used."""
    result = make_team(*several()).run("go", plan=variable(PLANS[pattern]))

    assert result.error is None
    assert result.variables["status"] == "succeeded"
    assert result.text in ({"market: go", "tech: go"} if pattern == "race" else {ANSWERS[pattern]})
    assert not any(is_part(each["step"]) for each in result.variables["results"])
    assert result.variables["usage"]["tokens"] > 0


@pytest.mark.parametrize("pattern", PLANS)
def test_every_part_dead_is_told_in_words(make_team: MakeTeam, pattern: str) -> None:
    """The node fails, and names whoever failed by the part's id."""
    dead: Mapping[str, Any] = {"failures": always("node_failed", "the model is on fire")}
    names = ("market", "tech", "finance", "boss", "writer", "critic")

    result = make_team(*several(**dict.fromkeys(names, dead))).run("go", plan=variable(PLANS[pattern]))

    assert result.error is not None
    assert result.error.error_type == "NoAgentSucceeded"
    assert "the model is on fire" in result.error.message


def test_a_thousand_items_through_everything(make_team: MakeTeam) -> None:
    """Fifty at one time, one in a hundred failing: in order, complete, and the plugin's memory flat."""
    team = make_team(worker("market", answer=None, failures=always("node_failed").model_copy(
        update={"always": None, "probability": 0.01, "seed": 5})))  # fmt: skip
    plan = {
        "steps": [{"id": "each", "agent": "market", "for_each": {"items": list(range(1000)), "max_parallel": 50},
                   "query": "item {{ item }}"}],
        "output": "{{ each.texts }}",
    }  # fmt: skip
    saved = team.credentials(host_parallel="50", max_parallel="50")
    limits = variable({"max_parallel": 50})
    team.run("go", plan=variable(plan), saved=saved, limits=limits)
    before = memory_mb(team.scene.plugin.pid)

    result = team.run("go", plan=variable(plan), saved=saved, limits=limits)

    texts = json.loads(result.text)
    failed = {int(each["step"].partition("[")[2][:-1]) for each in result.variables["errors"]}
    assert 0 < len(failed) < 40
    assert texts == [None if number in failed else f"item {number}" for number in range(1000)]
    assert memory_mb(team.scene.plugin.pid) < before + 30


def memory_mb(pid: int) -> float:
    """Return what a process holds of memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def test_a_manager_is_told_what_an_operator_declared_of_its_team(make_team: MakeTeam) -> None:
    """What the plan itself says comes first."""
    team = make_team(*several())
    ledger = SidecarLedger(team.scene.sidecar.url, team.scene.sidecar.token, connections())
    for name in ("market", "tech"):
        identity = api_identity(team.scene.dify.url, team.apps[name].key)
        ledger.declare_agent(AgentParams(identity=identity), AgentDeclaration(description=f"declared: {name}"))
    plan = {**PLANS["hierarchical"], "agents": {"market": None, "tech": {"description": "the plan's word"}}}

    team.run("go", plan=variable(plan))

    asked = team.calls("boss")[0].query
    assert "- market: declared: market\n- tech: the plan's word" in asked


def test_a_budget_bounds_a_manager_and_its_team(make_team: MakeTeam) -> None:
    """What is left over is told, and nobody works beyond it."""
    team = make_team(*several())

    result = team.run("go", plan=variable(PLANS["hierarchical"]), limits=variable({"max_calls": 2}))

    assert sum(len(team.calls(name)) for name in ("boss", "market", "tech")) == 2
    assert result.variables["status"] == "partial"
    assert "market: find" in result.text


def test_the_deadline_ends_a_loop_with_what_it_has(make_team: MakeTeam) -> None:
    """The run times out; no part is out any more."""
    team = make_team(*several(critic={"latency_s": 5.0}))

    result = team.run("go", plan=variable(PLANS["loop"]), limits=variable({"timeout": 1}))

    assert result.error is not None
    assert "time" in result.error.message


@pytest.fixture(scope="module")
def short_leases() -> Iterator[World]:
    """Return a world of its own, whose leases end after a second."""
    with world(*several(**SLOW), env={"ENSEMBLE_LEASE_MS": "1000"}) as scene:
        yield scene


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pattern", PLANS)
def test_killed_midway_and_resumed_nothing_that_succeeded_is_done_again(short_leases: World, pattern: str) -> None:
    """SIGKILL to the plugin once a part has succeeded; another process takes the run over by its key."""
    scene = short_leases
    key = f"killed {pattern}"
    given = {"task": "go", "plan": variable(PLANS[pattern]), "run_key": key}
    ledger = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())
    with PluginProcess(ROOT) as first:
        first.invoke("orchestrator", given, scene.credentials())
        until(lambda: bool(_succeeded(_view(ledger, key))), "a part to be on record")
        first.kill()
    before = _view(ledger, key)
    done = _succeeded(before)

    result = scene.plugin.invoke("orchestrator", given, scene.credentials()).result()

    assert result.error is None
    view = _view(ledger, key)
    assert view is not None
    assert view.status is RunStatus.SUCCEEDED
    again = {each.step for each in view.attempts if each.epoch > 1 and each.step in done}
    assert not again
    assert pattern == "race" or result.text == ANSWERS[pattern]
    assert (view.budget.calls_reserved, view.budget.tokens_reserved) == (0, 0)


def test_a_cancel_from_outside_ends_the_parts(short_leases: World) -> None:
    """The run is closed as cancelled, with every part ended."""
    scene = short_leases
    plan = {"steps": [{"id": "each", "agent": "market", "for_each": list(range(60)), "query": "{{ item }}"}]}
    call = scene.orchestrate("go", plan=plan, run_key="to be cancelled")
    ledger = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())
    until(lambda: bool(_succeeded(_view(ledger, "to be cancelled"))), "an item to be done")
    view = _view(ledger, "to be cancelled")
    assert view is not None
    ledger.cancel_run(RunParams(run_id=view.run_id))

    result = call.result()

    assert result.error is not None
    assert result.error.error_type == "RunCancelled"
    view = ledger.run(view.run_id)
    assert view.status is RunStatus.CANCELLED
    assert not any(each.outcome is None for each in view.attempts)


def test_what_failed_is_mended_and_who_was_given_it_is_asked_again(make_team: MakeTeam) -> None:
    """A second call with the key: the failed item once more, and the writer anew, since its list has changed."""
    broken = always("node_failed").model_copy(update={"always": None, "sequence": _fourth_fails()})
    team = make_team(*several(market={"failures": broken}))
    plan = json.loads(json.dumps(PLANS["for_each"]))
    plan["steps"][0]["for_each"] = {"items": ["a", "b", "c", "d"], "max_parallel": 1}
    given = {"plan": variable(plan), "run_key": "mended"}

    first = team.run("go", **given)
    again = team.run("go", **given)

    assert (first.variables["status"], again.variables["status"]) == ("partial", "succeeded")
    assert len(team.calls("market")) == 5
    assert len(team.calls("tech")) == 2
    assert "market: d" in again.text
    assert entry(again, "each")["data"]["texts"][3] == "market: d"


def _fourth_fails() -> tuple[Any, ...]:
    failure = always("node_failed").always
    return (None, None, None, failure)


def _view(ledger: SidecarLedger, run_key: str) -> RunView | None:
    runs = [run for run in ledger.list_runs(RunsParams()).runs if run.run_key == run_key]
    return ledger.run(runs[0].run_id) if runs else None


def _succeeded(view: RunView | None) -> set[str]:
    """Return the steps that have an agent's result on record."""
    if view is None:
        return set()
    return {each.step for each in view.results if each.status is StepStatus.SUCCEEDED and each.source is not None}
