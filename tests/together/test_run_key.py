"""Calls with one run_key are one run: every step is called once, and everybody is told the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.standin.apps import App
from tests.standin.daemon import PluginProcess
from tests.standin.failures import first
from tests.standin.invocation import Result
from tests.standin.world import World
from tests.together.team import Team

ROUNDS = 50
LANES = 5
"""Rounds that go on at one time; each has a run_key of its own, so they share nothing but the processes."""

PAIR = (
    App(name="market", answer="market on {query}, call {call}", latency_s=0.02),
    App(name="tech", answer="tech on {query}, call {call}", latency_s=0.02),
)

type MakeTeam = Callable[..., Team]


def told(result: Result) -> Any:
    """What a call says that a second one has to say as well."""
    assert result.error is None, result.error
    return (
        result.text,
        {name: result.variables[name] for name in ("status", "run_id", "trace_id", "usage", "errors")},
        [(each["step"], each["status"], each["text"]) for each in result.variables["results"]],
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_two_calls_at_one_instant_are_one_run(
    make_team: MakeTeam, scene: World, second_plugin: PluginProcess, processes: int
) -> None:
    """50 rounds of two calls: each step is called once, and both return the same answer."""
    team = make_team(*PAIR)
    other = second_plugin if processes == 2 else scene.plugin

    def play(number: int) -> None:
        call = {"task": f"round {number}", "run_key": f"{processes}-{number}", "pattern": "parallel"}
        one, two = team.run_at_once(call, {**call, "plugin": other})
        assert told(one) == told(two)

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(play, range(ROUNDS)))

    for name in team.apps:
        asked = Counter(call.query for call in team.calls(name))
        assert asked == {f"round {number}": 1 for number in range(ROUNDS)}


def test_items_of_an_iteration_are_runs_of_their_own(make_team: MakeTeam) -> None:
    """One run_key and three tasks: three answers; each item told again costs no call."""
    team = make_team(*PAIR)
    items = [{"task": task, "run_key": "iteration", "pattern": "parallel"} for task in ("apples", "pears", "plums")]

    begun = team.run_at_once(*items)
    again = [team.run(**item) for item in items]

    assert len({result.text for result in begun}) == 3
    assert len({result.variables["run_id"] for result in begun}) == 3
    assert [told(result) for result in begun] == [told(result) for result in again]
    assert {"market": 3, "tech": 3} == {name: len(team.calls(name)) for name in team.apps}
    assert all(any("nothing was" in line for line in result.variables["warnings"]) for result in again)


def test_the_same_task_with_other_inputs_is_another_run(make_team: MakeTeam) -> None:
    """Inputs are a part of what a run is."""
    team = make_team(PAIR[0])

    texts = {team.run("compare", run_key="k", inputs=f'{{"company": "{name}"}}').text for name in ("ACME", "Initech")}

    assert len(texts) == 2
    assert len(team.calls("market")) == 2


def test_a_repeated_call_does_only_again_what_had_failed(make_team: MakeTeam) -> None:
    """As Dify's retry of the node does it: the succeeded step keeps its result, the failed one is called again."""
    team = make_team(PAIR[0], PAIR[1].model_copy(update={"failures": first("node_failed")}))
    call = {"task": "analyse", "run_key": "retried", "pattern": "parallel"}

    before, after = team.run(**call), team.run(**call)

    assert ("partial", "succeeded") == (before.variables["status"], after.variables["status"])
    assert before.variables["run_id"] == after.variables["run_id"]
    assert {"market": 1, "tech": 2} == {name: len(team.calls(name)) for name in team.apps}
