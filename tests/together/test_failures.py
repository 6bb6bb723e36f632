"""What a workflow is told when something is wrong, and what it still gets."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from tests.standin.apps import App, Usage
from tests.standin.daemon import PluginProcess
from tests.standin.failures import always
from tests.standin.faults import FaultProxy
from tests.standin.parameters import typed
from tests.standin.world import World
from tests.together.team import Team, entry

DEAD = always("node_failed", "the model is on fire")

type MakeTeam = Callable[..., Team]


def four(*dead: str) -> list[App]:
    """Four apps; those named fail at every call."""
    return [
        App(name=name, answer=f"{name} says {{query}}", **({"failures": DEAD} if name in dead else {}))
        for name in ("market", "tech", "finance", "law")
    ]


def nobody_home() -> str:
    """Return an address at which nothing listens."""
    with FaultProxy("http://127.0.0.1:1") as closed:
        return closed.url


def test_one_dead_agent_of_four_costs_its_own_part_only(make_team: MakeTeam) -> None:
    """The rest is delivered, the dead one named, the status partial, and the node green."""
    result = make_team(*four("tech")).run("hello", pattern="parallel")

    assert result.error is None
    assert "partial" == result.variables["status"]
    for name in ("market", "finance", "law"):
        assert f"### {name}\n\n{name} says hello" in result.text
        assert "succeeded" == entry(result, name)["status"]
    [error] = result.variables["errors"]
    assert ("tech", "agent_failed") == (error["agent"], error["code"])
    assert "the model is on fire" in error["message"]
    assert "[tech failed:" in result.text


def test_a_synthesizer_works_with_what_there_is(make_team: MakeTeam) -> None:
    """It is given the others' results, and not a word of the dead one's."""
    apps = [*four("tech"), App(name="writer", answer="summary of {query}")]

    result = make_team(*apps).run("hello", agents="market, tech, law", pattern="parallel", synthesizer="writer")

    assert "partial" == result.variables["status"]
    assert result.text.startswith("summary of hello")
    assert "### market" in result.text
    assert "### law" in result.text
    assert "### tech" not in result.text


def test_four_dead_agents_fail_the_node_in_words(make_team: MakeTeam) -> None:
    """The message names each agent, what it said, and the run."""
    result = make_team(*four("market", "tech", "finance", "law")).run("hello", pattern="parallel")

    assert result.error is not None
    assert "NoAgentSucceeded" == result.error.error_type
    for name in ("market", "tech", "finance", "law"):
        assert f"- {name} (step {name}): agent_failed:" in result.error.message
    assert 4 == result.error.message.count("the model is on fire")


def test_a_wrong_key_is_told_with_what_to_do(make_team: MakeTeam) -> None:
    """The agent is named and the credentials blamed; no key is shown."""
    team = make_team(App(name="market"))
    wrong = f"app-{'0' * 24}"

    result = team.run("hello", saved=team.credentials(app_keys=f"market = {wrong}"))

    assert result.error is not None
    assert "misconfigured" in result.error.message
    assert "key" in result.error.message
    assert wrong not in result.error.message + json.dumps(result.error.args)


def test_fail_fast_ends_the_run_at_the_first_failure(make_team: MakeTeam) -> None:
    """The slow agent is not waited for, the node fails, and the failure stands in its message."""
    slow = App(name="slow", answer="late", latency_s=20)
    team = make_team(slow, App(name="dead", failures=DEAD))

    result = team.run("hello", pattern="parallel", on_failure="fail_fast")

    assert result.error is not None
    assert "dead" in result.error.message
    assert "the model is on fire" in result.error.message
    assert result.took_s < 10


def test_fail_fast_keeps_quiet_about_nothing_that_succeeded(make_team: MakeTeam) -> None:
    """With a success before the failure the node fails as StepFailed."""
    team = make_team(App(name="market"), App(name="dead", failures=DEAD))

    result = team.run("hello", pattern="sequential", on_failure="fail_fast")

    assert result.error is not None
    assert "StepFailed" == result.error.error_type


def test_a_step_that_takes_too_long_is_timed_out(make_team: MakeTeam) -> None:
    """The other's result is delivered."""
    team = make_team(App(name="slow", latency_s=20), App(name="quick", answer="here"))
    plan = {"steps": [{"id": "slow", "agent": "slow", "timeout": 0.3}, {"id": "quick", "agent": "quick"}]}

    result = team.run("hello", plan=json.dumps(plan))

    assert ("partial", "timed_out") == (result.variables["status"], entry(result, "slow")["status"])
    assert "here" in result.text
    assert result.took_s < 10


def test_a_run_that_takes_too_long_ends_with_what_it_has(make_team: MakeTeam) -> None:
    """Its status is timed_out, and the node is green."""
    team = make_team(App(name="slow", latency_s=20), App(name="quick", answer="here"))

    result = team.run("hello", pattern="parallel", limits="timeout: 3")

    assert result.error is None
    assert ("timed_out", "cancelled") == (result.variables["status"], entry(result, "slow")["status"])
    assert "here" in result.text
    assert result.took_s < 15


def test_a_budget_refuses_the_step_that_would_pass_it(make_team: MakeTeam) -> None:
    """The second of two calls is not made, and the refusal names the limit."""
    team = make_team(App(name="market", answer="facts"), App(name="writer", answer="a report"))

    result = team.run("hello", pattern="sequential", limits="max_calls: 1")

    assert "partial" == result.variables["status"]
    assert "facts" in result.text
    assert ("refused", "refused") == (entry(result, "writer")["status"], entry(result, "writer")["error"]["code"])
    assert "call" in entry(result, "writer")["error"]["message"]
    assert [] == team.calls("writer")


def test_tokens_that_were_spent_are_not_there_for_the_next_step(make_team: MakeTeam) -> None:
    """What an agent really used counts, not what was guessed."""
    dear = App(name="dear", answer="facts", usage=Usage(prompt_tokens=900, completion_tokens=200))
    team = make_team(dear, App(name="writer"))

    result = team.run("hello", pattern="sequential", limits="max_tokens: 1000")

    assert ("partial", "refused") == (result.variables["status"], entry(result, "writer")["status"])
    assert "token" in entry(result, "writer")["error"]["message"]


def test_a_breaker_opened_by_one_process_refuses_in_another(make_team: MakeTeam, second_plugin: PluginProcess) -> None:
    """Two failures counted in one plugin process shut the door in the other; the app is not called again."""
    team = make_team(App(name="dead", failures=DEAD), App(name="alive", answer="here"))
    plan = json.dumps(
        {
            "agents": {"dead": {"app": "dead", "breaker": {"failure_threshold": 2}}},
            "steps": [{"id": "dead", "agent": "dead"}, {"id": "alive", "agent": "alive"}],
        }
    )
    for _ in range(2):
        assert "failed" == entry(team.run("hello", plan=plan), "dead")["status"]

    result = team.run("hello", plan=plan, plugin=second_plugin)

    assert ("partial", "refused") == (result.variables["status"], entry(result, "dead")["status"])
    assert "breaker" in entry(result, "dead")["error"]["message"]
    assert 2 == len(team.calls("dead"))


def test_a_sidecar_that_is_down_is_gone_on_without(make_team: MakeTeam) -> None:
    """The answer comes, and a warning says where there was nobody."""
    team = make_team(App(name="market", answer="facts"))
    address = nobody_home()

    result = team.run("hello", saved=team.credentials(sidecar_url=address))

    assert ("succeeded", "facts") == (result.variables["status"], result.text)
    assert any(address in line for line in result.variables["warnings"])


def test_without_a_sidecar_everything_is_kept_in_the_process(make_team: MakeTeam) -> None:
    """Local mode: runs, retries and budgets work, and a warning says what does not."""
    team = make_team(App(name="market", answer="facts"), App(name="writer", answer="a report"))
    saved = team.credentials(sidecar_url="", sidecar_token="")

    whole = team.run("hello", saved=saved, pattern="sequential")
    refused = team.run("again", saved=saved, pattern="sequential", limits="max_calls: 1")

    assert ("succeeded", "a report") == (whole.variables["status"], whole.text)
    assert any("No sidecar" in line for line in whole.variables["warnings"])
    assert "refused" == entry(refused, "writer")["status"]


def test_a_sidecar_url_without_a_token_is_refused(make_team: MakeTeam) -> None:
    """One without the other is a mistake, not local mode."""
    team = make_team(App(name="market"))

    result = team.run("hello", saved=team.credentials(sidecar_token=""))

    assert result.error is not None
    assert ("BadCredentials", True) == (result.error.error_type, "Sidecar token" in result.error.message)
    assert [] == team.calls("market")


def test_an_unknown_agent_is_told_with_its_near_match(make_team: MakeTeam) -> None:
    """And with where its key belongs: the whole list has to be pasted again."""
    team = make_team(App(name="market"), App(name="tech"))

    result = team.run("hello", agents="markt, tech")

    assert result.error is not None
    assert "UnknownAgent" == result.error.error_type
    for word in ("markt", "market", "whole list"):
        assert word in result.error.message
    assert [] == team.calls("tech")


def test_a_bad_plan_is_told_with_every_fault(make_team: MakeTeam) -> None:
    """A cycle with its path, an unknown agent, an unknown field and a number out of bounds, all at once."""
    team = make_team(App(name="market"))
    plan = {
        "steps": [
            {"id": "a", "agent": "market", "depends_on": ["b"]},
            {"id": "b", "agent": "market", "depends_on": ["a"]},
            {"id": "c", "agent": "nobody"},
            {"id": "d", "agent": "market", "retries": 2},
            {"id": "e", "agent": "market", "timeout": -1},
        ]
    }

    result = team.run("hello", plan=json.dumps(plan))

    assert result.error is not None
    assert "BadPlan" == result.error.error_type
    for word in ("a waits for b, b waits for a", "nobody", "retries", "retry_times", "timeout"):
        assert word in result.error.message, word
    assert 4 <= len(result.error.message.splitlines())
    assert [] == team.calls("market")


def test_several_bad_parameters_are_told_at_once(make_team: MakeTeam) -> None:
    """Each by its name."""
    result = make_team(App(name="market")).run(" ", limits="max_parallel: many", trace_id="not this!")

    assert result.error is not None
    assert "BadParameters" == result.error.error_type
    for field in ("task", "limits.max_parallel", "trace_id"):
        assert f"{field}: " in result.error.message


def test_a_reference_that_lost_its_braces_in_dify_is_still_one(make_team: MakeTeam) -> None:
    """`{{#market.output#}}` typed into the plan's field arrives without its braces; a warning says so."""
    team = make_team(App(name="market", answer="big numbers"), App(name="writer", answer="{query}"))
    plan = """
steps:
  - id: market
    agent: market
  - id: report
    agent: writer
    query: "Write about {{#market.output#}} at {{#start.company#}}"
"""

    result = team.run("hello", plan=typed(plan), inputs='{"company": "ACME"}')

    assert "Write about big numbers at ACME" == result.text
    assert ["market", "report"] == [each["step"] for each in result.variables["results"]]
    assert any("market.output" in line for line in result.variables["warnings"])


def test_credentials_that_work_are_accepted(scene: World, make_team: MakeTeam) -> None:
    """Sidecar, token and every key were tried."""
    team = make_team(App(name="market"), App(name="tech", mode="workflow"))

    assert scene.plugin.validate_credentials(team.credentials()) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sidecar_token": "not-the-token"}, ["Sidecar token", "does not accept"]),
        ({"app_keys": f"market = app-{'0' * 24}"}, ["'market'", "key"]),
        ({"app_keys": "market = app-short"}, ["market"]),
        ({"dify_base_url": ""}, ["Service API base URL"]),
        ({"max_parallel": "many"}, ["Calls at one time, per run"]),
    ],
)
def test_credentials_that_do_not_work_are_refused_in_words(
    scene: World, make_team: MakeTeam, changes: dict[str, str], words: list[str]
) -> None:
    """What is wrong is named; no key and no token is shown."""
    team = make_team(App(name="market"))

    error = scene.plugin.validate_credentials(team.credentials(**changes))

    assert error is not None
    assert "ToolProviderCredentialValidationError" == error.error_type
    for word in words:
        assert word in error.message
    told = error.message + json.dumps(error.args)
    secrets = {scene.sidecar.token, team.apps["market"].key, f"app-{'0' * 24}", "not-the-token", "app-short"}
    assert set() == {secret for secret in secrets if secret in told}


def test_everything_wrong_with_credentials_is_told_at_once(scene: World, make_team: MakeTeam) -> None:
    """A dead sidecar and a key that is not accepted are two lines."""
    team = make_team(App(name="market"), App(name="tech"))
    keys = f"market = {team.apps['market'].key}, tech = app-{uuid.uuid4().hex[:24]}"

    error = scene.plugin.validate_credentials(team.credentials(sidecar_url=nobody_home(), app_keys=keys))

    assert error is not None
    sidecar, tech = error.message.splitlines()
    assert "nothing listens there" in sidecar
    assert "'tech'" in tech
