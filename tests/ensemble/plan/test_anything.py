"""Whatever is written, the answer is a plan or faults in words."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.plan import read_plan

WORDS = [
    "a", "b", "A", "c", "start", "{{ a.text }}", "{{#b.x#}}", "a.text", "{{ start.t }}", "{{", "quorum(2)", "any", "all_done",
    "sequential", "parallel", "dag", "{{ a.x }} contains 1", "is", "1", "", "no", "fail_fast", "dify_app", "agent", "市场",
]  # fmt: skip
FIELDS = [
    "id", "agent", "agents", "steps", "nodes", "data", "agent_config", "app_id", "app", "model", "prompt", "inputs", "name",
    "value", "query", "depends_on", "when", "field", "operator", "and", "or", "join", "quorum", "timeout", "retry_times",
    "max_tokens", "outputs", "type", "stream", "pattern", "synthesizer", "output", "limits", "max_parallel", "defaults",
    "breaker", "failure_threshold", "recovery_timeout", "tools", "description", "memory", "on_failure", "context", "title",
    "cache", "fresh", "stale", "fallback", "default",
]  # fmt: skip

LEAVES = st.none() | st.booleans() | st.integers(-2, 10) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=30,
)
STEP = st.fixed_dictionaries(
    {"id": st.sampled_from("abcd")},
    optional=dict.fromkeys(("agent", "depends_on", "when", "join", "inputs", "cache", "fallback"), VALUES),
)
PLANS = VALUES | st.fixed_dictionaries(
    {"steps": st.lists(STEP, max_size=5)}, optional={"agents": VALUES, "output": VALUES}
)


def read_or_say(source: Any, **more: Any) -> Plan | None:
    try:
        return read_plan(source, known=["a", "b", "c", "d"], inputs={"t": 1}, **more)
    except PlanError as error:
        faults = error.faults
    assert faults
    assert all(fault.field and fault.problem for fault in faults)
    return None


@settings(max_examples=300)
@given(PLANS, st.none() | VALUES, st.booleans())
@example([{"id": None}], None, False)
def test_any_object_is_a_plan_or_has_faults(source: Any, agents: Any, typed: bool) -> None:  # noqa: FBT001 - generated
    plan = read_or_say(source, agents=agents, typed=typed)
    text = read_or_say(json.dumps(source, ensure_ascii=False), agents=agents, typed=False)

    if plan:
        ids = [step.id for step in plan.steps]
        levels = plan.levels()
        assert sorted(step_id for level in levels for step_id in level) == sorted(ids)
        depth = {step_id: number for number, level in enumerate(levels) for step_id in level}
        assert all(depth[before] < depth[step.id] for step in plan.steps for before in step.depends_on)
        assert {step.agent for step in plan.steps} <= set(plan.agents)
        assert all(set(step.carries) <= set(ids) for step in plan.steps)
    if plan and text:
        assert [step.id for step in plan.steps] == [step.id for step in text.steps]


YAML = st.lists(
    st.sampled_from([*WORDS, *(f"{name}: " for name in FIELDS), "\n", "\n  ", "\n- ", "- ", "[", "]", "{", "}", "&a ", "*a",
                     "'", '"', "#", ": ", ", ", "\t", "|", ">", "!!str ", "---\n", "? ", "<<: ", "\x00", "```"]),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=500)
@given(YAML | st.text(), YAML, st.booleans())
@example("? ", "", False)
def test_any_text_is_a_plan_or_has_faults(source: str, agents: str, typed: bool) -> None:  # noqa: FBT001 - generated
    read_or_say(source, agents=agents, typed=typed)


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw steps that wait only for earlier ones, in a shuffled order."""
    size = draw(st.integers(1, 12))
    steps = []
    for number in range(size):
        before = draw(st.lists(st.integers(0, number - 1), max_size=4, unique=True)) if number else []
        explicit = [one for one in before if draw(st.booleans())]
        step: dict[str, Any] = {"id": f"s{number}", "agent": "a", "depends_on": [f"s{one}" for one in explicit]}
        implied = [one for one in before if one not in explicit]
        if implied:
            step["inputs"] = {"x": " ".join(f"{{{{ s{one}.text }}}}" for one in implied)}
        steps.append((step, {f"s{one}" for one in before}))
    shuffled = draw(st.permutations(steps))
    return [{**step, "expected": before} for step, before in shuffled]


@given(graphs())
def test_a_good_plan_waits_for_exactly_what_it_names_and_refers_to(steps: list[dict[str, Any]]) -> None:
    expected = [step.pop("expected") for step in steps]
    plan = read_plan({"steps": steps}, known=["a"])

    assert [set(step.depends_on) for step in plan.steps] == expected
    assert set(plan.leaves()) == {step["id"] for step in steps} - set().union(*expected)


def test_the_first_two_hundred_faults_are_enough() -> None:
    with pytest.raises(PlanError) as caught:
        read_plan({"steps": [{"id": f"s{n}", "agent": "x", "depends_on": [f"t{n}"]} for n in range(2000)]}, known=["a"])

    assert len(caught.value.faults) == 201
    assert caught.value.faults[-1].problem == "There may be more."


def test_a_text_of_nothing_but_openings_is_refused_in_linear_time() -> None:
    with pytest.raises(PlanError, match="never closed"):
        read_plan({"steps": [{"id": "a", "query": "{{" * 500_000}]}, known=["a"])
