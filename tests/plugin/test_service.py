"""One call of the orchestrator, from what Dify hands over to the engine's request, and through a run of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from dify_plugin.entities.tool import ToolInvokeMessage, ToolRuntime

from ensemble.contract.budgets import Limits
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.problems import Fault
from ensemble.engine.request import RunRequest
from plugin.adapters.pools import Pools
from plugin.credentials import read_credentials
from plugin.errors import BadCredentials, BadParameters, BadPlan, NoAgentSucceeded, UnknownAgent, in_words
from plugin.orchestrator.parameters import read_parameters
from plugin.orchestrator.service import Caller, orchestrate, run_request
from plugin.requesting import LOCAL_MODE
from plugin.tools.orchestrator import OrchestratorTool
from tests.plugin.web import Asked, Told, Web

KEYS = {name: f"app-{letter * 24}" for name, letter in [("market", "M"), ("tech", "T"), ("writer", "W"), ("dead", "D")]}
SAVED = {
    "dify_base_url": "http://dify.invalid/v1",
    "app_keys": ", ".join(f"{name} = {key}" for name, key in KEYS.items()),
}
CALLER = Caller(user_id="user-1")


def request(saved: dict[str, Any] | None = None, **parameters: Any) -> RunRequest:
    """Return the request for *parameters*."""
    credentials = read_credentials(SAVED | (saved or {}))
    return run_request(read_parameters({"task": "do it", **parameters}), credentials, CALLER, Pools())


def test_a_pattern_and_a_team() -> None:
    """Names are found whatever their case; the agents come with their keys."""
    made = request(pattern="parallel", agents="Market; tech", synthesizer="writer", inputs={"q": 1}, run_key="k")

    assert made.plan.pattern == "parallel"
    assert set(made.agents) == {"Market", "tech", "writer"}
    assert made.plan.synthesizer == "writer"
    assert (made.user, made.run_key, made.inputs) == ("user-1", "k", {"q": 1})
    assert (made.max_parallel, made.host_parallel, made.timeout_s) == (4, 8, 540)
    assert made.limits == Limits()
    assert made.warnings == (LOCAL_MODE,)


def test_what_is_of_the_workspace_needs_a_way_back() -> None:
    """Each agent is named, with what can be done about it."""
    agents = {
        "app": {"app": "a675a0c4-332f-4255-811e-e0d750b808df"},
        "judge": {"model": "p/p/openai/gpt", "prompt": "Judge."},
        "search": {"tool": "acme/web/web/search", "inputs": {"q": "x"}},
    }

    with pytest.raises(BadPlan) as refused:
        request(plan=json.dumps({"agents": agents}))

    app, judge, search = str(refused.value).splitlines()
    assert "agents.app: is of the workspace" in app
    assert "by its key" in app
    assert all("by its key" not in line and "from a workflow" in line for line in (judge, search))


def test_without_a_user_the_run_is_anonymous() -> None:
    """Dify may not tell who calls."""
    credentials = read_credentials(SAVED)
    parameters = read_parameters({"task": "x", "agents": "tech"})

    assert run_request(parameters, credentials, Caller(user_id=None), Pools()).user == "anonymous"


def test_with_a_sidecar_nothing_is_said_of_local_mode() -> None:
    """A warning that is always there is none."""
    assert request({"sidecar_url": "http://s", "sidecar_token": "t"}, agents="tech").warnings == ()


@pytest.mark.parametrize("task", ["start.query", "1711000000000.text", "sys.query"])
def test_a_task_that_lost_its_braces_is_warned_of(task: str) -> None:
    """It may be meant, so it is no fault; the agents get the words as they are."""
    made = request(agents="tech", task=task)

    assert made.task == task
    (warning, _) = made.warnings
    assert warning.startswith(f"All there is to work on is '{task}'")
    assert "by typing /" in warning


def test_a_task_with_more_in_it_than_a_name_is_not() -> None:
    """A sentence that names a variable is a sentence."""
    assert request(agents="tech", task="Explain start.query").warnings == (LOCAL_MODE,)


@pytest.mark.parametrize(
    "key", ["sys.workflow_run_id", "order 7, sys.workflow_run_id", "start.order", "1711000000000.id", "env.KEY"]
)
def test_a_run_key_that_lost_its_braces_is_left_out(key: str) -> None:
    """It is the same in every execution, and all but the first would be given an old answer."""
    made = request(agents="tech", run_key=key)

    assert made.run_key is None
    (warning, _) = made.warnings
    assert warning.startswith(f"run_key is '{key}'")
    assert "left out" in warning
    assert "by typing /" in warning


@pytest.mark.parametrize("key", ["orders.id", "invoice.pdf"])
def test_a_run_key_that_may_have_lost_its_braces_is_warned_of(key: str) -> None:
    """A variable may well hold the name of a file."""
    made = request(agents="tech", run_key=key)

    assert made.run_key == key
    (warning, _) = made.warnings
    assert warning.startswith(f"run_key is '{key}'")
    assert "first one's answer" in warning


@pytest.mark.parametrize("key", ["0f2e1fd0-60e0-4f85-baee-a732a26ad229", "key invoice.pdf", "a@b.com", "nightly", None])
def test_any_other_run_key_is_a_key(key: str | None) -> None:
    """Nothing is said of it."""
    made = request(agents="tech", run_key=key)

    assert (made.run_key, made.warnings) == (key, (LOCAL_MODE,))


def test_parameters_and_plans_lower_limits_and_never_raise_them() -> None:
    """The lowest of tool, plan and operator counts; what was lowered by the operator or by Dify is said."""
    plan = {"limits": {"max_parallel": 6, "max_tokens": 900}, "steps": [{"id": "a", "agent": "tech"}]}
    made = request(
        {"max_parallel": "5", "max_calls": "10", "max_tokens": "1000", "max_seconds": "60"},
        plan=plan,
        limits="max_parallel: 50, max_calls: 99, max_tokens: 950, timeout: 900",
    )

    assert (made.max_parallel, made.timeout_s) == (5, 540)
    assert made.limits == Limits(tokens=900, calls=10, seconds=60)
    assert made.warnings[:-1] == (
        "max_parallel was lowered from 6 to 5, the ceiling in the plugin's credentials.",
        "timeout was lowered from 900 to 540, a tool call's time in Dify.",
        "max_calls was lowered from 99 to 10, the ceiling in the plugin's credentials.",
    )


@pytest.mark.parametrize(
    "named",
    [
        {"agents": "market, tech, writer"},
        {"agents": "market, tech", "synthesizer": "writer"},
        {
            "plan": {
                "agents": {"market": {}, "tech": {}, "spare": {"app": "writer"}},
                "steps": [{"id": "a", "agent": "tech"}],
            }
        },
        {"plan": {"steps": [{"id": name, "agent": name} for name in ("market", "tech", "writer")]}},
        {"plan": {"steps": [{"id": "a", "agent": "tech", "fallback": "market"}]}, "agents": "writer"},
        {"pattern": "hierarchical", "agents": "market, tech, writer"},
    ],
)
def test_a_plan_may_name_as_many_agents_as_the_operator_allows(named: dict[str, Any]) -> None:
    """Declared ones, synthesizers and backups count; nothing is called when they are too many."""
    assert len(request({"max_agents": "3"}, **named).plan.agents) == 3
    with pytest.raises(BadPlan) as refused:
        request({"max_agents": "2"}, **named)

    assert str(refused.value) == (
        "agents: 3 agents are named, and at most 2 may be. Name fewer, or raise Agents per run in the plugin's credentials."
    )


@pytest.mark.parametrize(("ceiling", "asked", "given"), [("2", "", 2), ("", "max_parallel: 32", 32), ("32", "", 4)])
def test_calls_at_one_time(ceiling: str, asked: str, given: int) -> None:
    """Four unless somebody says otherwise; a ceiling is no wish."""
    assert request({"max_parallel": ceiling}, agents="tech", limits=asked).max_parallel == given


@pytest.mark.parametrize(
    ("parameter", "plan", "expected"),
    [("", None, False), ("fail_fast", None, True), ("best_effort", "fail_fast", True), ("", "fail_fast", True)],
)
def test_whoever_says_fail_fast_is_heard(parameter: str, plan: str | None, expected: bool) -> None:  # noqa: FBT001 - a table
    """The form always sends a choice, its default too, so that it can't speak against a plan."""
    written = {"steps": [{"id": "a", "agent": "tech"}], **({"on_failure": plan} if plan else {})}

    assert request(plan=written, on_failure=parameter).fail_fast is expected


def test_an_unknown_agent_is_named_with_what_to_do() -> None:
    """Saved keys are not shown, so the whole list has to be pasted again."""
    with pytest.raises(UnknownAgent) as caught:
        request(agents="markt, tech")

    words = str(caught.value)
    assert "'markt'" in words
    assert "Did you mean 'market'?" in words
    assert "paste the whole list" in words


def test_a_key_in_a_names_place_is_not_quoted() -> None:
    """A builder who pastes a key as an agent is told what is wrong without finding it in Dify's log."""
    with pytest.raises(UnknownAgent) as caught:
        request(agents=f"app-{'k' * 24}, tech")

    assert "'app-…'" in str(caught.value)
    assert "kkkk" not in str(caught.value)


def test_a_bad_plan_names_every_fault() -> None:
    """An unknown agent beside another fault is a bad plan."""
    with pytest.raises(BadPlan) as caught:
        request(plan={"steps": [{"id": "a", "agent": "nobody"}, {"id": "b", "agent": "tech", "depends_on": ["c"]}]})

    assert type(caught.value) is BadPlan
    assert len(str(caught.value).splitlines()) == 2


def test_nobody_to_run() -> None:
    """Neither agents nor a plan."""
    with pytest.raises(BadPlan, match="There is no agent to run"):
        request()


def test_an_apps_id_needs_a_way_back_into_dify() -> None:
    """Where a call comes without one, the message says how to do with a key."""
    app_id = "12345678-1234-1234-1234-123456789abc"

    with pytest.raises(BadPlan, match=r"Call the app by its key") as caught:
        request(agents=app_id)

    assert app_id in str(caught.value)


def test_mistakes_surface_at_the_first_step() -> None:
    """Before anything is called."""
    with pytest.raises(BadCredentials):
        next(orchestrate({"task": "x"}, {"sidecar_url": "http://s"}, CALLER, Pools()))
    with pytest.raises(BadParameters):
        next(orchestrate({}, SAVED, CALLER, Pools()))


def test_books_are_kept_apart_by_credentials() -> None:
    """One process serves every workspace; the same credentials share one book."""
    pools = Pools()
    mine, same = (pools.book(read_credentials(SAVED)) for _ in range(2))
    other = pools.book(read_credentials(SAVED | {"app_keys": f"market = {KEYS['tech']}"}))

    assert mine is same
    assert mine is not other


def dify(asked: Asked) -> Told:
    """Answer as a Dify whose apps are chatflows; the one called dead is."""
    name = next((name for name, key in KEYS.items() if key in asked.headers.get("Authorization", "")), "")
    if name == "dead" and asked.method == "POST":
        return told({"code": "internal_server_error", "message": "down"}, 500)
    if asked.path == "/v1/info":
        return told({"name": name, "description": "", "tags": [], "mode": "advanced-chat", "author_name": "me"})
    if asked.path == "/v1/parameters":
        return told({"user_input_form": [], "system_parameters": {}})
    query = json.loads(asked.body)["query"]
    usage = {"total_tokens": 7, "total_price": "0.0000070", "currency": "USD"}
    return told(
        {
            "event": "message",
            "task_id": "t",
            "id": "m",
            "message_id": "m",
            "conversation_id": "c",
            "mode": "advanced-chat",
            "answer": f"{name} on {query.splitlines()[0]}",
            "metadata": {"usage": usage},
            "created_at": 1,
        }
    )


def told(answer: dict[str, Any], status: int = 200) -> Told:
    """Return *answer* as Dify sends it."""
    return Told(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def through_the_tool(web: Web, **parameters: Any) -> dict[str, Any]:
    """Return the outputs of a call of the tool as the SDK makes one, against the server."""
    web.rule = dify
    runtime = ToolRuntime(credentials=SAVED | {"dify_base_url": f"{web.url}/v1"}, user_id="u", session_id=None)
    session: Any = SimpleNamespace(app_id="app", conversation_id=None)
    return outputs(OrchestratorTool(runtime, session).invoke({"task": "do it", **parameters}))


def outputs(sent: Iterable[ToolInvokeMessage]) -> dict[str, Any]:
    """Return what Dify makes of *sent*."""
    made: dict[str, Any] = {"text": ""}
    for message in sent:
        body = message.model_dump(mode="json")["message"]
        if "text" in body:
            made["text"] += body["text"]
        elif body["stream"]:
            made["progress"] = made.get("progress", "") + body["variable_value"]
        else:
            made[body["variable_name"]] = body["variable_value"]
    return made


def test_a_team_answers(web: Web) -> None:
    """Without a sidecar: both apps are asked, the writer is given their answers, and usage adds up."""
    made = through_the_tool(web, pattern="parallel", agents="market, tech", synthesizer="writer")

    assert made["status"] == str(RunStatus.SUCCEEDED)
    assert made["text"] == "writer on do it"
    assert [result["text"] for result in made["results"]] == ["market on do it", "tech on do it", "writer on do it"]
    assert made["usage"] == {"tokens": 21, "price": "0.0000210", "currency": "USD", "estimated": False}
    assert made["warnings"] == [LOCAL_MODE]
    assert made["errors"] == []
    assert made["progress"].count("\n") >= 3


def test_a_dead_agent_does_not_sink_the_rest(web: Web) -> None:
    """It is named in the text; the node stays green."""
    made = through_the_tool(web, pattern="parallel", agents="market, dead", limits="timeout: 1.5")

    assert made["status"] in {"partial", "timed_out"}
    assert "market on do it" in made["text"]
    assert "[dead " in made["text"]
    assert [error["agent"] for error in made["errors"]] == ["dead"]


def test_nobody_alive_is_a_failed_node(web: Web) -> None:
    """With a message that names who failed and how."""
    with pytest.raises(NoAgentSucceeded, match="dead"):
        through_the_tool(web, agents="dead", limits="timeout: 1")


def test_the_same_run_key_is_answered_from_the_book(web: Web) -> None:
    """As long as the process lives, local mode remembers a succeeded run."""
    first = through_the_tool(web, agents="market", run_key="k")
    calls = len([asked for asked in web.asked if asked.method == "POST"])

    second = through_the_tool(web, agents="market", run_key="k")

    assert second["text"] == first["text"]
    assert second["run_id"] == first["run_id"]
    assert len([asked for asked in web.asked if asked.method == "POST"]) == calls == 1


def test_a_long_list_of_faults_is_cut_and_nothing_in_it_turns_the_text_around() -> None:
    faults = [Fault(field=f"steps[{number}]", problem="is \u202edoog\x00.", fix="") for number in range(100)]

    lines = in_words(faults).splitlines()

    assert len(lines) == 41
    assert lines[0] == "steps[0]: is ?doog?."
    assert lines[-1] == "And 60 more of the kind."
