"""What the wire does to a run: answers lost, doubled, late or broken, before the sidecar and before the agents."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.standin.apps import App, Usage
from tests.standin.faults import Fault, FaultProxy, Kind, at, every
from tests.standin.invocation import Result
from tests.standin.world import World
from tests.together.team import Team, entry

EXCHANGE = "/v1/exchange"
CHAT = "/chat-messages"

type MakeTeam = Callable[..., Team]


def chain() -> tuple[App, App]:
    """Two agents that use 30 tokens together."""
    return (
        App(name="market", answer="facts", usage=Usage(prompt_tokens=4, completion_tokens=6)),
        App(name="writer", answer="a report", usage=Usage(prompt_tokens=12, completion_tokens=8)),
    )


@pytest.fixture
def wire(scene: World) -> Iterator[FaultProxy]:
    """A proxy before the sidecar."""
    with FaultProxy(scene.sidecar.url) as proxy:
        yield proxy


@pytest.fixture
def dify_wire(scene: World) -> Iterator[FaultProxy]:
    """A proxy before Dify."""
    with FaultProxy(scene.dify.url) as proxy:
        yield proxy


def on_record(scene: World, run_id: str) -> dict[str, Any]:
    """The run as the sidecar has it."""
    request = urllib.request.Request(f"{scene.sidecar.url}/v1/runs/{run_id}")  # noqa: S310 - the sidecar's own address.
    request.add_header("Authorization", f"Bearer {scene.sidecar.token}")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        view: dict[str, Any] = json.load(answer)
        return view


def run_through(wire: FaultProxy, team: Team, **fields: Any) -> Result:
    """Run the team in sequence with the sidecar behind the proxy, within a budget."""
    saved = team.credentials(sidecar_url=wire.url)
    return team.run("analyse", saved=saved, pattern="sequential", limits="max_tokens: 50000, max_calls: 9", **fields)


def assert_done_once(scene: World, team: Team, result: Result) -> None:
    """Every step was called once, is on record once, and nothing is reserved any more."""
    assert result.error is None, result.error
    assert ("succeeded", "a report") == (result.variables["status"], result.text)
    assert result.variables["warnings"] == []
    assert {"market": 1, "writer": 1} == {name: len(team.calls(name)) for name in team.apps}
    run = on_record(scene, result.variables["run_id"])
    assert ["market", "writer"] == [attempt["step"] for attempt in run["attempts"]]
    assert "succeeded" == run["status"]
    budget = run["budget"]
    assert (0, 0) == (budget["tokens_reserved"], budget["calls_reserved"])
    assert (30, 2) == (budget["tokens_committed"], budget["calls_committed"])


def without_lease(raw: bytes) -> Any:
    """An exchange's answer but for what time changes: how long the lease lasts, and the run's link."""
    answer = json.loads(raw.partition(b"\r\n\r\n")[2])
    answer["run"].pop("lease_ms")
    answer["run"].pop("url")
    return answer


def test_every_exchange_sent_twice_is_answered_twice_the_same(
    scene: World, wire: FaultProxy, make_team: MakeTeam
) -> None:
    """A run all of whose exchanges reach the sidecar twice reserves, calls and books once."""
    team = make_team(*chain())
    wire.script = every(Fault("twice"), path=EXCHANGE)

    result = run_through(wire, team)

    assert_done_once(scene, team, result)
    doubled = [exchange for exchange in wire.exchanges if exchange.request.path == EXCHANGE]
    assert len(doubled) >= 3
    for exchange in doubled:
        first, second = map(without_lease, exchange.answers)
        assert first == second


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop_answer"),
        Fault("reset"),
        Fault("reset_answer", after_bytes=40),
        Fault("cut", after_bytes=40),  # inside the head
        Fault("cut", after_bytes=200),  # inside the body
        Fault("half_close", after_bytes=200),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.after_bytes}",
)
def test_an_answer_of_the_sidecar_lost_on_the_wire_costs_nothing(
    scene: World, wire: FaultProxy, make_team: MakeTeam, fault: Fault, number: int
) -> None:
    """Opening, going on and closing alike: the exchange is sent again and changes nothing twice."""
    team = make_team(*chain())
    wire.script = at(number, fault=fault, path=EXCHANGE)

    result = run_through(wire, team)

    assert wire.exchanges[number - 1].fault is not None
    assert wire.exchanges[number - 1].request.body == wire.exchanges[number].request.body
    assert_done_once(scene, team, result)


def test_a_sidecar_that_falls_silent_is_asked_once_more(scene: World, wire: FaultProxy, make_team: MakeTeam) -> None:
    """After two seconds without a word."""
    team = make_team(*chain())
    wire.script = at(2, fault=Fault("silence"), path=EXCHANGE)

    assert_done_once(scene, team, run_through(wire, team))


def test_a_sidecar_lost_in_the_middle_is_gone_on_without(wire: FaultProxy, make_team: MakeTeam) -> None:
    """Both steps are called once, the answer is whole, and a warning names the sidecar."""
    team = make_team(*chain())
    seen = iter(range(1000))
    wire.script = lambda _: Fault("reset") if next(seen) else None

    result = run_through(wire, team)

    assert ("succeeded", "a report") == (result.variables["status"], result.text)
    assert {"market": 1, "writer": 1} == {name: len(team.calls(name)) for name in team.apps}
    assert any(wire.url in line for line in result.variables["warnings"])


def run_agent(dify_wire: FaultProxy, team: Team, **step: Any) -> Result:
    """Run a team of one whose Dify is behind the proxy."""
    plan = json.dumps({"steps": [{"id": "market", "agent": "market", **step}]})
    saved = team.credentials(dify_base_url=dify_wire.url)
    return team.run("analyse", saved=saved, plan=plan)


@pytest.mark.parametrize("kind", ["drop_answer", "cut", "half_close", "reset_answer"])
def test_an_agents_answer_lost_on_the_wire_is_asked_for_again_only_if_the_builder_says_so(
    dify_wire: FaultProxy, make_team: MakeTeam, kind: Kind
) -> None:
    """The request was sent, so the first call may still run: retry_times decides, and a warning says it."""
    team = make_team(App(name="market", answer="facts, call {call}"))
    dify_wire.script = at(1, 2, fault=Fault(kind, after_bytes=60), path=CHAT)

    left = run_agent(dify_wire, team)
    again = run_agent(dify_wire, team, retry_times=1)

    assert left.error is not None
    assert left.error.error_type == "NoAgentSucceeded"
    assert "unavailable" in left.error.message
    assert "facts, call 3" == again.text
    assert 2 == entry(again, "market")["attempts"]
    assert any("may still" in line for line in again.variables["warnings"])


def test_an_agents_late_answer_is_not_waited_for(dify_wire: FaultProxy, make_team: MakeTeam) -> None:
    """The step's timeout ends the attempt, and the next one succeeds."""
    team = make_team(App(name="market", answer="facts"))
    dify_wire.script = at(1, fault=Fault(delay_s=60), path=CHAT)

    result = run_agent(dify_wire, team, timeout=2, retry_times=1)

    assert "facts" == result.text
    assert 2 == entry(result, "market")["attempts"]
    assert result.took_s < 30


def test_a_dify_that_cannot_be_reached_is_tried_three_times(make_team: MakeTeam) -> None:
    """Nothing was sent, so trying again is harmless and needs nobody's leave; the other agent's part is delivered."""
    team = make_team(App(name="market"), App(name="tech", answer="facts"))
    with FaultProxy("http://127.0.0.1:1/v1") as closed:
        keys = f"market = {team.apps['market'].key} @ {closed.url}, tech = {team.apps['tech'].key}"

    result = team.run("analyse", saved=team.credentials(app_keys=keys), pattern="parallel")

    assert "facts" in result.text
    market = entry(result, "market")
    assert ("unavailable", 3) == (market["error"]["code"], market["attempts"])
