"""Plans as builders write them: the three forms, and every fault with its field and fix."""

import re
from typing import Any

import pytest

from ensemble.plan.agents import AppAgent, CredentialAgent, ModelAgent
from ensemble.plan.faults import PlanError
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.limits import Limits
from ensemble.plan.model import Plan
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.templates import Reference, Template

KNOWN = ("market", "tech", "writer", "market-research-app-001", "competitor-analysis-app-002", "synthesis_agent")
UUID = "0b582574-9473-4ccb-b1d9-cb72236325c4"

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
INPUTS = {"topic": "AI", "competitor_list": "a, b"}


def dify_pass(text: str) -> str:
    """What Dify's template pass leaves of references it does not know."""
    return re.sub(r"\{\{#([a-zA-Z0-9_]{1,50}(?:\.[a-zA-Z_][a-zA-Z0-9_]{0,29}){1,10})#\}\}", r"\1", text)


def faults(source: Any, **more: Any) -> list[tuple[str, str]]:
    """Return field and problem of every fault."""
    with pytest.raises(PlanError) as caught:
        read_plan(source, known=more.pop("known", KNOWN), **more)
    return [(fault.field, fault.problem) for fault in caught.value.faults]


def read(source: Any = None, **more: Any) -> Plan:
    return read_plan(source, known=more.pop("known", KNOWN), **more)


def test_the_node_form_means_the_same_as_text_as_object_and_after_dify_stripped_its_braces() -> None:
    import yaml  # noqa: PLC0415 - an independent reader for the object

    as_text = read(NODES, inputs=INPUTS)
    as_object = read(yaml.safe_load(NODES), inputs=INPUTS, typed=True)
    stripped = read(dify_pass(NODES), inputs=INPUTS, typed=True)

    assert as_text.steps == as_object.steps == stripped.steps
    assert "{{" not in dify_pass(NODES)
    assert as_text.warnings == as_object.warnings == ()
    assert len(stripped.warnings) == 4
    market, competitor, synthesis = as_text.steps
    assert (market.agent, market.title, market.timeout_s, market.retry_times) == (
        "market-research-app-001",
        "Market Research Agent",
        120,
        2,
    )
    assert market.inputs is not None
    assert market.inputs["query"] == Template((Reference("start", ("topic",)), " market size and growth trends"))
    assert market.inputs["time_range"] == "2024 Q1-Q3"
    assert competitor.depends_on == market.depends_on == ()
    assert synthesis.depends_on == ("market_research_agent", "competitor_analysis_agent")
    assert as_text.agents["synthesis_agent"].ref == CredentialAgent("synthesis_agent")
    assert as_text.levels() == (("market_research_agent", "competitor_analysis_agent"), ("synthesis_agent",))


def test_bare_words_in_objects_are_words() -> None:
    plan = read({"steps": [{"agent": "market"}, {"agent": "writer", "query": "see market.report"}]}, typed=True)

    assert plan.steps[1].query == "see market.report"
    assert plan.steps[1].depends_on == ()


def test_bare_words_beside_braces_stay_words_with_a_warning() -> None:
    plan = read(
        'steps: [{agent: market}, {agent: writer, query: "{{ start.x }} and market.report"}]', typed=True, inputs={}
    )

    assert plan.steps[1].depends_on == ()
    assert "'market.report' stays as it is" in plan.warnings[0]


def test_tools_declare_agents_and_are_the_team_where_nothing_else_is() -> None:
    tool = {"name": "data_analysis_agent", "type": "dify_app", "app_id": UUID, "description": "counts"}

    plan = read({"tools": [tool], "steps": [{"id": "a", "agent": "data_analysis_agent"}]})
    team = read({"tools": [tool]})

    assert plan.agents["data_analysis_agent"].ref == AppAgent(UUID)
    assert plan.agents["data_analysis_agent"].description == "counts"
    assert [step.agent for step in team.steps] == ["data_analysis_agent"]


@pytest.mark.parametrize(
    "agents",
    [
        "market, tech", "market;tech", "market\ntech\n", "- market\n- tech", '["market", "tech"]', ["market", "tech"],
        "MARKET\uff0cTech", "market: \ntech: ", {"market": "market", "tech": None}, "['market', 'tech']",
        [{"name": "market"}, {"tech": {"timeout": 3}}],
    ],
)  # fmt: skip
def test_the_team_can_be_listed_in_many_ways(agents: Any) -> None:
    plan = read(agents=agents, pattern="parallel")

    assert [step.agent.lower() for step in plan.steps] == ["market", "tech"]
    assert plan.levels() == (tuple(step.id for step in plan.steps),)


def test_a_sequence_gives_each_the_answer_before_it_and_a_synthesizer_gets_all() -> None:
    plan = read(agents="market, tech, market, writer", pattern="sequential", synthesizer="writer")

    assert [(step.id, step.agent, step.depends_on, step.carries) for step in plan.steps] == [
        ("market", "market", (), ()),
        ("tech", "tech", ("market",), ("market",)),
        ("market_2", "market", ("tech",), ("tech",)),
        ("writer", "writer", ("market", "tech", "market_2"), ("market", "tech", "market_2")),
    ]
    assert plan.steps[3].join == Join(JoinKind.ALL_DONE)
    assert plan.synthesizer == "writer"
    assert [plan.label(step.id) for step in plan.steps] == ["market", "tech", "market_2", "writer"]


def test_a_sequence_can_pass_everything_on() -> None:
    plan = read("pattern: sequential\ncontext: all\nagents: [market, tech, writer]")

    assert plan.steps[2].carries == ("market", "tech")
    assert plan.steps[2].depends_on == ("tech",)


def test_a_synthesizer_behind_steps_gets_the_leaves_unless_it_is_one_of_them() -> None:
    steps = [{"agent": "market"}, {"agent": "tech", "depends_on": "market"}]

    behind = read({"steps": steps}, synthesizer="writer")
    among = read({"steps": steps}, synthesizer="tech")

    assert behind.steps[2].carries == ("tech",)
    assert behind.leaves() == ("writer",)
    assert (among.synthesizer, len(among.steps)) == ("tech", 2)


def test_a_step_that_waits_and_says_nothing_of_its_own_is_given_what_it_waits_for() -> None:
    plan = read(
        "steps: [{agent: market}, {agent: tech, depends_on: [market]}, {agent: writer, query: hi, depends_on: [tech]}]"
    )

    assert plan.steps[1].carries == ("market",)
    assert plan.steps[2].carries == ()


def test_settings_come_from_step_then_agent_then_defaults() -> None:
    plan = read(
        {
            "agents": {
                "market": {"timeout": 10, "retry_times": "1", "breaker": {"failure_threshold": 2}, "memory": "yes"}
            },
            "steps": [{"id": "a", "agent": "market", "timeout": 5}, {"id": "b", "agent": "tech"}],
            "defaults": {"timeout": 20, "retry_times": 3, "max_tokens": 9, "breaker": {"recovery_timeout": 9}},
            "limits": {"max_parallel": 2, "timeout": 60},
            "max_calls": 7,
            "on_failure": "fail_fast",
            "output": "{{ a.text }}",
        }
    )
    a, b = plan.steps

    assert (plan.timeout_s(a), plan.retry_times(a), plan.max_tokens(a)) == (5, 1, 9)
    assert (plan.timeout_s(b), plan.retry_times(b), plan.max_tokens(b)) == (20, 3, 9)
    breakers = plan.breaker(a), plan.breaker(b)
    assert breakers[0] is not None
    assert breakers[1] is not None
    assert (breakers[0].failure_threshold, breakers[1].recovery_timeout) == (2, 9)
    assert plan.agents["market"].memory
    assert plan.limits == Limits(max_parallel=2, timeout_s=60, max_calls=7)
    assert plan.limits.lowered(Limits(max_parallel=8, max_calls=3, max_tokens=5)) == Limits(
        max_parallel=2, timeout_s=60, max_calls=3, max_tokens=5
    )
    assert plan.on_failure == "fail_fast"


@pytest.mark.parametrize("model", ["acme/ai/ai/big", {"provider": "acme/ai/ai", "name": "big"}])
def test_a_model_with_a_prompt_is_an_agent(model: Any) -> None:
    plan = read({"agents": {"judge": {"model": model, "prompt": "Judge."}}})

    assert plan.agents["judge"].ref == ModelAgent("acme/ai/ai", "big", "Judge.")


@pytest.mark.parametrize("spec", [{"model": "acme/ai/ai/big", "prompt": "p"}, {"tool": "a/b/c/d", "inputs": {"q": 1}}])
def test_a_model_or_a_tool_may_say_that_it_has_no_memory(spec: dict[str, Any]) -> None:
    plan = read({"agents": {"x": {**spec, "memory": False}}})

    assert not plan.agents["x"].memory


@pytest.mark.parametrize(
    ("word", "join"),
    [
        ("all_done", Join(JoinKind.ALL_DONE)), ("any", Join(JoinKind.ANY)), ("quorum(2)", Join(JoinKind.QUORUM, 2)),
        ("quorum: 2", Join(JoinKind.QUORUM, 2)), ({"quorum": 2}, Join(JoinKind.QUORUM, 2)),
    ],
)  # fmt: skip
def test_joins_are_read(word: Any, join: Join) -> None:
    steps = [
        {"agent": "market"},
        {"agent": "tech"},
        {"agent": "writer", "depends_on": ["market", "tech"], "join": word},
    ]

    assert read({"steps": steps}).steps[2].join == join


def test_names_of_any_script_are_quoted_in_templates_and_imply_the_dependency() -> None:
    plan = read("steps: [{id: 市场, agent: market}, {agent: writer, inputs: {x: ['{{ \"市场\".text }}']}}]")

    assert plan.steps[1].depends_on == ("市场",)


ONE = {"id": "a", "agent": "market"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, [("agents", "There is no agent to run.")]),
        ("just words", [("plan", "'just words' is no plan.")]),
        ({"steps": []}, [("steps", "There are no steps.")]),
        ({"steps": {"a": 1}}, [("steps", "It is no list.")]),
        ({"steps": [{}]}, [("steps[0].id", "The step has no id.")]),
        ({"steps": [ONE, {"id": "A", "agent": "tech"}]}, [("steps[1].id", "The id 'A' is taken by steps[0].")]),
        ({"steps": [{"id": "start", "agent": "tech"}]}, [("steps[0].id", "'start' is reserved for the run's inputs.")]),
        ({"steps": [{"id": "Task", "agent": "tech"}]}, [("steps[0].id", "'Task' is reserved for the run's task.")]),
        ({"steps": [{"id": "a/b", "agent": "tech"}]}, [("steps[0].id", "'a/b' is no name.")]),
        ({"steps": [{"id": "①", "agent": "tech"}]}, [("steps[0].id", "'①' is no name.")]),  # the ledger would refuse it
        ({"steps": [{**ONE, "depends_on": ["b"]}]}, [("steps[0].depends_on[0]", "There is no step 'b'.")]),
        ({"steps": [{**ONE, "depends_on": "a"}]}, [("steps[0].depends_on", "A circle: a waits for itself.")]),
        (
            {"steps": [{**ONE, "depends_on": "b"}, {"id": "b", "agent": "tech", "query": "{{ a.text }}"}]},
            [("steps[0].depends_on", "A circle: a waits for b, b waits for a.")],
        ),
        ({"steps": [{**ONE, "query": "{{ b.text }}"}]}, [("steps[0].query", "{{ b.text }} refers to no step of the plan.")]),
        ({"steps": [{**ONE, "timeout": "soon"}]}, [("steps[0].timeout", "'soon' is no number.")]),
        ({"steps": [{**ONE, "timeout": 0}]}, [("steps[0].timeout", "0 seconds are over at once.")]),
        ({"steps": [{**ONE, "retry_times": 1.5}]}, [("steps[0].retry_times", "1.5 is no whole number.")]),
        ({"steps": [{**ONE, "retry_times": -1}]}, [("steps[0].retry_times", "-1 is out of bounds.")]),
        ({"steps": [{**ONE, "stream": "maybe"}]}, [("steps[0].stream", "'maybe' is neither true nor false.")]),
        ({"steps": [{**ONE, "for_all": "x"}]}, [("steps[0].for_all", "There is no such field.")]),
        ({"steps": [{**ONE, "join": "most"}]}, [("steps[0].join", "'most' is no join.")]),
        (
            {"steps": [{**ONE, "join": "quorum(2)"}]},
            [("steps[0].join", "A quorum of 2 can't be met: the step waits for 0.")],
        ),
        ({"steps": [{**ONE, "outputs": [{"name": "x", "type": "str"}]}]}, [("steps[0].outputs[0].type", "'str' is unknown.")]),
        ({"steps": [{**ONE, "inputs": 3}]}, [("steps[0].inputs", "It is neither map nor list.")]),
        (
            {"steps": [{**ONE, "inputs": [{"name": "x"}, {"name": "x"}, {"value": 1}]}]},
            [
                ("steps[0].inputs[1].name", "The input 'x' is given twice."),
                ("steps[0].inputs[2].name", "It is missing."),
            ],
        ),
        ({"steps": [ONE], "nodes": [ONE]}, [("nodes", "The plan has both steps and nodes.")]),
        ({"steps": [ONE], "pattern": "parallel"}, [("pattern", "'parallel' is for a team, and the plan has steps.")]),
        ({"agents": ["market"], "pattern": "router"}, [("pattern", "'router' is unknown.")]),
        ({"agents": ["market"], "pattern": "dag"}, [("pattern", "'dag' needs a plan with steps.")]),
        ({"agents": ["market"], "synthesizer": "market"}, [("agents", "There is no agent to run. Only the synthesizer.")]),
        ({"agents": ["markt"]}, [("agents[0]", "There is no agent 'markt'.")]),
        ({"agents": {"m": {"app": "markt"}}}, [("agents.m.app", "There is no agent 'markt'.")]),
        ({"agents": [{"name": "m", "app": "tech"}, {"name": "M", "app": "tech"}]}, [("agents[1]", "The name 'M' is taken.")]),
        ({"agents": {"m": {"model": "x", "prompt": "p"}}}, [("agents.m.model", "It names no provider and model.")]),
        ({"agents": {"m": {"prompt": "p", "app": "tech"}}}, [("agents.m.prompt", "A prompt needs a model.")]),
        (
            {"agents": [{"name": "m", "model": "a/b/c/d", "prompt": "p", "memory": True}]},
            [("agents[0].memory", "A model holds no conversation it could go on with.")],
        ),
        (
            {"agents": {"t": {"tool": "a/b/c/d", "inputs": {"q": "x"}, "memory": "true"}}},
            [("agents.t.memory", "A tool holds no conversation it could go on with.")],
        ),
        (
            {"agents": {"market": {"inputs": {"x": "{{ tech.text }}"}}}},
            [("agents.market.inputs.x", "{{ tech.text }} refers to a step.")],
        ),
        (
            {"agents": {"market": {"breaker": {"failure_threshold": 0, "treshold": 1}}}},
            [
                ("agents.market.breaker.failure_threshold", "It is too small."),
                ("agents.market.breaker.treshold", "There is no such field."),
            ],
        ),
        ({"agents": ["market"], "output": "fine"}, [("output", "It refers to no step.")]),
        ({"agents": ["market"], "limits": {"max_parallel": 0}}, [("limits.max_parallel", "0 is out of bounds.")]),
        ({"nodes": [{"id": "market", "type": "llm", "data": {}}]}, [("nodes[0].type", "'llm' is unknown.")]),
        (
            {"nodes": [{"id": "market", "data": {"agent_config": {"app": "x"}, "timeout": -1}}]},
            [
                ("nodes[0].data.agent_config.app", "There is no such field."),
                ("nodes[0].data.agent_config.app_id", "It is missing."),
                ("nodes[0].data.timeout", "-1 is out of bounds."),
            ],
        ),
        ({"nodes": [{"id": "market", "data": {"timeout": -1}}]}, [("nodes[0].data.timeout", "-1 is out of bounds.")]),
        ({"steps": [{**ONE, "when": "x"}]}, [("steps[0].when", "'x' is no single comparison.")]),
        (
            {"steps": [{**ONE, "when": {"field": "{{ start.x }}", "operator": "has", "value": 1}}]},
            [("steps[0].when.operator", "'has' is no operator.")],
        ),
        (
            {"steps": [{**ONE, "when": [{"or": [{"field": "a", "operator": "is"}]}]}]},
            [
                ("steps[0].when[0].or[0].value", "'is' needs a value."),
                ("steps[0].when[0].or[0].field", "'a' refers to nothing."),
            ],
        ),
        ({"agents": ["market"], "tools": [{"name": "market", "app_id": "tech"}]}, [("tools[0].name", "The name 'market' is taken.")]),
    ],
)  # fmt: skip
def test_a_bad_plan_names_every_field_and_its_problem(source: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(source) == expected


def test_every_fault_is_told_at_once_and_with_a_fix() -> None:
    with pytest.raises(PlanError) as caught:
        read("steps: [{id: a, agent: markt, timout: 3}, {agent: tech, depends_on: [c], retry_times: x}]\nouput: y")

    told = {fault.field: fault.fix for fault in caught.value.faults}
    assert set(told) == {"steps[0].agent", "steps[0].timout", "steps[1].depends_on[0]", "steps[1].retry_times", "ouput"}
    assert told["steps[0].agent"].startswith("Did you mean 'market'? ")
    assert "paste the whole list of keys" in told["steps[0].agent"]
    assert told["steps[0].timout"].startswith("Did you mean 'timeout'? ")
    assert told["ouput"].startswith("Did you mean 'output'? ")
    assert all(told.values())


def test_lookup_goes_from_the_plan_to_the_credentials_to_an_app_id() -> None:
    plan = read(
        {
            "agents": {"tech": "market", "own": {"app": UUID.upper()}},
            "steps": [
                {"id": "1", "agent": "tech"},
                {"id": "2", "agent": "OWN"},
                {"id": "3", "agent": "Writer"},
                {"id": "4", "agent": UUID},
            ],
        }
    )

    refs = [plan.spec(step).ref for step in plan.steps]
    assert refs == [CredentialAgent("market"), AppAgent(UUID), CredentialAgent("writer"), AppAgent(UUID)]
    assert plan.label("4") == "4"


def test_reading_an_undeclared_output_of_a_step_that_declares_some_is_warned_of() -> None:
    plan = read("steps: [{agent: market, outputs: [report]}, {agent: writer, query: '{{ market.reprot }}'}]")

    assert plan.warnings == ("{{ market.reprot }} is not among the declared outputs (report).",)


def test_a_plan_of_two_thousand_steps_in_a_row_is_read() -> None:
    steps = [{"id": f"s{n}", "agent": "market", "depends_on": [f"s{n - 1}"] if n else []} for n in range(2000)]

    assert len(read({"steps": steps}).levels()) == 2000
    assert faults({"steps": [*steps, {"id": "x", "agent": "market"}]}) == [("steps", "There are 2001 steps.")]
