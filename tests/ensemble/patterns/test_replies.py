"""What managers reply: whatever comes, it is read or refused in words; what was written in order is read as it was meant."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.patterns.replies import Answered, BadPlan, Given, NoObject, Subtask, read_reply

TEAM = ("market", "tech", "a b")
NAMES = st.text("abcdefgh_-", min_size=1, max_size=8)
WORK = st.text(min_size=1, max_size=40).filter(str.strip)


def read(text: str, *, earlier: tuple[str, ...] = (), most: int = 20) -> Given | Answered:
    """Read a reply to the team of these tests."""
    return read_reply(text, TEAM, earlier, most)


def said_or_refused(text: str) -> object:
    """Return what a reply says, or the words it is refused with."""
    try:
        return read(text)
    except BadPlan as error:
        return str(error)


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw subtasks without circles: each depends on earlier ones only."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return [
        {
            "id": name,
            "agent": draw(st.sampled_from(TEAM)),
            "input": draw(WORK),
            "depends_on": draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else [],
        }
        for place, name in enumerate(names)
    ]


@given(plan=plans(), before=st.text("abc .,!\n", max_size=30), fenced=st.booleans(), ascii_only=st.booleans())
def test_subtasks_are_read_out_of_whatever_stands_around_them(
    plan: list[dict[str, Any]], before: str, *, fenced: bool, ascii_only: bool
) -> None:
    body = json.dumps({"subtasks": plan}, ensure_ascii=ascii_only)
    text = f"{before}\n```json\n{body}\n```\nThat is all." if fenced else before + body

    said = read(text)

    assert said == Given(tuple(Subtask(**{**each, "depends_on": tuple(each["depends_on"])}) for each in plan))


@given(text=st.text(max_size=300) | st.text('{}[]":,\\ abc\n', max_size=300))
def test_nothing_makes_it_fall_over(text: str) -> None:
    assert said_or_refused(text)


@given(value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["subtasks", "tasks", "answer", "id", "agent", "input", "depends_on", "x"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_objects_of_any_shape_are_read_or_refused_in_words(value: Any) -> None:
    assert said_or_refused(json.dumps({"subtasks": value, "answer": value}))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer": "yes"}', "yes"),
        ("{'answer': 'it''s', 'n': None}", "its"),
        ('{"answer": {"a": 1}}', '{"a": 1}'),
        ('{"answer": "a", "subtasks": []}', "a"),
        ('first {"answer": "draft"} then {"answer": "final",}', "final"),
        ('<think>{"answer": "no"}</think>{"answer": "yes"}', "yes"),
        ('{"answer": "line\nbreak"}', "line\nbreak"),
        ('{"answer": "a } in \\" quotes {"}', 'a } in " quotes {'),
    ],
)
def test_answers_as_models_write_them(text: str, answer: str) -> None:
    said = read(text)

    assert isinstance(said, Answered)
    assert said.text == answer


def test_what_stands_beside_the_answer_is_data() -> None:
    said = read('{"answer": "a", "score": 3, "subtasks": []}')

    assert said == Answered("a", {"answer": "a", "score": 3})


@pytest.mark.parametrize("text", ["", "I would ask market.", "[1, 2]", '{"plan": []}', '{"subtasks": [', "{" * 5000])
def test_without_an_object_that_says_something_there_is_none(text: str) -> None:
    with pytest.raises(NoObject):
        read(text)


def test_a_subtask_may_build_on_an_earlier_round() -> None:
    said = read(json.dumps({"subtasks": [{"agent": "TECH", "input": {"n": 1}, "depends_on": "old"}]}), earlier=("old",))

    assert said == Given((Subtask(id="1", agent="tech", input='{"n": 1}', depends_on=("old",)),))


def test_a_long_reply_takes_no_long_time() -> None:
    begun = time.monotonic()
    for text in ("{" * 200_000, '{"a":' * 60_000, '{"x": "' + "\\" * 200_000, "{}" * 100_000, "'{' " * 50_000):
        with pytest.raises(BadPlan):
            read(text)

    assert time.monotonic() - begun < 5
