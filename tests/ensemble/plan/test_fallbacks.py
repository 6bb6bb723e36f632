"""``cache`` and ``fallback`` as builders write them, whose word counts, and who stands in for whom in the end."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.plan.fallbacks import Cache, Chain, Fallback, back_to, chain, circles
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.fallbacks import FRESH_S, MOST_S, STALE_S
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.templates import Reference, Template

KNOWN = ("market", "tech", "writer")


def read(step: dict[str, Any], **plan: Any) -> Plan:
    """Return a plan of one step, *s*."""
    return read_plan({"steps": [{"id": "s", "agent": "market", **step}], **plan}, known=KNOWN)


def faults(step: dict[str, Any], **plan: Any) -> list[tuple[str, str]]:
    """Return field and problem of every fault."""
    with pytest.raises(PlanError) as caught:
        read(step, **plan)
    return [(fault.field, fault.problem) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (3600, Cache(3600, STALE_S)),
        ("3600", Cache(3600, STALE_S)),
        ({"fresh": 5}, Cache(5, STALE_S)),
        ({"stale": 7}, Cache(FRESH_S, 7)),
        ({"fresh": 0, "stale": 7}, Cache(0, 7)),
        ({"fresh": MOST_S, "stale": MOST_S}, Cache(MOST_S, MOST_S)),
        ({}, Cache(FRESH_S, STALE_S)),
        (True, Cache(FRESH_S, STALE_S)),
        (False, None),
        ({"fresh": 0, "stale": 0}, None),
        (None, None),
        ("", None),
    ],
)
def test_how_a_cache_is_written(written: Any, meant: Cache | None) -> None:
    plan = read({"cache": written})

    assert plan.cache(plan.steps[0]) == meant


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (0, "steps[0].cache"),
        (-1, "steps[0].cache"),
        (1.5, "steps[0].cache"),
        ("soon", "steps[0].cache"),
        ([60], "steps[0].cache"),
        (MOST_S + 1, "steps[0].cache"),
        ({"fresh": MOST_S + 1}, "steps[0].cache.fresh"),
        ({"stale": "x"}, "steps[0].cache.stale"),
        ({"old": 1}, "steps[0].cache.old"),
    ],
)
def test_a_cache_that_can_not_be_read(written: Any, field: str) -> None:
    assert [name for name, _ in faults({"cache": written})] == [field]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tech", Chain(("tech",))),
        (" TECH ", Chain(("tech",))),
        ({"agent": "tech", "default": 0}, Chain(("tech",), 0)),
        ({"default": {"a": ["{{ task }}"]}}, Chain((), {"a": [Template((Reference("task"),))]})),
        ({"default": ""}, Chain((), "")),
        (False, Chain()),
        (None, Chain()),
        ("", Chain()),
    ],
)
def test_how_a_fallback_is_written(written: Any, meant: Chain) -> None:
    plan = read({"fallback": written})

    assert plan.fallbacks(plan.steps[0]) == meant
    assert set(meant.backups) <= set(plan.agents)


@pytest.mark.parametrize(
    ("written", "field", "word"),
    [
        ("nobody", "steps[0].fallback", "no agent"),
        ("tecn", "steps[0].fallback", "no agent"),
        ([1], "steps[0].fallback", "no name"),
        (True, "steps[0].fallback", "no name"),
        ({}, "steps[0].fallback", "neither"),
        ({"agent": None, "default": None}, "steps[0].fallback", "neither"),
        ({"agnt": "tech", "default": 1}, "steps[0].fallback.agnt", "no such field"),
        ({"default": ["{{ s.text }}"]}, "steps[0].fallback.default[0]", "refers to a step"),
        ({"default": "{{ x"}, "steps[0].fallback.default", "never closed"),
        ("market", "steps[0].fallback", "market → market"),
    ],
)
def test_a_fallback_that_can_not_be_read(written: Any, field: str, word: str) -> None:
    ((name, problem),) = faults({"fallback": written})

    assert name == field
    assert word in problem


def test_a_default_in_a_typed_plan_refers_to_no_step() -> None:
    """Words that look like a reference Dify has stripped are words: a default can't mean a step."""
    source = "steps:\n- {id: s, agent: market, fallback: {default: see s.text or start.topic}}"
    plan = read_plan(source, known=KNOWN, inputs={"topic": "x"}, typed=True)

    default = plan.fallbacks(plan.steps[0]).default
    assert default == Template(("see s.text or ", Reference("start", ("topic",))))


def test_the_steps_word_counts_then_its_agents_then_the_defaults() -> None:
    agents = {"x": {"app": "market", "cache": 20, "fallback": {"default": "of the agent"}}}
    steps = [
        {"id": "a", "agent": "x", "cache": 10, "fallback": {"default": "of the step"}},
        {"id": "b", "agent": "x"},
        {"id": "c", "agent": "tech"},
        {"id": "d", "agent": "x", "cache": False, "fallback": False},
    ]
    plan = read_plan(
        {"agents": agents, "steps": steps, "defaults": {"cache": 30, "fallback": {"default": "of all"}}}, known=KNOWN
    )

    told = [(plan.cache(step), plan.fallbacks(step).default) for step in plan.steps]
    assert [(cache and cache.fresh_s, default) for cache, default in told] == [
        (10, "of the step"),
        (20, "of the agent"),
        (30, "of all"),
        (None, None),
    ]


def test_a_backup_for_all_is_none_of_its_own() -> None:
    plan = read_plan(
        {"steps": [{"agent": "market"}, {"agent": "tech"}], "defaults": {"fallback": {"agent": "tech", "default": 1}}},
        known=KNOWN,
    )

    assert [plan.fallbacks(step) for step in plan.steps] == [Chain(("tech",), 1), Chain((), 1)]


def test_the_nodes_of_difys_documents_have_them_too() -> None:
    data = {"agent_config": {"app_id": "market"}, "cache": 9, "fallback": "tech"}
    plan = read_plan({"nodes": [{"id": "n", "type": "agent", "data": data}]}, known=KNOWN)

    assert plan.cache(plan.steps[0]) == Cache(9, STALE_S)
    assert plan.fallbacks(plan.steps[0]) == Chain(("tech",))


def test_circles_are_refused_in_words() -> None:
    agents = {"a": {"app": "market", "fallback": "b"}, "b": {"app": "tech", "fallback": {"agent": "a", "default": 1}}}
    assert faults({"agent": "a"}, agents=agents) == [("agents.a.fallback", "A circle of backups: a → b → a.")]

    line = {"a": {"app": "market", "fallback": "b"}, "b": {"app": "tech"}}
    assert faults({"agent": "b", "fallback": "a"}, agents=line) == [
        ("steps[0].fallback", "A circle of backups: b → a → b.")
    ]


def test_an_unknown_backup_of_an_agent_is_named_where_it_stands() -> None:
    ((field, problem),) = faults({"agent": "a"}, agents={"a": {"app": "market", "fallback": {"agent": "nobody"}}})

    assert (field, "nobody" in problem) == ("agents.a.fallback", True)


@pytest.mark.parametrize(
    ("step", "spec", "field"),
    [({"cache": 60}, {}, "steps[0].cache"), ({}, {"cache": 60}, "agents.a.cache")],
)
def test_answers_that_depend_on_a_conversation_are_not_kept(
    step: dict[str, Any], spec: dict[str, Any], field: str
) -> None:
    agents = {"a": {"app": "market", "memory": True, **spec}}
    ((name, problem),) = faults({"agent": "a", **step}, agents=agents)
    assert (name, "memory" in problem) == (field, True)

    plan = read({"agent": "a"}, agents={"a": {"app": "market", "memory": True}}, defaults={"cache": 60})
    assert plan.cache(plan.steps[0]) is None


LINKS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(Fallback, st.none() | st.sampled_from("abcdef"), st.none() | st.integers(0, 9)),
)


@given(own=st.none() | st.builds(Fallback, st.none() | st.sampled_from("abcdef")), others=LINKS)
def test_a_chain_ends_and_asks_nobody_twice(own: Fallback | None, others: dict[str, Fallback]) -> None:
    """Whatever points at whom."""
    found = chain("a", own, others)

    assert len(set(found.backups)) == len(found.backups)
    assert "a" not in found.backups
    links = [own, *(others.get(name) for name in found.backups)]
    assert [link and link.agent for link in links][: len(found.backups)] == list(found.backups)
    defaults = [link.default for link in links if link is not None and link.default is not None]
    assert found.default == (defaults[0] if defaults else None)


@given(LINKS)
def test_every_circle_is_found_once_and_nothing_else(others: dict[str, Fallback]) -> None:
    found = list(circles(others))

    for circle in found:
        assert circle[0] == circle[-1]
        pairs = itertools.pairwise(circle)
        assert all(others[one].agent == after for one, after in pairs)
    members = [name for circle in found for name in circle[1:]]
    assert len(members) == len(set(members))
    for name, own in others.items():
        row = back_to(name, own, others)
        assert (row is not None) is (name in members)
        assert row is None or (row[0] == row[-1] == name and len(set(row)) == len(row) - 1)


def test_what_holds_for_all_does_not_hold_for_steps_that_only_decide() -> None:
    """A value in place of a decision would be taken for one; the next one that decides is asked instead."""
    plan = read({}, defaults={"cache": 60, "fallback": {"default": "x"}})
    deciding = replace(plan.steps[0], decides=True)

    assert (plan.cache(deciding), plan.fallbacks(deciding)) == (None, Chain())
    assert (plan.cache(plan.steps[0]), plan.fallbacks(plan.steps[0])) == (Cache(60, STALE_S), Chain((), "x"))
