"""Every transport through the real plugin process: by key, by app id, by model; streamed, cut off, remembered."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import urllib3

from tests.standin.apps import App, Usage, Variable
from tests.standin.backwards import BackwardsRefused
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import WAIT_S, Invocation
from tests.standin.parameters import typed, variable
from tests.standin.world import World
from tests.together.team import Team, entry, soon

type MakeTeam = Callable[..., Team]

APP_ID = "a675a0c4-332f-4255-811e-e0d750b808df"
OTHER_ID = "5c3e1b52-9f0d-4a77-8d1b-2f6a1e90c4d3"
FORM = {"data": {"user_input_form": [{"paragraph": {"variable": "text", "type": "paragraph", "required": True}}]}}


def workflow(text: str) -> dict[str, Any]:
    outputs = {"result": text}
    return {
        "task_id": "t",
        "workflow_run_id": "r",
        "data": {"status": "succeeded", "outputs": outputs, "total_tokens": 5},
    }


def chunk(text: str, tokens: int | None = None) -> dict[str, Any]:
    usage = None
    if tokens is not None:
        kinds = ("prompt_unit_price", "prompt_price_unit", "prompt_price", "total_price")
        money = (*kinds, "completion_unit_price", "completion_price_unit", "completion_price")
        counts = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        usage = {**dict.fromkeys(money, "0"), **counts, "currency": "USD", "latency": 0.1}
    return {"model": "gpt", "delta": {"index": 0, "message": {"role": "assistant", "content": text}, "usage": usage}}


@pytest.fixture
def plugin(scene: World) -> Iterator[PluginProcess]:
    """The scene's plugin; no backwards call may come after its tool call has ended."""
    scene.plugin.on("fetch_app", lambda _request, _call: FORM)
    late = len(scene.plugin.late)
    yield scene.plugin
    assert scene.plugin.late[late:] == []


def test_an_app_of_the_workspace_is_called_by_its_id(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """Beside one called by its key, and with the first one's answer."""
    asked: list[dict[str, Any]] = []

    def app(request: dict[str, Any], _: Invocation) -> Mapping[str, Any]:
        asked.append(request)
        return workflow("facts")

    plugin.on("app", app)
    team = make_team(App(name="writer"))

    result = team.run("bees", agents=f"{APP_ID}, writer", pattern="sequential")

    assert result.error is None, result.error
    assert ("facts", 5) == (entry(result, APP_ID)["text"], entry(result, APP_ID)["usage"]["tokens"])
    assert "facts" in team.calls("writer")[0].query
    assert (APP_ID, "blocking", {"text": "bees"}) == tuple(asked[0][k] for k in ("app_id", "response_mode", "inputs"))


def test_an_agent_app_streams_into_answer_while_it_speaks(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """It refuses to answer in one piece, so it is asked again; each piece passes on before the next one is there."""
    go = threading.Event()

    def app(request: dict[str, Any], _: Invocation) -> Any:
        if request["response_mode"] == "blocking":
            body = json.dumps({"code": "invalid_param", "message": "Agent Chat App does not support blocking mode"})
            raise BackwardsRefused(f"request failed with status code: 400 and respond with: {body}")
        return speak()

    def speak() -> Iterator[dict[str, Any]]:
        yield {"event": "agent_message", "conversation_id": "c", "answer": "Hel"}
        assert go.wait(WAIT_S)
        yield {"event": "agent_message", "conversation_id": "c", "answer": "lo"}
        yield {"event": "message_end", "conversation_id": "c", "metadata": {"usage": {"total_tokens": 9}}}

    plugin.on("app", app)
    agent = str(uuid.uuid4())
    call = make_team(App(name="other")).start("hi", agents=agent)

    call.wait_for(lambda m: m.content.get("variable_name") == "answer" and m.content["variable_value"] == "Hel")
    go.set()
    result = call.result()

    assert ("Hello", "Hello") == (result.variables["answer"], result.text)
    assert ["Hel", "lo"] == result.streamed["answer"]
    assert 9 == result.variables["usage"]["tokens"]
    assert f"{agent}: Hello" in result.variables["progress"]


def test_a_model_with_a_prompt_is_an_agent(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """Streamed, with its usage; the prompt is the system's message."""
    asked: list[dict[str, Any]] = []

    def llm(request: dict[str, Any], _: Invocation) -> list[dict[str, Any]]:
        asked.append(request)
        return [chunk("Bees "), chunk("buzz."), chunk("", 21)]

    plugin.on("llm", llm)
    plan = {
        "agents": {"judge": {"model": "p/p/openai/gpt", "prompt": "Be brief."}},
        "steps": [{"id": "j", "agent": "judge"}],
    }

    result = make_team(App(name="other")).run("bees", plan=variable(plan))

    assert result.error is None, result.error
    assert ("Bees buzz.", 21) == (result.text, result.variables["usage"]["tokens"])
    assert ["Be brief.", "bees"] == [message["content"] for message in asked[0]["prompt_messages"]]
    assert ("p/p/openai", "gpt", True) == (asked[0]["provider"], asked[0]["model"], asked[0]["stream"])


PLANS: dict[str, dict[str, Any]] = {
    "by key, blocking": {"steps": [{"id": "a", "agent": "slow", "timeout": 1}]},
    "by key, streaming": {"steps": [{"id": "a", "agent": "slow", "timeout": 1, "stream": True}]},
    "by app id, blocking": {"steps": [{"id": "a", "agent": APP_ID, "timeout": 1}]},
    "by app id, streaming": {"steps": [{"id": "a", "agent": OTHER_ID, "timeout": 1, "stream": True}]},
    "by model": {
        "agents": {"m": {"model": "p/p/openai/gpt", "prompt": "x"}},
        "steps": [{"id": "a", "agent": "m", "timeout": 1}],
    },
}


@pytest.mark.parametrize("transport", PLANS)
def test_a_step_of_one_second_over_a_call_that_never_returns_ends_the_tool(
    transport: str, plugin: PluginProcess, make_team: MakeTeam
) -> None:
    """Within 2.5 seconds, whatever the transport, as timed out."""
    ended = threading.Event()

    def hang(_request: dict[str, Any], _: Invocation) -> list[dict[str, Any]]:
        ended.wait(20)
        return []

    plugin.on("app", hang)
    plugin.on("llm", hang)
    team = make_team(App(name="slow", latency_s=20))
    try:
        result = soon(lambda: team.run("x", plan=variable(PLANS[transport])), 2.5)
    finally:
        ended.set()

    assert result.error is not None
    assert "timed_out" in result.error.message


def test_a_stream_cut_in_the_middle_is_tried_again_and_the_text_is_whole(
    plugin: PluginProcess, make_team: MakeTeam
) -> None:
    """What was streamed can't be taken back; a warning says which of the two holds."""
    modes: list[str] = []

    def app(request: dict[str, Any], _: Invocation) -> Any:
        modes.append(request["response_mode"])
        if len(modes) == 1:
            return [{"event": "message", "conversation_id": "c", "answer": "half an"}]
        return {"event": "message", "mode": "chat", "answer": "the answer", "conversation_id": "c", "metadata": {}}

    plugin.on("app", app)
    plugin.on("fetch_app", lambda _request, _call: {"data": {"user_input_form": []}})
    steps = [{"id": "a", "agent": str(uuid.uuid4()), "stream": True, "retry_times": 1}]

    result = make_team(App(name="other")).run("x", plan=variable({"steps": steps}))

    assert ["streaming", "blocking"] == modes
    assert ("half an", "the answer") == (result.variables["answer"], result.text)
    assert any("The output 'text' holds the whole answer" in warning for warning in result.variables["warnings"])


def test_a_memory_goes_on_over_calls_of_one_conversation(scene: World, make_team: MakeTeam) -> None:
    """And over runs; another conversation of the caller's begins its own."""
    team = make_team(App(name="friend", answer="turn {turn}"))
    plan = {"agents": {"friend": {"app": "friend", "memory": True}}, "steps": [{"id": "a", "agent": "friend"}]}

    def talk(conversation: str) -> str:
        given = {"task": "hi", "plan": variable(plan)}
        call = scene.plugin.invoke("orchestrator", given, team.credentials(), conversation_id=conversation)
        result = call.result()
        assert result.error is None, result.error
        return result.text

    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    for conversation in (one, one, other):
        talk(conversation)

    told = [call.conversation_id for call in team.calls("friend")]
    assert told[0] == told[2] == ""
    assert told[1]


def test_calls_in_one_conversation_run_one_after_another(make_team: MakeTeam) -> None:
    """Also where the steps do not wait for each other."""
    team = make_team(App(name="friend", latency_s=0.2))
    plan = {
        "agents": {"friend": {"app": "friend", "memory": True}},
        "steps": [{"id": name, "agent": "friend"} for name in "abc"],
    }

    result = team.run("hi", plan=variable(plan))

    assert result.error is None, result.error
    told = [call.conversation_id for call in team.calls("friend")]
    assert ("", 1) == (told[0], len(set(told[1:])))
    assert result.took_s >= 0.6


NODES = """
nodes:
  - id: market_research_agent
    type: agent
    data:
      title: "Market Research Agent"
      agent_config: {app_id: market-research-app-001}
      inputs:
        - {name: query, value: "{{#start.topic#}} market size and growth trends"}
        - {name: time_range, value: "2024 Q1-Q3"}
      outputs: [{name: research_report, type: string}]
      timeout: 120
      retry_times: 2
  - id: competitor_analysis_agent
    type: agent
    data:
      title: "Competitor Analysis Agent"
      agent_config: {app_id: competitor-analysis-app-002}
      inputs: [{name: competitors, value: "{{#start.competitor_list#}}"}]
      depends_on: []
  - id: synthesis_agent
    type: agent
    data:
      title: "Synthesis Agent"
      depends_on: [market_research_agent, competitor_analysis_agent]
      inputs:
        - {name: market_data, value: "{{#market_research_agent.research_report#}}"}
        - {name: competitor_data, value: "{{#competitor_analysis_agent.analysis_result#}}"}
"""


def field(*names: str) -> tuple[Any, ...]:
    """Declare inputs of an app."""
    return tuple(Variable(name=name) for name in names)


@pytest.mark.parametrize("way", [variable, typed], ids=["from a variable", "typed into the node"])
def test_the_node_form_runs_as_it_is_written(way: Callable[[str], Any], make_team: MakeTeam) -> None:
    """Typed, it has been through Dify's templates, which leave words where references were."""
    team = make_team(
        App(
            name="market-research-app-001",
            mode="workflow",
            inputs=field("query", "time_range"),
            outputs={"research_report": "M({inputs.query}, {inputs.time_range})"},
        ),
        App(
            name="competitor-analysis-app-002",
            mode="workflow",
            inputs=field("competitors"),
            outputs={"analysis_result": "C({inputs.competitors})"},
        ),
        App(
            name="synthesis_agent",
            mode="workflow",
            inputs=field("market_data", "competitor_data"),
            outputs={"answer": "{inputs.market_data} + {inputs.competitor_data}"},
        ),
    )

    result = team.run("go", plan=way(NODES), inputs=variable({"topic": "solar", "competitor_list": "A, B"}))

    assert result.error is None, result.error
    assert "M(solar market size and growth trends, 2024 Q1-Q3) + C(A, B)" == result.text


def test_tools_of_the_node_form_are_agents(make_team: MakeTeam) -> None:
    """Declared under names of their own."""
    tools = [
        {"name": "data_analysis_agent", "type": "dify_app", "app_id": "data-agent-app-id", "description": "It counts."}
    ]
    team = make_team(App(name="data-agent-app-id", answer="42"))

    result = team.run("go", plan=variable({"tools": tools}), agents="data_analysis_agent")

    assert result.error is None, result.error
    assert "42" == result.text


@pytest.mark.timeout(300)  # two heartbeats are 20 s apart, and a round ends when a busy machine lets it
def test_a_hundred_calls_at_one_time_stay_apart(scene: World, make_team: MakeTeam) -> None:
    """Each gets its own answer; the process does not grow with them, and goes on being alive."""
    team = make_team(
        App(name="a", answer="a of {query}", latency_s=0.1, usage=Usage(prompt_tokens=3)),
        App(name="b", mode="agent-chat", answer="b of {query}", latency_s=0.1),
    )
    saved = team.credentials(host_parallel="100")

    def round_of(number: int) -> None:
        calls = [team.start(f"word{number}x{n}.", saved=saved, pattern="sequential", agents="a, b") for n in range(100)]
        for n, call in enumerate(calls):
            result = call.result()
            assert result.error is None, result.error
            word = f"word{number}x{n}."
            assert f"a of {word}" == entry(result, "a")["text"]
            assert word in entry(result, "b")["text"]

    round_of(0)
    before, beats = memory_kib(scene.plugin.pid), list(scene.plugin.beats_s)
    number = 0
    while len(scene.plugin.beats_s) < len(beats) + 2:
        number += 1
        round_of(number)

    gaps = [
        after - at
        for at, after in zip(scene.plugin.beats_s[len(beats) - 1 :], scene.plugin.beats_s[len(beats) :], strict=False)
    ]
    assert max(gaps) < 20, gaps  # one comes every 10 s, and none was left out
    assert memory_kib(scene.plugin.pid) - before < 40 * 1024


def memory_kib(pid: int) -> int:
    """The memory a process holds now."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel's
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_results_too_long_for_a_variable_come_as_a_file_and_stay_with_the_sidecar(
    scene: World, make_team: MakeTeam
) -> None:
    """The variable has their beginning and says where the whole is."""
    team = make_team(App(name="long", answer="x" * 2_000_000))

    result = team.run("go")

    assert result.error is None, result.error
    assert "x" * 2_000_000 == result.text == result.variables["answer"]
    ref = result.variables["run_id"]
    assert entry(result, "long")["text"].endswith(f"whole: ensemble-{ref}.json, /v1/results/{ref}]")
    whole = json.loads(result.files[0].data)
    headers = {"Authorization": f"Bearer {scene.sidecar.token}"}
    stored = urllib3.request("GET", f"{scene.sidecar.url}/v1/results/{ref}", headers=headers).json()["value"]
    assert "x" * 2_000_000 == whole["results"][0]["text"] == stored["results"][0]["text"]
