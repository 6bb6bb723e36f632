"""What the pages say of plans is what the reader of plans knows: fields, bounds, operators, joins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ensemble.contract.breakers import BreakerPolicy
from ensemble.plan.conditions import OPERATORS
from ensemble.plan.faults import PlanError
from ensemble.plan.joins import JoinKind
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.routes import Routing
from tests.pages import APPS, code, page, rows

UNKNOWN = "no such field of a plan"
ODD_STEP = {
    UNKNOWN: 1,
    "join": {UNKNOWN: 1},
    "when": {UNKNOWN: 1},
    "inputs": [{UNKNOWN: 1}],
    "outputs": [{UNKNOWN: 1}],
    "cache": {UNKNOWN: 1},
    "fallback": {UNKNOWN: 1},
}
ODD_PLANS: tuple[Mapping[str, Any], ...] = (
    {
        UNKNOWN: 1,
        "limits": {UNKNOWN: 1},
        "defaults": {UNKNOWN: 1, "breaker": {UNKNOWN: 1}},
        "agents": {
            "x": {UNKNOWN: 1, "app": "market", "breaker": {UNKNOWN: 1}},
            "y": {"model": {UNKNOWN: 1}},
            "z": {"tool": {UNKNOWN: 1}},
        },
        "tools": [{UNKNOWN: 1}],
        "steps": [{"id": "a", "agent": "x", **ODD_STEP}, {"id": "b", "agent": "x", "when": {"and": [], UNKNOWN: 1}}],
    },
    {"nodes": [{UNKNOWN: 1, "data": {**ODD_STEP, "agent_config": {UNKNOWN: 1}}}]},
    {"pattern": "hierarchical", UNKNOWN: 1, "agents": {"x": {"app": "market"}}},
    {"pattern": "loop", UNKNOWN: 1, "agents": ["market", "tech"]},
    *(
        {kind: [{"id": "g", **({"data": step} if kind == "nodes" else step)}]}
        for kind in ("steps", "nodes")
        for step in (
            {
                UNKNOWN: 1,
                "for_each": {UNKNOWN: 1, "items": [1]},
                "loop": {UNKNOWN: 1, "critic": {UNKNOWN: 1}},
                "steps": [{"id": "market"}],
            },
            {"vote": {UNKNOWN: 1}},
            {"race": {UNKNOWN: 1}},
            {"manage": {UNKNOWN: 1, "teams": {"z": {UNKNOWN: 1}}}},
        )
    ),
)
"""Plans with an unknown field in every map there is: the reader answers with those it knows."""


OWN_PLACE = re.compile(
    r"^.*[.](join|when|breaker|cache|fallback|inputs\[\]|outputs\[\]|for_each|loop|loop\.critic|vote|race|manage|manage\.teams\.…)$"
)
"""Places that are told of by themselves, wherever they stand."""


def known_fields() -> dict[str, set[str]]:
    """Return the fields the reader knows, by where they stand, in the page's words."""
    found: dict[str, set[str]] = {}
    for odd in ODD_PLANS:
        with pytest.raises(PlanError) as refused:
            read_plan(odd, known=APPS)
        for fault in refused.value.faults:
            if not fault.field.endswith(UNKNOWN):
                continue
            where = fault.field.removesuffix(UNKNOWN).rstrip(".")
            where = re.sub(r"\[\d+\]", "[]", where)
            where = re.sub(r"^agents\.[xyz]", "agents.…", where)
            where = where.replace("teams.z", "teams.…")
            where = OWN_PLACE.sub(r"\1", where) or "plan"
            listed = fault.fix.partition("There are: ")[2].rstrip(".")
            found.setdefault(where, set()).update(listed.split(", "))
    return found


def test_every_field_of_a_plan_is_in_the_table_and_the_other_way_round() -> None:
    """Asked of the reader itself, at every place where it reads a map."""
    told: dict[str, set[str]] = {}
    for places, names, *_ in (*rows(page("fields.md"), "where", "field"), *rows(page("patterns.md"), "where", "field")):
        for place in places.split(", "):
            told.setdefault(place, set()).update(code(names))

    assert told == known_fields()


def test_every_field_of_a_route_is_in_its_table() -> None:
    """Asked of the reader, as for the rest of a plan; the numbers told are those of the code."""
    odd = {"pattern": "routing", "route": {UNKNOWN: 1, "routes": [{"name": "market", UNKNOWN: 1}]}}
    with pytest.raises(PlanError) as refused:
        read_plan(odd, known=APPS)
    known = {
        re.sub(r"\[\d+\]", "[]", fault.field).removesuffix(f".{UNKNOWN}"): set(
            fault.fix.partition("There are: ")[2].rstrip(".").split(", ")
        )
        for fault in refused.value.faults
        if fault.field.endswith(UNKNOWN)
    }
    told: dict[str, set[str]] = {}
    for place, names, what in rows(page("router.md"), "where", "field"):
        told.setdefault(place, set()).update(code(names))
        if "`threshold`" in names:
            assert f"{Routing(routes=()).threshold:g};" in what
            assert f"{Routing(routes=()).margin:g}" in what

    assert told == known


def test_every_operator_and_join_is_named() -> None:
    """In the words one writes."""
    listed = page("plans.md").partition("Operators, those")[2].partition(". Also")[0]
    assert code(listed.replace("\n", " ")) == list(OPERATORS)
    joins = " ".join(row[0] for row in rows(page("plans.md"), "`join`"))
    assert set(JoinKind) == {re.sub(r"\W.*", "", name) for name in code(joins) if name[0] != "{"}


def test_the_breakers_numbers_are_the_contracts() -> None:
    """Default values behind the fields, in their order."""
    for _, names, what in (row for row in rows(page("fields.md"), "where", "field") if row[0] == "breaker"):
        for name in code(names):
            default = BreakerPolicy.model_fields[name].default
            if not isinstance(default, int | float):
                continue
            default = f"{default:g}"
            assert re.search(rf"\b{default}\b", what), name
