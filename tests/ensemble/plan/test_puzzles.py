"""Faults that used to puzzle: what is reserved, and a comparison in one line whose operator is misspelt."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.plan import read_plan

ONE = {"id": "a", "agent": "tech"}


def read(source: Any, known: tuple[str, ...] = ("tech",)) -> Plan:
    """Read a plan of these agents."""
    return read_plan(source, known=known)


@pytest.mark.parametrize("team", [["start"], {"start": {"app": "tech"}}])
def test_an_agent_with_a_reserved_name_is_told_what_to_do(team: Any) -> None:
    """A name that means the run's inputs can't be a step's too."""
    with pytest.raises(PlanError) as caught:
        read({"agents": team}, known=("start", "tech"))

    (fault,) = caught.value.faults
    assert (fault.field, fault.problem) == ("agents", "The name 'start' is reserved for the run's inputs.")
    assert fault.fix == "Declare it under another name: agents: {other: start}."


def test_a_step_with_a_reserved_id_is_told_so_and_nothing_of_case() -> None:
    with pytest.raises(PlanError) as caught:
        read({"steps": [{"id": "start", "agent": "tech"}]})

    assert caught.value.faults[0].fix == "Choose another id."


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("{{ a.output }} containz x", "contains"),
        ("{{ a.output }} contain yes", "contains"),
        ("{{ a.output }} nott contains x", "not contains"),
        ("{{ a.output }} start wiht x", "start with"),
        ("{{ a.output }} existz", "exists"),
        ("{{ a.output }} EQUAL x", "equals"),
    ],
)
def test_a_misspelt_operator_in_a_line_is_told_the_near_one(line: str, meant: str) -> None:
    """As in the long form, and as for every other field."""
    with pytest.raises(PlanError) as caught:
        read({"steps": [ONE, {"id": "b", "agent": "tech", "when": line}]})

    (fault,) = caught.value.faults
    assert fault.problem.endswith("is no single comparison.")
    assert fault.fix.startswith(f"Did you mean '{meant}'? Write {{field: ")


@pytest.mark.parametrize(
    "line", ["x", "{{ a.output }}", "{{ a.output }} zzz yyy", "{{ a.output }} is x and {{ a.x }} is y"]
)
def test_what_is_near_no_operator_is_only_told_how_to_compare(line: str) -> None:
    with pytest.raises(PlanError) as caught:
        read({"steps": [ONE, {"id": "b", "agent": "tech", "when": line}]})

    assert caught.value.faults[0].fix.startswith("Write {field: ")
