"""When a step's condition holds."""

from typing import Any

import pytest

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult
from ensemble.plan.conditions import evaluate
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.rendering import Scope, UnknownOutput

DATA = {
    "text": "Yes, sure",
    "n": 3,
    "s": "0.8",
    "flag": True,
    "tags": ["a", "b"],
    "none": None,
    "list": [],
    "m": {"k": 1},
}
SCOPE = Scope(
    task="t",
    inputs={"x": "yes"},
    steps={
        "a": StepResult(step="a", agent="a", status=StepStatus.SUCCEEDED, text="Yes, sure", data={**DATA, "z": "z"}),
        "dead": StepResult(step="dead", agent="a", status=StepStatus.FAILED),
    },
)


def holds(when: Any) -> bool:
    steps = [{"id": "a"}, {"id": "dead", "agent": "a"}, {"id": "b", "agent": "a", "when": when}]
    condition = read_plan({"steps": steps}, known=["a"]).steps[2].when
    assert condition is not None
    return evaluate(condition, SCOPE)[0]


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("a.text", "contains", "sure", True), ("a.text", "not contains", "sure", False), ("a.text", "start with", "Yes", True),
        ("a.text", "ends with", "Yes", False), ("a.text", "is", "Yes, sure", True), ("a.text", "is_not", "x", True),
        ("a.n", "=", 3, True), ("a.n", "==", "3", True), ("a.text", "==", "Yes, sure", True), ("a.text", "!=", "Yes, sure", False), ("a.n", "≠", 4, True), ("a.n", ">", 2.5, True),
        ("a.n", "<", 2, False), ("a.s", ">=", 0.8, True), ("a.s", "≤", "0.7", False), ("a.text", ">", 1, False),
        ("a.n", "is", "3", True), ("a.flag", "is", "true", True), ("a.flag", "is", True, True), ("a.flag", "is not", False, True),
        ("a.tags", "contains", "a", True), ("a.tags", "not contains", "c", True), ("a.n", "in", [1, 3], True),
        ("a.n", "not in", [1, 2], True), ("a.m", "contains", "k", True), ("start.x", "is", "yes", True),
        ("a.none", "null", None, True), ("a.none", "empty", None, True), ("a.list", "is empty", None, True),
        ("a.list", "not null", None, True), ("a.n", "not empty", None, True), ("a.absent", "exists", None, False),
        ("a.n", "exists", None, True), ("dead.text", "not exists", None, True), ("dead.text", "contains", "x", False),
        ("dead.status", "is", "failed", True), ("a.text", "is", "{{ a.text }}", True),
    ],
)  # fmt: skip
def test_the_table_of_operators(field: str, operator: str, value: Any, expected: bool) -> None:  # noqa: FBT001 - a column
    assert holds({"field": f"{{{{ {field} }}}}", "operator": operator, "value": value}) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{{ a.text }} contains sure", True),
        ('{{a.text}} is "Yes, sure"', True),
        ("{{ a.n }} >= 3", True),
        ("{{ a.n }}<3", False),
        ("{{ a.list }} is not empty", False),
        ("{{ a.z }} in [x, 'z']", True),
        ("{{ a.z }} not in x, y", True),
        (["{{ a.n }} > 1", "{{ a.n }} > 5"], False),
        ({"or": ["{{ a.n }} > 1", "{{ a.n }} > 5"]}, True),
        ({"and": ["{{ a.n }} > 1", {"or": ["{{ a.n }} > 5", "{{ a.flag }} is true"]}]}, True),
    ],
)
def test_conditions_can_be_a_line_a_list_or_and_and_or(when: Any, expected: bool) -> None:  # noqa: FBT001 - a column
    assert holds(when) is expected


def test_a_condition_implies_the_dependency() -> None:
    steps = [{"id": "a"}, {"id": "b", "agent": "a", "when": "{{ a.text }} contains {{ start.x }}"}]

    assert read_plan({"steps": steps}, known=["a"]).steps[1].depends_on == ("a",)


def test_comparing_an_output_nobody_gave_fails_the_step() -> None:
    with pytest.raises(UnknownOutput):
        holds("{{ a.absent }} is x")
