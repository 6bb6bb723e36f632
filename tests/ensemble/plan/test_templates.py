"""What braces mean, and what they become."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult
from ensemble.plan.rendering import Scope, UnknownOutput, as_text, render
from ensemble.plan.templates import BareWords, BrokenTemplate, Reference, Template, lost_braces, parse


def done(text: str = "", **data: Any) -> StepResult:
    return StepResult(step="s", agent="a", status=StepStatus.SUCCEEDED, text=text, data=data)


SCOPE = Scope(
    task="the task",
    inputs={"topic": "AI", "list": [1, {"x": 2}]},
    steps={
        "chat": done("hello"),
        "flow": done("main", answer="main", items=[{"name": "n0"}], n=3, flag=True, nested={"a": {"b": None}}),
        "two": done('{"a": "x", "b": "y"}', a="x", b="y"),
        "json": done('{"score": 0.9, "tags": ["t"]}'),
        "市场": done("zh"),
        "dead": StepResult(step="dead", agent="a", status=StepStatus.FAILED),
    },
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"), ("{{ task }}", "the task"), ("{{#task#}}", "the task"), ("{{start.topic}}!", "AI!"),
        ("{{ start.list }}", [1, {"x": 2}]), ("{{ start.list[1].x }}", 2), ("{{ start }}", SCOPE.inputs),
        ("{{ chat.output }}", "hello"), ("{{ chat.anything }}", "hello"), ("{{ chat }}", "hello"),
        ("{{#flow.n#}}", 3), ("{{ flow.flag }}", True), ("n={{ flow.n }} f={{ flow.flag }}", "n=3 f=true"),
        ("{{ flow.items[0].name }}", "n0"), ("{{ flow.items.0.name }}", "n0"), ("{{ flow.items }}.", '[{"name": "n0"}].'),
        ("{{ flow.data.items[0].name }}", "n0"), ("{{ flow.result }}", "main"), ("{{ flow.other }}", "main"),
        ("{{ two.text }}", '{"a": "x", "b": "y"}'), ("{{ two.a }}", "x"), ("{{ json.text.score }}", 0.9),
        ("{{ json.text.tags[0] }}", "t"), ('{{ "市场".text }}', "zh"), ("{{ 市场.text }}", "zh"),
        ("{{ '市场'.text }}", "zh"), ("{{ flow.nested.a }}", {"b": None}), ("{{ dead.status }}", "failed"),
        ("\\{{ task }}", "{{ task }}"), ("a \\{{ b {{ task }}", "a {{ b the task"), ('{"a": {"b": "{{ task }}"}}', '{"a": {"b": "the task"}}'),
        ("x}} y", "x}} y"),
    ],
)  # fmt: skip
def test_a_template_becomes_what_it_refers_to(text: str, value: Any) -> None:
    assert render(parse(text), SCOPE) == (value, ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ dead.text }}", None), ("a {{ dead.text }} b", "a  b"), ("{{ unborn.x }}", None),
        ("{{ start.absent }}", None), ("{{ start.list[7] }}", None),
    ],
)  # fmt: skip
def test_what_is_not_there_is_null_alone_and_nothing_in_a_text_with_a_warning(text: str, value: Any) -> None:
    rendered, warnings = render(parse(text), SCOPE)

    assert rendered == value
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("text", "step", "name", "existing"),
    [
        ("{{ two.c }}", "two", "c", ("text", "a", "b")),
        ("{{ flow.items[3] }}", "flow", "items[3]", ("items[0]",)),
        ("{{ flow.nested.x }}", "flow", "nested.x", ("nested.a",)),
        ("{{ flow.n.x }}", "flow", "n.x", ()),
    ],
)
def test_an_output_nobody_gave_fails_the_reader_and_names_what_there_is(
    text: str, step: str, name: str, existing: tuple[str, ...]
) -> None:
    with pytest.raises(UnknownOutput) as caught:
        render(parse(text), SCOPE)

    assert (caught.value.step, caught.value.name, caught.value.existing) == (step, name, existing)


@pytest.mark.parametrize(
    "text", ["{{ }}", "{{ a. }}", "{{ a | upper }}", "{{ a.b", "{{ task.x }}", "{{##}}", "{{ a[b] }}"]
)
def test_braces_without_a_reference_are_broken(text: str) -> None:
    with pytest.raises(BrokenTemplate):
        parse(text)


def test_templates_in_maps_and_lists_are_filled() -> None:
    value = {"a": [parse("{{ flow.n }}"), 1, {"b": parse("-{{ task }}")}], "c": None}

    assert render(value, SCOPE)[0] == {"a": [3, 1, {"b": "-the task"}], "c": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("market.report", ["market.report"]),
        ("Sum up market.report, please; see tech.out.put.", ["market.report", "tech.out.put"]),
        ("start.topic/start.absent", ["start.topic"]),
        ("see http://market.report or x@market.report or a-market.report or my.market.report", []),
        ("market.report-x other.report market. market .x", []),
        ("(market.report)", ["market.report"]),
        ("市market.report", []),
    ],
)
def test_bare_words_are_references_only_whole_and_only_to_what_the_plan_knows(text: str, found: list[str]) -> None:
    template = parse(text, BareWords({"market", "tech", "a"}, {"topic"}))

    assert [str(one) for one in (template.references if isinstance(template, Template) else ())] == found


NAMES = st.text(st.characters(exclude_characters="\"'{}", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda name: name not in {"task", "start"}
)  # fmt: skip


@given(NAMES, st.lists(NAMES | st.integers(0, 99), max_size=4), st.sampled_from(["{{ %s }}", "{{%s}}", "{{#%s#}}"]))
def test_every_reference_can_be_written_and_read_again(head: str, path: list[str | int], braces: str) -> None:
    reference = Reference(head, tuple(path))

    assert parse(braces % reference) == Template((reference,))


@given(st.text())
def test_any_text_is_a_template_a_text_or_broken(text: str) -> None:
    try:
        template = parse(text)
    except BrokenTemplate:
        return
    if "{{" not in text:
        assert template == text
    else:
        assert as_text(render(template, Scope())[0]) is not None


@given(st.text())
def test_escaped_braces_are_themselves(text: str) -> None:
    plain = text.replace("{", "").replace("}", "").replace("\\", "")

    assert parse("\\{{" + plain + "}}") == "{{" + plain + "}}"


@pytest.mark.parametrize(
    "text",
    ["start.query", "1711000000000.text", "sys.query", " start.query\n", "conversation.memory", "a.b.c", "llm.text"],
)
def test_a_text_that_is_a_name_without_its_braces_is_seen(text: str) -> None:
    """It is what the platform leaves of a reference to a variable it does not know."""
    assert lost_braces(text)


@pytest.mark.parametrize(
    "text",
    ["", "query", "start.query, please", "Use start.query", "1.5", "3.14.2", "e.g.", "a@b.com", "{{ start.query }}",
     "{{#start.query#}}", "https://a.example", "start.query other.text", "市.text", "a..b"],
)  # fmt: skip
def test_every_other_text_is_a_text(text: str) -> None:
    assert not lost_braces(text)
