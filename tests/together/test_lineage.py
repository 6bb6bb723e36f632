"""Teams inside teams, through the real plugin process and the real sidecar: each app that is called calls the plugin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest
import urllib3

from ensemble.agents.parents import TOKEN_CHARS, Seal
from tests.standin.invocation import Result
from tests.standin.world import World
from tests.together.nesting import INSIDE, TOKEN_INPUT, Flow, Studio, studio

type Open = Callable[..., Studio]

HTTP = urllib3.PoolManager()


def asked(scene: World, path: str) -> Any:
    """Return what the sidecar answers."""
    headers = {"Authorization": f"Bearer {scene.sidecar.token}"}
    return HTTP.request("GET", scene.sidecar.url + path, headers=headers).json()


def runs_of(scene: World, result: Result) -> list[dict[str, Any]]:
    """Return the runs of a result's trace, the outermost first, whole."""
    lines = asked(scene, f"/v1/runs?trace_id={result.variables['trace_id']}")["runs"]
    return sorted((asked(scene, f"/v1/runs/{line['run_id']}") for line in lines), key=lambda run: run["depth"])


def words(result: Result) -> str:
    """Return everything a result says went wrong."""
    return json.dumps([result.variables.get("errors"), result.error and result.error.message])


@pytest.fixture
def open_studio(scene: World) -> Iterator[Callable[..., Studio]]:
    """Return what serves flows until the test ends."""
    with ExitStack() as stack:
        yield lambda *flows: stack.enter_context(studio(scene, *flows))


def team(flow: Flow, *agents: Flow, by_key: bool = False, **fields: Any) -> Flow:
    """Return *flow* with an orchestrator that calls *agents* by their names."""
    plan = {
        "agents": {each.name: each.name if by_key else each.id for each in agents},
        "steps": [{"id": each.name, "agent": each.name} for each in agents],
    }
    return Flow(
        flow.name, agents="plan", tells=flow.tells, max_length=flow.max_length, number=flow.number,
        fields={"agents": "", "plan": json.dumps(plan), **fields},
    )  # fmt: skip


BY = pytest.mark.parametrize("by_key", [False, True], ids=["by id", "by key"])


@BY
def test_a_nested_run_is_one_trace_and_one_budget_with_the_first(
    scene: World, open_studio: Open, *, by_key: bool
) -> None:
    """Three deep, and the token is in nobody's words."""
    leaf = Flow("leaf", tells=False)
    writer = team(Flow("writer"), leaf, by_key=by_key)
    market = team(Flow("market"), writer, leaf, by_key=by_key)
    planner = team(Flow("planner"), market, by_key=by_key)
    office = open_studio(leaf, writer, market, planner)

    result = office.start("planner")

    assert result.error is None, result.error
    runs = runs_of(scene, result)
    assert [run["depth"] for run in runs] == [1, 2, 3]
    assert [run["parent_run_id"] for run in runs] == [None, runs[0]["run_id"], runs[1]["run_id"]]
    assert [run["budget"]["calls_committed"] for run in runs] == [4, 3, 1]
    assert [run["budget"]["tokens_committed"] for run in runs] == [40, 30, 10]
    assert all(run["budget"]["calls_reserved"] == 0 for run in runs)
    tokens = [inputs[TOKEN_INPUT] for _, inputs in office.given if TOKEN_INPUT in inputs]
    assert [len(token) for token in tokens] == [TOKEN_CHARS] * 2
    said = json.dumps([[m.content for m in each.messages] for _, each in office.results]) + json.dumps(runs)
    said += scene.plugin.stderr + json.dumps(asked(scene, f"/v1/runs/{runs[0]['run_id']}/log"))
    assert not any(token in said for token in tokens)


@BY
def test_a_circle_is_refused_with_the_way_in_words(scene: World, open_studio: Open, *, by_key: bool) -> None:
    """By its id the second planner is not even called; by its key it is, once, and then never again."""
    planner, market = Flow("planner"), Flow("market")
    office = open_studio(team(planner, market, by_key=by_key), team(market, planner, by_key=by_key))

    for attempt in (1, 2):
        office.results.clear()
        result = office.start("planner")

        assert result.error is not None
        inner = office.results[0]
        assert "planner → market → planner (recursion)" in json.loads(words(inner[1]))[1]
        assert [name for name, _ in office.results] == (
            ["planner", "market", "planner"] if by_key and attempt == 1 else ["market", "planner"]
        )


@BY
def test_without_the_input_a_circle_ends_at_the_limit(open_studio: Open, *, by_key: bool) -> None:
    """By their ids the user is handed on, by their keys the apps are looked up; each level fails, and says why.

    What is not known yet at the first round is not counted, so that one may go a little further.
    """
    planner, market = Flow("planner", tells=False), Flow("market", tells=False)
    office = open_studio(team(planner, market, by_key=by_key), team(market, planner, by_key=by_key))

    for most in (9, 6):
        office.results.clear()
        result = office.start("planner", user=f"eve {by_key}")

        assert result.error is not None
        assert 6 <= len(office.results) <= most
        assert "ensemble_parent" in words(office.results[0][1])
        assert "recursion" in words(office.results[0][1])


@BY
@pytest.mark.parametrize("tells", [True, False], ids=["with the input", "without it"])
def test_two_users_at_once_in_opposite_directions(open_studio: Open, *, by_key: bool, tells: bool) -> None:
    """Nobody is refused, however often: the apps that are called inside call nobody."""
    planner, market = Flow("planner", tells=tells), Flow("market", tells=tells)
    plan = {"inputs": {"text": INSIDE}}
    office = open_studio(
        _asking(team(planner, market, by_key=by_key), plan), _asking(team(market, planner, by_key=by_key), plan)
    )
    starts = [("planner", "ann"), ("market", "bob")] * 4
    barrier = Barrier(len(starts))

    def start(who: tuple[str, str]) -> Result:
        barrier.wait()
        return office.start(who[0], user=f"{who[1]} {by_key}")

    with ThreadPoolExecutor(len(starts)) as pool:
        results = list(pool.map(start, starts))

    assert [result.error for result in results] == [None] * len(starts)


def _asking(flow: Flow, step: dict[str, Any]) -> Flow:
    """Return *flow* with *step* in each of its steps."""
    plan = json.loads(flow.fields["plan"])
    plan["steps"] = [{**each, **step} for each in plan["steps"]]
    fields = {**flow.fields, "plan": json.dumps(plan)}
    return Flow(flow.name, agents=flow.agents, tells=flow.tells, number=flow.number, fields=fields)


def test_a_limit_of_the_first_run_holds_for_all_inside(scene: World, open_studio: Open) -> None:
    """Two calls in all: one to market, one of market's two."""
    one, two = Flow("one", tells=False), Flow("two", tells=False)
    market = team(Flow("market"), one, two)
    planner = team(Flow("planner"), market, limits="max_calls: 2")
    office = open_studio(one, two, market, planner)

    result = office.start("planner")

    assert result.error is None, result.error
    (_, inner), *_ = office.results
    assert [entry["code"] for entry in inner.variables["errors"]] == ["refused"]
    assert "the run above's 2" in words(inner)
    assert runs_of(scene, result)[0]["budget"]["calls_committed"] == 2


@pytest.mark.parametrize(
    ("token", "says"),
    [
        pytest.param("start.ensemble_parent", "what Dify leaves of a variable", id="a reference nobody resolved"),
        pytest.param("A" * 47, "is not whole", id="cut"),
        pytest.param("A" * 48, "signature", id="made up"),
        pytest.param(Seal(b"somebody else's").token("1" * 32, "2" * 32), "signature", id="another installation's"),
        pytest.param("stale", "a call that is over", id="of a call that is over"),
    ],
)
def test_a_token_that_is_none_fails_the_node_naming_parent(open_studio: Open, token: str, says: str) -> None:
    """And nothing of it is repeated."""
    market = team(Flow("market"), Flow("leaf", tells=False, number=9_001))
    planner = team(Flow("planner"), market)
    office = open_studio(market, planner, Flow("leaf", tells=False, number=9_001))
    if token == "stale":
        assert office.start("planner").error is None
        token = dict(office.given)["market"][TOKEN_INPUT]

    result = office.start("market", token=token)

    assert result.error is not None
    assert "parent: " in result.error.message
    assert says in result.error.message
    assert token not in json.dumps(result.error.args) + result.error.message


def test_an_input_too_short_for_it_is_left_empty_with_a_warning(scene: World, open_studio: Open) -> None:
    """The step goes on; the run inside it is one of its own."""
    leaf = Flow("leaf", tells=False)
    market = team(Flow("market", max_length=32), leaf)
    office = open_studio(leaf, market, team(Flow("planner"), market))

    result = office.start("planner")

    assert result.error is None, result.error
    assert any("ensemble_parent takes 32 characters and needs 48" in line for line in result.variables["warnings"])
    assert len(runs_of(scene, result)) == 1
