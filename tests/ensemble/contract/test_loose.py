"""The objects in what a model wrote: found wherever they stand, read as they were meant, and never in a long time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.loose import objects, unfenced, without_thoughts

NAMES = st.text("abc", min_size=1, max_size=3)
OBJECTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("ab{}[]\",:\\'\n é", max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
WORDS = st.text("abc .,:;!\n[]'", max_size=20)
"""What stands around objects, without the two signs that mean something there: braces and double quotes."""


def whole(text: str) -> list[Any]:
    """Return what the objects that end in *text* say."""
    return [each.read() for each in objects(text) if each.whole]


@given(said=st.lists(st.tuples(WORDS, OBJECTS), max_size=4), after=WORDS, ascii_only=st.booleans())
def test_every_object_is_found_between_other_words(
    said: list[tuple[str, Any]], after: str, *, ascii_only: bool
) -> None:
    pieces = [words + json.dumps(value, ensure_ascii=ascii_only) for words, value in said]

    assert whole("".join(pieces) + after) == [value for _, value in said]


@given(OBJECTS.filter(bool))
def test_an_object_in_a_sentences_brace_is_found_as_well(value: dict[str, Any]) -> None:
    first, *others = objects("Write {this: " + json.dumps(value))

    assert not first.whole
    assert [each.read() for each in others] == [value]


@given(OBJECTS, st.data())
def test_wherever_a_text_breaks_off_its_object_is_not_whole(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]

    first = next(iter(objects(cut)))

    assert (first.text, first.whole) == (cut, False)


@given(st.text('{}[]"\\ab', max_size=60))
def test_what_is_found_stands_there_in_order_and_not_in_each_other(text: str) -> None:
    at = 0
    for each in objects(text):
        place = text.index(each.text, at)
        assert each.text.startswith("{")
        assert all(each.text[quoted] == '"' for quoted in each.quoted)
        at = place + (len(each.text) if each.whole else 1)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ("{'a': None, 'b': (1, True)}", {"a": None, "b": [1, True]}),
        ("{'a': 'it\\'s'}", {"a": "it's"}),
        ('{"a": NaN, "b": "\\ud800"}', {"a": None, "b": "?"}),
        ("{'a': float('nan')}", None),
        ("{'a': 1, **b}", None),
        ("{1: 'a'}", None),
        ("{'a', 'b'}", None),
        ("{a: 1}", None),
    ],
)
def test_an_object_is_read_as_careless_models_write_it(text: str, fields: dict[str, Any] | None) -> None:
    assert whole(text) == [fields]


def test_python_is_read_only_where_it_may_be() -> None:
    (written,) = objects("{'a': 1}")

    assert written.read(python=False) is None


@pytest.mark.parametrize("text", ['{"a": 1, "b": {"c": 1, "c": 2}, "a": 2}', "{'a': 1, 'b': {}, '\\x61': 2}"])
def test_a_name_that_stands_twice_with_two_values_is_told(text: str) -> None:
    (fields,) = whole(text)

    assert (fields["a"], fields.torn) == (2, {"a"})


def test_a_name_that_stands_twice_with_one_value_is_no_contradiction() -> None:
    (fields,) = whole('{"a": [1], "a": [1]}')

    assert fields.torn == frozenset()


def test_quoted_texts_of_its_own_level_are_told_apart_from_those_deeper() -> None:
    written, _ = objects('{"a": {"b": "c"}, "d": "say \\"e\\"", "f')

    assert [written.text[at : at + 2] for at in written.quoted] == ['"a', '"d', '"s', '"f']


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("\n ```\na\n\n  b\n  ```\n", "a\n\n  b"),
        ("```yaml title\na: 1```", "a: 1"),
        ("```json\n```", ""),
        (" plain\n", " plain\n"),
        ("```", "```"),
        ("```a``` b\n```", "```a``` b\n```"),
        ("before\n```\na\n```", "before\n```\na\n```"),
    ],
)
def test_a_text_in_a_fence_counts_without_it(text: str, body: str) -> None:
    assert unfenced(text) == body


def test_a_thought_that_ends_does_not_count() -> None:
    assert without_thoughts("a<think>b</think>c<think>d<think>e</think>f<think>g") == "acf<think>g"


@pytest.mark.parametrize(
    "text",
    ["{" * 200_000, '{"a":' * 40_000, '{"' * 100_000, '{"{' * 66_000, '{"x": "' + "\\" * 200_000, "{'a'}" * 40_000],
)
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    begun = time.monotonic()

    whole(text)

    assert time.monotonic() - begun < 5
