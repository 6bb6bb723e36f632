"""An app is given what it declares, or the builder is told which mapping to write, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.agents.inputs import Given, Variable, fit, parse_form
from ensemble.agents.port import Call, Reply
from ensemble.contract.outcomes import Outcome
from tests.standin.recordings import VERSIONS, Version, service_api


def text(name: str, *, required: bool = False, max_length: int | None = None, kind: str = "paragraph") -> Variable:
    return Variable(name=name, kind=kind, required=required, max_length=max_length)


def given_to(mode: str, variables: list[Variable], **call: Any) -> Given:
    result = fit(mode, variables, Call(**{"query": "the task", **call}), "market")
    assert isinstance(result, Given), result
    return result


def refusal(mode: str, variables: list[Variable], **call: Any) -> str:
    result = fit(mode, variables, Call(**{"query": "the task", **call}), "market")
    assert isinstance(result, Reply)
    assert (Outcome.REJECTED, False, False) == (result.outcome, result.sent, result.retry_allowed)
    assert result.message.startswith("market")
    return result.message


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recorded_forms_are_understood(version: Version) -> None:
    recordings = service_api(version)

    assert (
        Variable(name="text", kind="paragraph", required=True, max_length=4096),
        Variable(name="n", kind="number", max_length=4096),
        Variable(name="kind", kind="select", max_length=4096, options=("a", "b")),
    ) == parse_form(recordings["wf-http:parameters"].body)
    assert ["text", "doc"] == [variable.name for variable in parse_form(recordings["wf-files:parameters"].body)]
    assert ["lang"] == [variable.name for variable in parse_form(recordings["cf-echo:parameters"].body)]


@pytest.mark.parametrize("form", [None, [], [1], [{"paragraph": None}], [{"paragraph": {"label": "x"}}]])
def test_a_form_without_variables_declares_none(form: object) -> None:
    assert parse_form({"user_input_form": form}) == ()


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat"])
def test_a_chat_like_app_is_asked_with_the_task(mode: str) -> None:
    assert Given(query="the task", inputs={}) == given_to(mode, [])


def test_a_steps_query_is_the_query_unless_the_app_declares_such_a_variable() -> None:
    own = {"query": "mine", "lang": "en"}

    assert Given(query="mine", inputs={"lang": "en"}) == given_to("chat", [text("lang")], inputs=own)
    assert Given(query="the task", inputs=own) == given_to("chat", [text("lang"), text("query")], inputs=own)


def test_a_chat_like_app_takes_declared_inputs_from_the_step_then_from_the_run() -> None:
    variables = [text("lang"), text("tone"), text("size")]
    run = {"lang": "de", "tone": "dry", "region": "EU"}

    result = given_to("advanced-chat", variables, inputs={"lang": "en"}, run_inputs=run)

    assert Given(query="the task", inputs={"lang": "en", "tone": "dry"}) == result


def test_a_chat_like_app_is_not_asked_nothing() -> None:
    assert "Write a task" in refusal("chat", [], query="")


@pytest.mark.parametrize("mode", ["workflow", "completion"])
@pytest.mark.parametrize(
    ("variables", "target"),
    [
        ([text("prompt"), text("topic"), text("text"), text("query"), text("task")], "task"),
        ([text("prompt"), text("topic"), text("text"), text("input"), text("question")], "question"),
        ([text("prompt"), text("topic"), text("x")], "topic"),
        ([text("x"), text("subject", required=True)], "subject"),
        ([text("x"), Variable(name="n", kind="number")], "x"),
        ([Variable(name="task", kind="number"), text("x", kind="text-input")], "x"),
    ],
)
def test_the_task_goes_to_the_variable_plainly_meant_for_it(mode: str, variables: list[Variable], target: str) -> None:
    assert Given(query="", inputs={target: "the task"}) == given_to(mode, variables)


def test_where_no_variable_is_meant_for_the_task_the_mapping_is_shown() -> None:
    variables = [text("a", required=True), text("b", required=True), Variable(name="n", kind="number")]

    words = refusal("workflow", variables)

    assert "a (paragraph, required), b (paragraph, required), n (number)" in words
    assert '`inputs: {a: "{{ task }}", b: "{{ task }}"}`' in words


def test_an_app_without_variables_can_be_run_on_purpose_only() -> None:
    assert "inputs: {}" in refusal("workflow", [])
    assert Given(query="", inputs={}) == given_to("workflow", [], inputs={})


def test_a_step_with_inputs_gets_exactly_those() -> None:
    variables = [text("task"), text("lang")]

    assert Given(query="", inputs={"lang": "en"}) == given_to(
        "workflow", variables, inputs={"lang": "en"}, run_inputs={"task": "no"}
    )


def test_a_required_variable_left_open_comes_from_the_runs_inputs() -> None:
    variables = [text("query"), Variable(name="year", kind="number", required=True), text("lang")]

    result = given_to("workflow", variables, run_inputs={"year": 2024, "lang": "en"})

    assert Given(query="", inputs={"query": "the task", "year": 2024}) == result


def test_a_missing_required_input_is_named() -> None:
    words = refusal("workflow", [text("query"), Variable(name="year", kind="number", required=True)])
    assert "'year' is required and missing" in words
    assert "`inputs: {year: …}`" in words
    assert "'lang' is required and missing" in refusal("chat", [text("lang", required=True)], inputs={"lang": None})


def test_an_empty_text_satisfies_required() -> None:
    assert Given(query="", inputs={"x": ""}) == given_to("workflow", [text("x", required=True)], inputs={"x": ""})


def test_what_is_no_text_becomes_json_in_a_text_variable() -> None:
    variables = [
        text("a"),
        text("b"),
        Variable(name="s", kind="select", options=("3",)),
        Variable(name="n", kind="number"),
    ]

    result = given_to("workflow", variables, inputs={"a": {"é": [1, None]}, "b": True, "s": 3, "n": 4})

    assert {"a": '{"é": [1, null]}', "b": "true", "s": "3", "n": 4} == result.inputs


def test_inputs_nobody_declared_are_left_out_with_a_warning() -> None:
    result = given_to("workflow", [text("x")], inputs={"x": "1", "zz": 2, "yy": 3})

    assert {"x": "1"} == result.inputs
    assert result.warnings[0].startswith("market does not declare yy, zz, so Dify drops them.")


def test_a_text_too_long_is_said_before_sending() -> None:
    variables = [text("short", max_length=8, kind="text-input")]

    assert given_to("workflow", variables, query="12345678").inputs == {"short": "12345678"}
    assert "takes 8 characters, and this has 9" in refusal("workflow", variables, query="123456789")


def test_the_length_of_other_kinds_is_not_that_of_a_text() -> None:
    files = [{"type": "image"}] * 9
    variables = [Variable(name="docs", kind="file-list", max_length=5)]

    assert {"docs": files} == given_to("workflow", variables, inputs={"docs": files}).inputs


def test_a_choice_that_is_not_offered_is_said_before_sending() -> None:
    variables = [Variable(name="kind", kind="select", options=("a", "b"))]

    assert "must be one of a, b" in refusal("workflow", variables, inputs={"kind": "zz"})


@given(
    mode=st.sampled_from(["workflow", "completion", "chat"]),
    variables=st.lists(
        st.builds(
            Variable,
            name=st.sampled_from(["task", "query", "a", "b", "n"]),
            kind=st.sampled_from(["paragraph", "text-input", "number", "select", "file"]),
            required=st.booleans(),
            max_length=st.sampled_from([None, 3, 100]),
        ),
        max_size=5,
        unique_by=lambda variable: variable.name,
    ),
    own=st.none() | st.dictionaries(st.sampled_from(["task", "query", "a", "zz"]), st.sampled_from(["x", 1, None, []])),
    run=st.dictionaries(st.sampled_from(["b", "n", "yy"]), st.sampled_from(["x", 1, None])),
)
def test_whatever_is_sent_dify_accepts(
    mode: str, variables: list[Variable], own: dict[str, Any] | None, run: dict[str, Any]
) -> None:
    """Nothing undeclared, nothing required left out, text in text variables and not too long."""
    result = fit(mode, variables, Call(query="do it", inputs=own, run_inputs=run), "market")

    if isinstance(result, Given):
        declared = {variable.name: variable for variable in variables}
        assert set(result.inputs) <= set(declared)
        assert {variable.name for variable in variables if variable.required} <= set(result.inputs)
        for name, value in result.inputs.items():
            if declared[name].is_text:
                assert isinstance(value, str)
                assert len(value) <= (declared[name].max_length or len(value))
    else:
        assert result.outcome is Outcome.REJECTED


@pytest.mark.parametrize("mode", ["workflow", "completion", "chat", ""])
def test_inputs_fixed_for_an_agent_fill_what_nothing_else_does(mode: str) -> None:
    """Under the step's own, and never the variable the task goes into unless nothing else could be."""
    form = [Variable(name="topic", kind="paragraph", required=True), Variable(name="tone", kind="text-input")]

    fixed, given = {"tone": "dry"}, {"topic": "wasps"} if mode == "chat" else {}

    plain = fit(mode, form, Call(query="bees", fixed_inputs=fixed, run_inputs=given), "app")
    own = fit(mode, form, Call(query="bees", inputs={"topic": "ants", "tone": "warm"}, fixed_inputs=fixed), "app")

    assert isinstance(plain, Given)
    assert isinstance(own, Given)
    assert "dry" == plain.inputs["tone"]
    assert {"topic": "ants", "tone": "warm"} == own.inputs


def test_a_required_text_that_is_fixed_leaves_the_task_to_the_other_one() -> None:
    """Two required texts would leave no plain choice."""
    form = [Variable(name=name, kind="paragraph", required=True) for name in ("brief", "style")]

    given = fit("workflow", form, Call(query="bees", fixed_inputs={"style": "short"}), "app")

    assert isinstance(given, Given)
    assert {"brief": "bees", "style": "short"} == given.inputs


def test_an_app_of_unknown_mode_is_given_the_task_in_both_ways_and_never_refused_here() -> None:
    """What it lacks, Dify says; a task too long for a variable it need not have stays out of it."""
    short = Variable(name="topic", kind="text-input", max_length=3)

    assert {"topic": "bee"} == _given("", [short], "bee").inputs
    assert {} == _given("", [short], "bees").inputs
    assert ("bees", {}) == (_given("", [], "bees").query, _given("", [], "bees").inputs)


def _given(mode: str, form: list[Variable], query: str) -> Given:
    given = fit(mode, form, Call(query=query), "app")
    assert isinstance(given, Given)
    return given
