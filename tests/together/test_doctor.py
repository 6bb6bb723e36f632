"""The doctor through the real plugin process, beside a real sidecar and a Dify with apps that are well and apps that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.standin.apps import App, Variable
from tests.standin.daemon import PluginProcess
from tests.standin.failures import always
from tests.standin.invocation import Result
from tests.standin.service_api import ROOT
from tests.standin.world import World
from tests.together.schema import violations
from tests.together.team import Team

type MakeTeam = Callable[..., Team]

SCHEMA = yaml.safe_load((Path(ROOT) / "plugin/tools/doctor.yaml").read_text("utf-8"))["output_schema"]
WRONG_KEY = "app-WrongWrongWrongWrong1234"


def examine(plugin: PluginProcess, saved: dict[str, Any], **given: Any) -> Result:
    """Call the doctor as a workflow does."""
    result = plugin.invoke("doctor", given, saved).result()
    if result.error is None:
        assert set(result.variables) == set(SCHEMA["properties"])
        assert list(violations(result.variables, SCHEMA)) == []
    return result


def about(result: Result, subject: str, severity: str | None = None) -> str:
    """Return all that was found of a subject, with what to change."""
    return "\n".join(
        f"{each['finding']} {each['fix']}"
        for each in result.variables["findings"]
        if each["subject"] == subject and severity in (None, each["severity"])
    )


def test_an_installation_that_is_well_has_no_problem(scene: World, make_team: MakeTeam) -> None:
    """Sidecar, store, clocks and each app are in order; the report says so at its end."""
    team = make_team(App(name="market"), App(name="writer", mode="workflow", inputs=(Variable(name="topic"),)))

    result = examine(scene.plugin, team.credentials())

    assert result.error is None
    assert result.variables["status"] == "note"
    assert "answers, version" in about(result, "sidecar", "ok")
    assert "valkey" in about(result, "store", "ok")
    assert about(result, "clocks", "ok")
    assert "the task goes to query" in about(result, "agent market", "ok")
    assert "the task goes to topic" in about(result, "agent writer", "ok")
    assert result.text.startswith("**Ensemble, looked over:** 0 problems, 0 warnings")
    agents = {each["name"]: each for each in result.variables["agents"]}
    assert agents["writer"]["inputs"] == [{"name": "topic", "type": "paragraph", "required": False}]
    assert agents["market"]["mode"] == "advanced-chat"
    assert result.variables["limits"]["timeout"] == 540
    assert result.variables["limits"]["dify"]["requests"] == 10


def test_apps_that_can_not_work_are_named(scene: World, make_team: MakeTeam) -> None:
    """A wrong key, an unpublished app, an app whose inputs nobody fills, and one that only streams."""
    form = (Variable(name="company", required=True), Variable(name="year", required=True))
    team = make_team(
        App(name="draft", mode="workflow", published=False),
        App(name="picky", mode="workflow", inputs=form),
        App(name="walker", mode="agent-chat"),
    )
    saved = team.credentials()
    saved["app_keys"] += f", wrong = {WRONG_KEY}"

    result = examine(scene.plugin, saved)

    assert result.variables["status"] == "problem"
    assert "App keys" in about(result, "agent wrong", "problem")
    assert about(result, "agent draft", "problem")
    assert "company" in about(result, "agent picky", "warning")
    assert "only streams" in about(result, "agent walker", "note")
    answers = {each["name"]: each["answers"] for each in result.variables["agents"]}
    assert answers == {"draft": False, "picky": True, "walker": True, "wrong": False}
    assert WRONG_KEY not in str(result.variables) + result.text


def test_what_runs_have_taught_the_sidecar_is_told(scene: World, make_team: MakeTeam) -> None:
    """An agent whose breaker opened is a warning, with its health, and its figures stand in agents."""
    team = make_team(App(name="good", answer="yes"), App(name="bad", failures=always("server_error")))
    plan = "{agents: {bad: {app: bad, breaker: {failure_threshold: 1}}, good: good}, steps: [{id: a, agent: bad}, {id: b, agent: good}]}"
    team.run("work", plan=plan)

    result = examine(scene.plugin, team.credentials())

    assert "breaker is open" in about(result, "agent bad", "warning")
    agents = {each["name"]: each for each in result.variables["agents"]}
    assert (agents["bad"]["health"], agents["bad"]["breaker"]) == ("failing", "open")
    assert (agents["good"]["health"], agents["good"]["calls"]) == ("healthy", 1)
    assert agents["good"]["latency_p95_ms"] > 0


def test_a_sidecar_that_is_away_or_locked_is_a_problem(scene: World, make_team: MakeTeam) -> None:
    """The report comes all the same, and the rest of it is there."""
    team = make_team(App(name="market"))

    away = examine(scene.plugin, team.credentials(sidecar_url="http://127.0.0.1:9"))
    locked = examine(scene.plugin, team.credentials(sidecar_token="not-the-token"))
    local = examine(scene.plugin, team.credentials(sidecar_url="", sidecar_token=""))

    assert "nothing listens there" in about(away, "sidecar", "problem")
    assert "does not accept the Sidecar token" in about(locked, "sidecar", "problem")
    assert "None is configured" in about(local, "sidecar", "note")
    assert all(about(each, "agent market", "ok") for each in (away, locked, local))


def test_without_a_sidecar_this_process_s_own_breakers_are_told(scene: World, make_team: MakeTeam) -> None:
    """As far as it has seen the agents fail itself."""
    team = make_team(App(name="good"), App(name="bad", failures=always("server_error")))
    saved = team.credentials(sidecar_url="", sidecar_token="")
    plan = "{agents: {bad: {app: bad, breaker: {failure_threshold: 1}}, good: good}, steps: [{id: a, agent: bad}, {id: b, agent: good}]}"
    team.run("work", plan=plan, saved=saved)

    result = examine(scene.plugin, saved)

    assert "breaker is open" in about(result, "agent bad", "warning")


def test_what_the_daemon_hands_on_of_difys_settings_is_taken_into_account(make_team: MakeTeam) -> None:
    """Numbers only, by their names; a run that Dify would cut is a problem."""
    env = {"PLUGIN_MAX_EXECUTION_TIMEOUT": "300", "SERVER_WORKER_CONNECTIONS": "100", "CELERY_WORKER_AMOUNT": "16"}
    saved = make_team(App(name="market")).credentials(host_parallel="50")
    with PluginProcess(ROOT, env=env) as plugin:
        result = examine(plugin, saved)
        lowered = examine(plugin, saved, limits="timeout: 200, max_calls: 3")

    assert "timeout in limits to 280" in about(result, "timeouts", "problem")
    assert "serves 100 requests" in about(result, "places", "ok")
    assert about(lowered, "timeouts", "problem") == ""
    assert lowered.variables["limits"]["max_calls"] == 3


def test_only_the_agents_asked_for_are_looked_at(scene: World, make_team: MakeTeam) -> None:
    """A name nobody has is a problem, with the name that was meant."""
    team = make_team(App(name="market"), App(name="writer"))

    result = examine(scene.plugin, team.credentials(), agents="Market, writr")

    assert [each["name"] for each in result.variables["agents"]] == ["market"]
    assert "Did you mean writer?" in about(result, "agent writr", "problem")


def test_credentials_that_can_not_be_read_are_a_finding_and_bad_parameters_a_failure(
    scene: World, make_team: MakeTeam
) -> None:
    """The first are what the doctor is called for."""
    team = make_team(App(name="market"))

    broken = examine(scene.plugin, team.credentials(app_keys="nonsense"))
    failed = examine(scene.plugin, team.credentials(), limits="max_tokens: many")

    assert broken.variables["status"] == "problem"
    assert "App keys" in about(broken, "credentials", "problem")
    assert failed.error is not None
    assert "limits.max_tokens" in str(failed.error)
