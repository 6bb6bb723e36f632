"""The strategies as plain functions: reading results, merging, voting, picking, and a judge's word."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.aggregate.choosing import best, judge_task, read_verdict
from ensemble.aggregate.merging import Conflicts, Rule, merge
from ensemble.aggregate.results import Result, from_steps, read_results
from ensemble.aggregate.voting import Weights, vote
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def result(name: str, value: Any, confidence: float | None = None) -> Result:
    """Return a result whose text is *value*, as JSON where it is no text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Result(name=name, text=text, confidence=confidence)


@pytest.mark.parametrize(
    ("value", "names", "texts"),
    [
        (["one", "two"], ["result 1", "result 2"], ["one", "two"]),
        ("alone", ["result 1"], ["alone"]),
        ({"a": "one", "b": {"text": "two"}}, ["a", "b"], ["one", "two"]),
        ({"results": [{"agent": "m", "text": "x"}], "status": "partial"}, ["m"], ["x"]),
        (
            [{"agent": "m", "step": "s1", "text": "x"}, {"agent": "m", "step": "s2", "text": "y"}],
            ["s1", "s2"],
            ["x", "y"],
        ),
        ([{"name": "n", "answer": "x"}, {"name": "n", "output": "y"}], ["n", "n 2"], ["x", "y"]),
        ([{"price": 3}], ["result 1"], ['{"price": 3}']),
        ([7, None], ["result 1", "result 2"], ["7", "null"]),
        ({"text": "one answer", "confidence": 1}, ["result 1"], ["one answer"]),
        ([], [], []),
        (None, [], []),
    ],
)
def test_results_are_read_from_what_there_is(value: Any, names: list[str], texts: list[str]) -> None:
    found, warnings = read_results(value)

    assert [each.name for each in found] == names
    assert [each.text for each in found] == texts
    assert warnings == ()


@given(JSON)
def test_anything_can_be_read(value: Any) -> None:
    """Names are unique whatever comes."""
    found, _ = read_results(value)

    assert len({each.name.casefold() for each in found}) == len(found)


def test_steps_without_a_result_are_left_out_and_named() -> None:
    steps = [
        StepResult(step="a", agent="a", status=StepStatus.SUCCEEDED, text="x", confidence=0.5, sources=({"u": 1},)),
        StepResult(step="b", agent="b", status=StepStatus.FAILED),
    ]

    found, warnings = from_steps(steps)

    assert [(each.name, each.confidence, each.sources) for each in found] == [("a", 0.5, ({"u": 1},))]
    assert warnings == ("Left out, having no result: b.",)


@pytest.mark.parametrize(
    ("rule", "size"), [(Rule.FIRST, 1), (Rule.LAST, 3), (Rule.CONFIDENCE, 2), (Rule.LIST, [1, 2, 3])]
)
def test_a_rule_decides_where_objects_disagree(rule: Rule, size: Any) -> None:
    results = [result("a", {"size": 1}, 0.1), result("b", {"size": 2}, 0.9), result("c", {"size": 3})]

    merged = merge(results, rule)

    assert merged.data == {"size": size}
    assert [conflict.path for conflict in merged.conflicts] == ["size"]


def test_lists_are_joined_and_objects_merged_inside() -> None:
    merged = merge([result("a", {"x": {"l": [1, 2], "k": 1}}), result("b", {"x": {"l": [2, 3], "m": 2}})])

    assert merged.data == {"x": {"l": [1, 2, 3], "k": 1, "m": 2}}
    assert merged.conflicts == ()


def test_a_list_beside_an_object_is_a_conflict() -> None:
    with pytest.raises(Conflicts, match="x: a, b"):
        merge([result("a", {"x": [1]}), result("b", {"x": {"y": 1}})], Rule.FAIL)


@given(st.dictionaries(st.sampled_from("abc"), JSON, min_size=1), st.integers(1, 4))
def test_merging_what_agrees_changes_nothing_but_doubles_in_lists(value: dict[str, Any], times: int) -> None:
    merged = merge([result(f"r{n}", value) for n in range(times)], Rule.FAIL)

    assert set(merged.data) == set(value)
    assert merged.conflicts == ()
    assert merge([result("m", merged.data)] * 2).data == merged.data


def test_votes_are_alike_but_for_capitals_and_signs() -> None:
    ballot = vote([result("a", "Yes."), result("b", " yes "), result("c", "**NO**")])

    assert ballot.winner is not None
    assert (ballot.winner.value, ballot.winner.voters, ballot.tie) == ("Yes.", ("a", "b"), False)
    assert ballot.share == pytest.approx(2 / 3)


def test_a_field_can_be_voted_on_and_who_has_none_abstains() -> None:
    given_results = [result("a", {"v": {"label": 1}}), result("b", {"v": {"label": 1}}), result("c", "text")]

    ballot = vote(given_results, field="v.label")

    assert ballot.winner is not None
    assert (ballot.winner.value, ballot.abstained) == (1, ("c",))


def test_confidence_weighs_and_the_unknown_weigh_the_average() -> None:
    ballot = vote([result("a", "x", 0.9), result("b", "y", 0.3), result("c", "y")], weights=Weights.CONFIDENCE)

    assert [(choice.value, choice.weight) for choice in ballot.choices] == [("x", 0.9), ("y", pytest.approx(0.9))]
    assert ballot.tie


def test_a_tie_goes_to_the_surest() -> None:
    ballot = vote([result("a", "x", 0.2), result("b", "y", 0.7)])

    assert ballot.winner is not None
    assert (ballot.winner.value, ballot.tie) == ("y", True)


def test_a_long_row_of_signs_inside_an_answer_takes_no_time() -> None:
    begun = time.monotonic()

    assert len(vote([result("a", f"A{'-' * 100_000}b."), result("b", f"*a{'-' * 100_000}b")]).choices) == 1

    assert time.monotonic() - begun < 2


def test_the_best_is_the_surest_and_of_equals_the_first() -> None:
    chosen = best([result("a", "x"), result("b", "y", 0.5), result("c", "z", 0.5)])

    assert chosen is not None
    assert chosen.name == "b"
    assert best([result("a", "x")]) is None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('{"choice": "tech", "confidence": 0.8, "reason": "r"}', "tech"),
        ('Sure! ```json\n{"choice": "Tech"}\n``` as you see', "tech"),
        ("tech", "tech"),
        ('**"Market Team"**', "market team"),
        ('{"choice": "tech} or {"choice": "finance"}', "finance"),
        ('<think>{"choice": "tech"}? no.</think>{"choice": "finance"}', "finance"),
        ("{'choice': 'tech', 'reason': 'it\\'s {right}'}", "tech"),
        ('{"verdict": {"choice": "tech",}}', "tech"),
        ("I like tech best", None),
        ('{"choice": "root"}', None),
        ('{"choice": null}', None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_a_judges_word_counts_only_if_it_names_a_result(said: str, name: str | None) -> None:
    verdict = read_verdict(said, {}, ["market team", "tech", "finance"])

    assert (verdict.name if verdict else None) == name


@pytest.mark.parametrize("digits", [400, 4_000])
def test_a_confidence_of_hundreds_of_digits_is_unknown(digits: int) -> None:
    """JSON can spell it, no float can hold it."""
    huge = "9" * digits

    verdict = read_verdict(f'{{"choice": "tech", "confidence": {huge}}}', {}, ["tech"])
    found, _ = read_results([{"text": "x", "confidence": int(huge)}])

    assert verdict is not None
    assert (verdict.confidence, found[0].confidence) == (None, None)


@given(st.text(), st.dictionaries(st.sampled_from(["choice", "confidence", "reason"]), JSON))
def test_no_reply_whatever_chooses_something_else(text: str, data: dict[str, Any]) -> None:
    verdict = read_verdict(text, data, ["one", "two"])

    assert verdict is None or verdict.name in {"one", "two"}
    assert verdict is None or verdict.confidence is None or 0 <= verdict.confidence <= 1


def test_a_judge_is_told_the_task_the_candidates_and_the_form() -> None:
    asked = judge_task("Why?", '### a "b"\nx', ['a "b"'])

    assert all(words in asked for words in ("Why?", '### a "b"\nx', '"a \\"b\\""', '"choice"'))
