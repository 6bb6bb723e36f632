"""Typed parameters go through Dify's template rule and its cast by type before a plugin sees them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.standin.parameters import REFERENCE, ParameterRefused, prepare, render, typed, variable


def tool(kind: str, **more: Any) -> dict[str, Any]:
    """A tool with one parameter, `it`."""
    return {"parameters": [{"name": "it", "type": kind, "form": "llm", **more}]}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("{{#start.topic#}}", "tea"),
        ("on {{#start.topic#}} and {{#start.count#}}", "on tea and 3"),
        ("{{#market.report#}}", "market.report"),
        ("{{#market.report.text#}}", "market.report.text"),
        ("{{ market.report }}", "{{ market.report }}"),
        ("{{#market#}}", "{{#market#}}"),
        ("{{#a b.c#}}", "{{#a b.c#}}"),
        ("{{#market." + "x" * 31 + "#}}", "{{#market." + "x" * 31 + "#}}"),
        ("{{#start.none#}}!", "!"),
    ],
)
def test_a_reference_is_resolved_or_loses_its_braces(text: str, seen: str) -> None:
    """Known ones become their value, unknown ones words; what is no reference to Dify stays."""
    assert render(text, {"start.topic": "tea", "start.count": 3, "start.none": None}) == seen


@given(st.text(alphabet="{}#.ab_ 1-"))
def test_no_reference_is_left_after_rendering_once(text: str) -> None:
    """Whatever is typed, only words that were not references are left in place, in order."""
    rendered = render(text, {})

    assert rendered == REFERENCE.sub(lambda match: match[1], text)


@pytest.mark.parametrize(
    ("kind", "value", "seen"),
    [
        ("string", variable(None), ""),
        ("string", variable({"a": 1}), "{'a': 1}"),
        ("string", 5, "5"),
        ("boolean", "Yes", True),
        ("boolean", "0", False),
        ("boolean", variable(None), False),
        ("number", "", None),
        ("number", "3", 3),
        ("number", "1.5", 1.5),
        ("number", variable(7), 7),
        ("array", '["a"]', ["a"]),
        ("array", "a", ["a"]),
        ("array", variable(["a"]), ["a"]),
        ("object", '{"a": 1}', {"a": 1}),
        ("object", "a: 1", {}),
        ("object", variable({"a": 1}), {"a": 1}),
        ("object", {"a": 1}, {}),
        ("any", variable({"a": 1}), {"a": 1}),
        ("select", "a", "a"),
    ],
)
def test_values_are_cast_by_the_parameters_type(kind: str, value: Any, seen: Any) -> None:
    """As Dify casts them, silently where it is silent."""
    assert prepare(tool(kind, options=[{"value": "a"}]), {"it": value}, {}) == {"it": seen}


@pytest.mark.parametrize(("kind", "value"), [("number", "many"), ("select", "b"), ("app-selector", "text")])
def test_values_that_dify_refuses_never_arrive(kind: str, value: str) -> None:
    """The node fails before the plugin is asked."""
    with pytest.raises(ParameterRefused):
        prepare(tool(kind, options=[{"value": "a"}]), {"it": typed(value)}, {})


def test_what_is_not_set_is_absent_unless_a_form_field_has_a_default() -> None:
    """The plugin has to read with `get`."""
    assert prepare(tool("string"), {}, {}) == {}
    assert prepare(tool("string", default="x"), {}, {}) == {}
    assert prepare(tool("number", form="form", default=4), {}, {}) == {"it": 4}


def test_a_parameter_the_tool_no_longer_declares_arrives_as_none() -> None:
    """A workflow saved with an older version of the plugin still names it."""
    assert prepare({"parameters": []}, {"old": "value"}, {}) == {"old": None}
