"""Groups that are handled roughly: hostile texts, ends before their time, and joins that are met without them."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.contract.results import Usage
from ensemble.engine.attempts.hosts import Hosts
from tests.ensemble.engine.kit import Scripted, bad, good, play, slow
from tests.ensemble.engine.teams import answer, mapped, parts


def test_half_characters_in_what_a_model_wrote_do_not_cost_the_run() -> None:
    plan = mapped("{{ list.output }}")
    plan["steps"].insert(0, {"id": "list", "agent": "l"})
    plan["steps"][1] |= {"inputs": None, "query": "{{ item }} of {{ list.output[0] }}"}
    plan["output"] = "{{ list.output[1] }}"
    agent = Scripted("a")

    played = play(plan, {"a": agent, "l": Scripted("l", [good(r'["x\ud800", "y\udfff"]')])})

    assert sorted(call.query for call in agent.calls) == ["x? of x?", "y? of x?"]
    assert played.report.answer == "y?"


INNER = [{"id": "x", "agent": "a"}, {"id": "y", "agent": "b", "depends_on": "x", "query": "{{ task }}"}]


class TestUsageOfWhatWasCut:
    """What parts had used counts, however their group ended."""

    def test_by_the_runs_deadline(self) -> None:
        agents = {"a": Scripted("a", [good(tokens=100)]), "b": Scripted("b", [slow(10)])}

        played = play({"steps": [{"id": "g", "steps": INNER}]}, agents, timeout_s=0.4)

        assert played.report.status is RunStatus.TIMED_OUT
        assert played.report.usage == Usage(tokens=100, estimated=True)
        assert played.by_step["g"].attempts == 2

    def test_by_fail_fast(self) -> None:
        agents = {
            "a": Scripted("a", [good(tokens=100)]),
            "b": Scripted("b", [slow(10)]),
            "c": Scripted("c", [slow(0.1, bad())]),
        }
        plan = {"steps": [{"id": "g", "steps": INNER}, {"id": "z", "agent": "c"}]}

        assert play(plan, agents, fail_fast=True).report.usage.tokens == 100

    def test_by_the_group_around_it(self) -> None:
        inner = [INNER[0], {**INNER[1], "query": "{{ item }}"}]
        plan = {"steps": [{"id": "g", "for_each": {"items": ["slow", "fast"], "join": "any"}, "steps": inner}]}

        def b(call: Call, scope: CallScope) -> Reply:
            return slow(10 if call.query == "slow" else 0.2)(call, scope)

        played = play(plan, {"a": Scripted("a", [good(tokens=100)]), "b": Scripted("b", [b])})

        assert parts(played)["g[0]"].usage == Usage(tokens=100, estimated=True)
        assert played.report.usage.tokens == 210


class TestUnneeded:
    """A group that nothing needs any more is ended like a call."""

    @pytest.mark.parametrize("group", [
        {"steps": [{"id": "x", "agent": "b"}, {"id": "y", "agent": "b", "depends_on": "x"}]},
        {"vote": ["b", "d"]},
        {"steps": [{"id": "deep", "race": ["b", "d"], "loop": {"critic": "a"}}]},
        {"for_each": list(range(9)), "agent": "b"},
    ])  # fmt: skip
    @pytest.mark.parametrize("inside", [False, True])
    def test_by_a_join_that_was_met_without_it(self, group: dict[str, Any], *, inside: bool) -> None:
        steps = [
            {"id": "quick", "agent": "a"},
            {"id": "group", **group},
            {"id": "end", "agent": "c", "depends_on": ["quick", "group"], "join": "any"},
        ]
        agents = {
            "a": Scripted("a"),
            "b": Scripted("b", [slow(10)]),
            "c": Scripted("c"),
            "d": Scripted("d", [slow(10)]),
        }
        hosts = Hosts()

        played = play({"steps": [{"id": "n", "steps": steps}] if inside else steps}, agents, hosts=hosts)

        name = "n/group" if inside else "group"
        assert played.seconds < 3
        assert (parts(played) | played.by_step)[name].status is StepStatus.CANCELLED
        assert played.report.status is RunStatus.SUCCEEDED
        assert hosts.taken("http://one") == 0
        assert sum("nothing needs it any more" in str(event) for event in played.events) >= 2

    def test_not_while_the_answer_reads_it(self) -> None:
        steps = [
            {"id": "quick", "agent": "a"},
            {"id": "group", "vote": ["b", "c"]},
            {"id": "end", "agent": "c", "depends_on": ["quick", "group"], "join": "any"},
        ]
        agents = {"a": Scripted("a"), "b": Scripted("b", [slow(0.2, good("vote"))]), "c": Scripted("c", [good("vote")])}

        assert play({"steps": steps, "output": "{{ group.output }}"}, agents).report.answer == "vote"


class TestLoopsAroundGroups:
    """Who begins the group is told what the critic said of its last answer."""

    @pytest.mark.parametrize(("group", "told"), [
        ({"vote": ["a", "b"]}, ["a", "b"]),
        ({"race": ["a"]}, ["a"]),
        ({"manage": {"manager": "a", "agents": ["b"]}}, ["a"]),
        ({"steps": [{"id": "x", "agent": "a"}, {"id": "y", "agent": "b", "depends_on": "x"}]}, ["a"]),
        ({"steps": [{"id": "x", "agent": "a", "for_each": [1]}, {"id": "y", "vote": ["b"]}]}, ["a", "b"]),
    ])  # fmt: skip
    def test_from_the_second_round_on(self, group: dict[str, Any], told: list[str]) -> None:
        agents = {name: Scripted(name, [answer("first"), answer("second")]) for name in "ab"}
        critic = Scripted("c", [good("too long"), good("APPROVED")])

        played = play({"steps": [{"id": "g", **group, "loop": {"critic": "c"}}]}, {**agents, "c": critic})

        assert played.report.status is RunStatus.SUCCEEDED
        asked = {name: agents[name].calls[-1].query for name in "ab" if agents[name].calls}
        assert [name for name, query in asked.items() if "too long" in query] == told
        assert all("first" in asked[name] for name in told)


@pytest.mark.parametrize(("step", "own"), [
    ({"agent": "a", "loop": {"until": "{{ answer.output }} not empty"}}, {"rounds": 1, "met": True}),
    ({"race": ["a"]}, {"winner": "a"}),
    ({"manage": {"manager": "a", "agents": ["b"]}}, {"rounds": 0}),
])  # fmt: skip
def test_what_a_group_says_of_itself_is_not_overwritten_by_an_agent(step: dict[str, Any], own: dict[str, Any]) -> None:
    lying = good('{"answer": "x", "rounds": "lots"}', rounds="many", met="no", winner="me", answer="x")

    played = play({"steps": [{"id": "g", **step}]}, {"a": Scripted("a", [lying]), "b": Scripted("b")})

    assert {name: played.by_step["g"].data[name] for name in own} == own
