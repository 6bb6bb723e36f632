"""Steps made of other steps, as plans write them: what is read, what depends on what, and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.plan.faults import PlanError
from ensemble.plan.fingerprint import fingerprint
from ensemble.plan.groups import ForEach, Loop, Managed, Nested, Race, Vote
from ensemble.plan.joins import JoinKind
from ensemble.plan.model import Plan
from ensemble.plan.reading.plan import read_plan

KNOWN = ("market", "tech", "writer")


def read(*steps: dict[str, Any], **more: Any) -> Plan:
    """Return the plan of these steps."""
    return read_plan({"steps": list(steps), **more}, known=KNOWN)


def faults(source: Any) -> list[tuple[str, str]]:
    """Return the fields that are wrong, with the first sentence about each."""
    with pytest.raises(PlanError) as refused:
        read_plan(source, known=KNOWN)
    return [(fault.field, fault.problem) for fault in refused.value.faults]


def hashed(*steps: dict[str, Any], **more: Any) -> str:
    """Return the fingerprint of a plan of these steps."""
    plan = read(*steps, **more)
    return fingerprint(plan, task="t", inputs={}, user="u", identities={name: name for name in plan.agents})


def test_wrappers_stand_around_whatever_the_step_does() -> None:
    """for_each around loop around the body; what is the group's own stands outside."""
    step = read(
        {"id": "a", "agent": "market"},
        {
            "id": "g", "for_each": {"items": [1], "join": "quorum(1)"}, "loop": {"until": "{{ answer.x }} = 1"},
            "vote": ["market", "tech", "market"], "depends_on": "a", "title": "T", "timeout": 9, "query": "{{ item }}",
        },
    ).by_id["g"]  # fmt: skip

    assert (step.title, step.depends_on, step.agent, step.worker) == ("T", ("a",), "", "vote")
    each = step.group
    assert isinstance(each, ForEach)
    assert each.join is not None
    assert each.join.kind is JoinKind.QUORUM
    loop = each.each.group
    assert isinstance(loop, Loop)
    vote = loop.each.group
    assert isinstance(vote, Vote)
    assert [part.id for part in vote.parts] == ["market", "tech", "market_2"]
    assert {part.timeout_s for part in vote.parts} == {9}
    assert {part.depends_on for part in vote.parts} == {()}


def test_references_of_any_depth_are_dependencies_of_the_step_outside() -> None:
    """An inner step's own words, and words of the group, are none."""
    plan = read(
        *({"id": name, "agent": "market"} for name in ("a", "b", "c", "d", "e")),
        {
            "id": "g",
            "for_each": "{{ a.list }}",
            "loop": {
                "until": "{{ b.x }} = {{ answer.x }}",
                "critic": {"agent": "tech", "query": "{{ c }} {{ critic }}"},
            },
            "steps": [
                {"id": "x", "agent": "tech", "query": "{{ d }} {{ item }} {{ y }}"},
                {"id": "y", "agent": "tech", "when": "{{ round }} > 1"},
            ],
            "output": "{{ x }} {{ e }}",
        },
    )

    assert set(plan.by_id["g"].depends_on) == {"a", "b", "c", "d", "e"}
    nested = plan.by_id["g"].group.each.group.each.group  # type: ignore[union-attr]  # for_each, loop, steps
    assert isinstance(nested, Nested)
    assert nested.plan.by_id["x"].depends_on == ("y",)


@pytest.mark.parametrize("around", [{}, {"for_each": [1]}, {"loop": {"max_rounds": 2, "critic": "market"}}])
def test_what_a_manager_is_asked_waits_for_what_it_refers_to(around: dict[str, Any]) -> None:
    managed = {"manage": {"manager": "market", "agents": ["tech"]}, "query": "about {{ a }}", **around}
    plan = read({"id": "a", "agent": "market"}, {"id": "g", **managed}, {"id": "n", "steps": [{"id": "x", **managed}]})

    assert [plan.by_id[name].depends_on for name in "gn"] == [("a",), ("a",)]


def test_words_of_a_group_hide_steps_of_the_same_name() -> None:
    plan = read({"id": "item", "agent": "market"}, {"id": "g", "agent": "tech", "for_each": [1], "query": "{{ item }}"})

    assert plan.by_id["g"].depends_on == ()


def test_a_manager_has_agents_and_teams() -> None:
    group = (
        read(
            {
                "id": "g",
                "manage": {
                    "manager": "writer",
                    "agents": "market, tech",
                    "teams": {"lab": {"manager": "tech", "agents": ["market"], "description": "d"}},
                    "max_rounds": 2,
                },
                "query": "{{ task }}!",
            }
        )
        .by_id["g"]
        .group
    )

    assert isinstance(group, Managed)
    assert [(each.name, each.team is not None) for each in group.executors] == [
        ("market", False), ("tech", False), ("lab", True),
    ]  # fmt: skip
    assert (group.manager, group.max_rounds, group.settings.query is not None) == ("writer", 2, True)


@pytest.mark.parametrize(
    ("pattern", "team", "kind", "name"),
    [
        ("vote", ["market", "tech"], Vote, "vote"),
        ("race", ["market", "tech"], Race, "race"),
        ("loop", ["writer", "market"], Loop, "writer"),
        ("hierarchical", ["writer", "market"], Managed, "writer"),
    ],
)
def test_a_pattern_and_a_team_are_one_step(pattern: str, team: list[str], kind: type, name: str) -> None:
    plan = read_plan({"pattern": pattern, "agents": team}, known=KNOWN)

    assert [(step.id, type(step.group)) for step in plan.steps] == [(name, kind)]


def test_the_synthesizer_of_a_hierarchical_team_is_its_manager() -> None:
    plan = read_plan(None, agents="market, tech", pattern="hierarchical", synthesizer="writer", known=KNOWN)
    group = plan.steps[0].group

    assert isinstance(group, Managed)
    assert group.manager == "writer"
    assert [each.name for each in group.executors] == ["market", "tech"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"id": "a", "agent": "market", "for_each": "x"}, [("steps[0].for_each", "It is no list.")]),
        ({"id": "a", "agent": "market", "for_each": {}}, [("steps[0].for_each.items", "It is missing.")]),
        ({"id": "a", "agent": "market", "for_each": {"items": [1], "join": "most"}}, [
            ("steps[0].for_each.join", "'most' is no join.")]),
        ({"id": "a", "agent": "market", "query": "{{ item }}"}, [
            ("steps[0].query", "{{ item }} refers to no step of the plan.")]),
        ({"id": "a", "agent": "market", "for_each": "{{ item }}"}, [
            ("steps[0].for_each", "{{ item }} refers to no step of the plan.")]),
        ({"id": "a", "agent": "market", "loop": {"max_rounds": 3}}, [("steps[0].loop", "Nothing ends the loop.")]),
        ({"id": "a", "agent": "market", "loop": {"critic": "edtor"}}, [
            ("steps[0].loop.critic.agent", "There is no agent 'edtor'.")]),
        ({"id": "a", "agent": "market", "loop": {"critic": "tech", "max_rounds": 101}}, [
            ("steps[0].loop.max_rounds", "101 is out of bounds.")]),
        ({"id": "a", "agent": "market", "vote": ["tech"]}, [("steps[0]", "The step has agent and vote.")]),
        ({"id": "a", "vote": ["tech"], "race": ["tech"]}, [("steps[0]", "The step has vote and race.")]),
        ({"id": "a", "vote": {"agents": ["tech"], "agree": 2}}, [("steps[0].vote.agree", "There are 1 agents.")]),
        ({"id": "a", "vote": {"agents": ["tech"], "weights": {"market": 2}}}, [
            ("steps[0].vote.weights.market", "It is none of the agents that vote.")]),
        ({"id": "a", "agent": "tech", "for_each": 5}, [("steps[0].for_each", "It is no list.")]),
        ({"id": "a", "vote": {"agents": ["tech"], "weights": "much"}}, [
            ("steps[0].vote.weights", "'much' is unknown.")]),
        ({"id": "a", "vote": {"agents": ["tech"], "weights": [2]}}, [
            ("steps[0].vote.weights", "'[2]' is unknown.")]),
        ({"id": "a", "race": {"agents": []}}, [("steps[0].race.agents", "There are no agents.")]),
        ({"id": "a", "race": ["techh"]}, [("steps[0].race.agents[0]", "There is no agent 'techh'.")]),
        ({"id": "a", "race": {"agents": ["tech"], "good": "{{ critic }} = 1"}}, [
            ("steps[0].race.good.field", "{{ critic }} refers to no step of the plan.")]),
        ({"id": "a", "steps": []}, [("steps[0].steps", "There are no steps.")]),
        ({"id": "a", "steps": [{"id": "x", "agent": "tech", "depends_on": "y"}]}, [
            ("steps[0].steps[0].depends_on", "There is no step 'y'.")]),
        ({"id": "a", "steps": [{"id": "x", "agent": "tech", "depends_on": "y"},
                               {"id": "y", "agent": "tech", "depends_on": "x"}]}, [
            ("steps[0].steps", "A circle: x waits for y, y waits for x.")]),
        ({"id": "a", "steps": [{"id": "x", "agent": "tech"}], "inputs": {"a": 1}}, [
            ("steps[0].inputs", "A step with steps has none.")]),
        ({"id": "a", "steps": [{"id": "x", "agent": "tech"}], "output": "none"}, [
            ("steps[0].output", "It refers to no step.")]),
        ({"id": "a", "manage": {"agents": ["tech"]}}, [("steps[0].manage.manager", "It is missing.")]),
        ({"id": "a", "manage": {"manager": "tech"}}, [
            ("steps[0].manage.agents", "There is nobody to give work to.")]),
        ({"id": "a", "manage": {"manager": "tech", "agents": ["market"], "teams": {"Market": {
            "manager": "tech", "agents": ["market"]}}}}, [("steps[0].manage", "'Market' stands there twice.")]),
        ({"id": "a", "manage": {"manager": "tech", "agents": ["market"], "teams": {"t": {
            "manager": "tech", "agents": ["market"], "teams": {}}}}}, [
            ("steps[0].manage.teams.t.teams", "Teams stand 2 deep at most.")]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_group_is_named_with_its_field(
    step: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults({"steps": [step]}) == expected


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        ({"pattern": "loop", "agents": ["market"]}, "agents"),
        ({"pattern": "loop", "agents": ["market", "tech", "writer"]}, "agents"),
        ({"pattern": "hierarchical", "agents": ["market"]}, "agents"),
        ({"pattern": "vote", "agents": ["market"], "manager": "tech"}, "manager"),
    ],
)
def test_a_team_that_does_not_fit_its_pattern_is_refused(plan: dict[str, Any], field: str) -> None:
    assert [name for name, _ in faults(plan)] == [field]


def test_groups_stand_eight_deep_at_most() -> None:
    step: dict[str, Any] = {"id": "a", "agent": "market"}
    for _ in range(9):
        step = {"id": "a", "steps": [step]}

    assert faults({"steps": [step]}) == [("steps", "Its groups stand too deep inside each other.")]


def test_all_steps_are_counted_wherever_they_stand() -> None:
    inner = [{"id": f"s{number}", "agent": "market"} for number in range(1500)]

    assert faults({"steps": [{"id": "a", "steps": inner}, {"id": "b", "steps": inner}]}) == [
        ("steps", "There are too many steps, those of groups included.")
    ]


BASE: dict[str, Any] = {"id": "g", "agent": "market", "for_each": ["a"], "query": "{{ item }}"}


@pytest.mark.parametrize(
    "changed",
    [
        {"for_each": ["b"]},
        {"for_each": {"items": ["a"], "join": "any"}},
        {"query": "{{ index }}"},
        {"agent": "tech"},
        {"loop": {"critic": "tech"}},
        {"loop": {"until": "{{ answer }} = 1"}},
    ],
)
def test_what_decides_what_a_group_does_is_in_its_fingerprint(changed: dict[str, Any]) -> None:
    assert hashed(BASE) != hashed({**BASE, **changed})


@pytest.mark.parametrize("changed", [{"for_each": {"items": ["a"], "max_parallel": 3}}, {"timeout": 3}, {"title": "T"}])
def test_limits_and_titles_are_not(changed: dict[str, Any]) -> None:
    assert hashed(BASE) == hashed({**BASE, **changed})


def test_the_fingerprint_knows_everybody_of_a_team() -> None:
    one = {"id": "g", "manage": {"manager": "writer", "agents": ["market"]}}
    other = {"id": "g", "manage": {"manager": "writer", "agents": ["tech"]}}

    assert hashed(one) != hashed(other)
