"""What stands in for an agent that fails, through the real plugin, the real sidecar and the wire between them."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.processes import until
from tests.standin.apps import App, Variable
from tests.standin.daemon import PluginProcess
from tests.standin.failures import Failure, Failures, always, first
from tests.standin.faults import Fault, FaultProxy
from tests.standin.invocation import Invocation, Result
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.standin.world import World, world
from tests.together.team import Team, entry

type MakeTeam = Callable[..., Team]

FLAKY = App(
    name="market",
    answer="facts",
    failures=Failures(sequence=(None,), always=Failure(kind="node_failed", message="the model is on fire")),
)
DEAD = App(name="market", failures=always("node_failed", "the model is on fire"))
SPARE = App(name="spare", answer="facts of the spare")


def one(step: dict[str, Any] | None = None, **plan: Any) -> str:
    """Return a plan of one step, as it is typed."""
    return json.dumps({"steps": [{"id": "market", "agent": "market", **(step or {})}], **plan})


def line(result: Result) -> str:
    """Return the one warning about the step."""
    (found,) = (each for each in result.variables["warnings"] if each.startswith("market: "))
    return str(found)


def recovered(result: Result, source: str, text: str) -> dict[str, Any]:
    """See that the step recovered so, and that the run did; return its entry."""
    assert result.error is None, result.error
    told = entry(result, "market")
    assert (told["status"], told["source"], told["text"]) == ("succeeded", source, text)
    assert (result.variables["status"], result.variables["errors"]) == ("succeeded", [])
    return told


def test_a_kept_answer_serves_every_process_also_behind_an_open_breaker(
    make_team: MakeTeam, second_plugin: PluginProcess
) -> None:
    """One process got the answer, another one finds it: after a failure, then without a call, for the breaker is open."""
    team = make_team(FLAKY)
    plan = one({"cache": 3600}, defaults={"breaker": {"failure_threshold": 1}})

    asked = team.run("hello", plan=plan)
    failed = team.run("hello", plan=plan, plugin=second_plugin)
    refused = team.run("hello", plan=plan, plugin=second_plugin)
    other = team.run("something else", plan=plan, plugin=second_plugin)

    assert entry(asked, "market")["source"] == "agent"
    assert "age_ms" not in entry(asked, "market")
    told = recovered(failed, "cache", "facts")
    assert (told["stale"], told["attempts"], 0 <= told["age_ms"] < 60_000) == (False, 1, True)
    assert line(failed).startswith("market: agent_failed: ")
    assert "the model is on fire" in line(failed)
    assert "; an answer from the cache, " in line(failed)
    told = recovered(refused, "cache", "facts")
    assert (told["attempts"], "refused: " in line(refused), "breaker_open" in line(refused)) == (0, True, True)
    assert other.error is not None
    assert len(team.calls("market")) == 2


def test_a_stale_answer_says_so_and_how_old_it_is(make_team: MakeTeam) -> None:
    team = make_team(FLAKY)
    plan = one({"cache": {"fresh": 0, "stale": 600}})

    team.run("hello", plan=plan)
    result = team.run("hello", plan=plan)

    told = recovered(result, "cache", "facts")
    assert told["stale"] is True
    assert told["age_ms"] > 0
    assert f"; a stale answer from the cache, {told['age_ms'] // 1000} s old, was used." in line(result)
    assert "market recovered: a stale answer" in result.variables["progress"]


def test_a_wrong_key_is_recovered_from_and_told(make_team: MakeTeam) -> None:
    """By the backup; the key is in nothing that is said."""
    team = make_team(App(name="market"), SPARE)
    wrong = f"app-{'0' * 24}"
    keys = f"market = {wrong}, spare = {team.apps['spare'].key}"

    result = team.run("hello", plan=one({"fallback": "spare"}), saved=team.credentials(app_keys=keys))

    told = recovered(result, "backup", "facts of the spare")
    assert told["agent"] == "spare"
    assert line(result).startswith("market: misconfigured: ")
    assert line(result).endswith("; its backup 'spare' answered.")
    assert wrong not in json.dumps(result.variables) + result.text


@pytest.mark.parametrize("mode", ["fail_open", "local"])
def test_without_a_sidecar_backup_and_default_work_all_the_same(make_team: MakeTeam, mode: str) -> None:
    """Away from the beginning, or not there at all; the process itself keeps answers then."""
    team = make_team(FLAKY, SPARE)
    with FaultProxy("http://127.0.0.1:1") as closed:
        address = closed.url
    gone = {"sidecar_url": address} if mode == "fail_open" else {"sidecar_url": "", "sidecar_token": ""}
    saved = team.credentials(**gone)

    def run(**step: Any) -> Result:
        return team.run("hello", plan=one(step), saved=saved)

    assert entry(run(cache=600), "market")["source"] == "agent"
    recovered(run(fallback={"agent": "spare", "default": "x"}), "backup", "facts of the spare")
    recovered(run(fallback={"default": {"answer": "nothing", "n": 1}}), "default", "nothing")
    recovered(run(cache=600, fallback="spare"), "cache", "facts")


def test_a_sidecar_that_goes_away_costs_no_recovery(make_team: MakeTeam, scene: World) -> None:
    """It is gone when the agent fails: there is no kept answer then, nobody waits for one, and the backup answers."""
    apps = (App(name="market", failures=FLAKY.failures, latency_s=0.5), SPARE)
    team = make_team(*apps)
    with contextlib.ExitStack() as wire:
        proxy = wire.enter_context(FaultProxy(scene.sidecar.url))
        saved = team.credentials(sidecar_url=proxy.url)
        plan = one({"cache": 600, "fallback": "spare"})
        team.run("hello", plan=plan, saved=saved)

        call = team.start("hello", plan=plan, saved=saved)
        call.wait_for(lambda message: "market started" in str(message.content.get("variable_value", "")))
        wire.close()
        result = call.result()

    recovered(result, "backup", "facts of the spare")
    assert any("went on without it" in each for each in result.variables["warnings"])
    assert result.took_s < 8


def test_a_look_into_the_cache_that_fails_is_no_answer(make_team: MakeTeam, scene: World) -> None:
    """The sidecar answers everything but that; what is next in the chain is used, and the run stays on record there."""
    team = make_team(FLAKY)
    with FaultProxy(scene.sidecar.url) as wire:
        saved = team.credentials(sidecar_url=wire.url)
        plan = one({"cache": 600, "fallback": {"default": "value"}})
        team.run("hello", plan=plan, saved=saved)
        wire.script = lambda request: Fault("reset") if request.path.startswith("/v1/cache/") else None
        result = team.run("hello", plan=plan, saved=saved)
        looked = [each for each in wire.exchanges if each.request.path.startswith("/v1/cache/")]

    recovered(result, "default", "value")
    assert len(looked) == 2, "it is a GET, so it is sent once more"
    assert not any("went on without" in each for each in result.variables["warnings"])


def test_what_follows_a_streamed_beginning_is_not_streamed(make_team: MakeTeam) -> None:
    """`answer` can't be taken back; `text` has the backup's answer, and a warning says so."""

    def breaks_off(_request: dict[str, Any], _call: Invocation) -> list[dict[str, Any]]:
        return [{"event": "message", "conversation_id": "c", "answer": "half an"}]

    team = make_team(SPARE)
    agents = {"market": {"app": str(uuid.uuid4())}}
    with PluginProcess(ROOT) as plugin:
        plugin.on("app", breaks_off)
        plugin.on("fetch_app", lambda _request, _call: {"data": {"user_input_form": []}})
        result = team.run("x", plan=one({"fallback": "spare", "stream": True}, agents=agents), plugin=plugin)

    recovered(result, "backup", "facts of the spare")
    assert (result.variables["answer"], result.text) == ("half an", "facts of the spare")
    assert any("The output 'text' holds the whole answer" in each for each in result.variables["warnings"])
    assert [call.response_mode for call in team.calls("spare")] == ["blocking"]


@pytest.fixture
def short_leases() -> Iterator[World]:
    """A world of its own, in which a dead engine is replaced after a second."""
    given = (Variable(name="task"),)
    apps = (
        App(name="market", answer="facts", failures=first("node_failed")),
        SPARE,
        App(name="quick", answer="quick facts"),
        App(name="writer", mode="workflow", inputs=given, answer="a report", latency_s=3),
    )
    with world(*apps, env={"ENSEMBLE_LEASE_MS": "1000", "ENSEMBLE_LOG_LEVEL": "error"}) as scene:
        yield scene


def test_a_run_that_is_taken_over_does_again_what_a_backup_had_done(short_leases: World) -> None:
    """The plugin is killed after the backup answered: the heir asks the agent itself, and keeps what agents gave."""
    scene = short_leases
    plan = {
        "steps": [
            {"id": "market", "agent": "market", "fallback": "spare"},
            {"id": "quick", "agent": "quick"},
            {"id": "writer", "agent": "writer", "depends_on": ["market", "quick"]},
        ]
    }

    def start(plugin: PluginProcess) -> Invocation:
        given = {"task": "work", "plan": variable(plan), "run_key": "k"}
        return plugin.invoke("orchestrator", given, scene.credentials())

    call = start(scene.plugin)
    call.wait_for(lambda message: "writer started" in str(message.content.get("variable_value", "")))
    until(lambda: scene.dify.log().counts.get("writer") == 1, "the writer to be called")
    scene.plugin.kill()
    with PluginProcess(ROOT) as heir:
        result = start(heir).result()

    assert result.error is None
    sources = {each["step"]: (each["source"], each["agent"]) for each in result.variables["results"]}
    assert sources == {"market": ("agent", "market"), "quick": ("agent", "quick"), "writer": ("agent", "writer")}
    assert scene.dify.log().counts == {"market": 2, "spare": 1, "quick": 1, "writer": 2}
