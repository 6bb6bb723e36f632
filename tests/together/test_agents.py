"""What an operator says of an agent reaches the runs that call it, and what runs do reaches the registry."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ensemble.agents.identity import api_identity
from ensemble.contract.agents import AgentParams
from ensemble.contract.endpoints import GET_AGENT
from tests.standin.apps import App, Usage, Variable
from tests.standin.world import World
from tests.together.team import Team, entry

type MakeTeam = Callable[..., Team]


def agent(scene: World, team: Team, name: str, declared: dict[str, Any] | None = None) -> dict[str, Any]:
    """Declare an agent where there is something to declare, and return it as the sidecar knows it."""
    identity = api_identity(scene.dify.url, team.apps[name].key)
    url = scene.sidecar.url + GET_AGENT.url(AgentParams(identity=identity))
    body = None if declared is None else json.dumps(declared).encode()
    request = urllib.request.Request(url, body, method="GET" if body is None else "PUT")  # noqa: S310 - the sidecar's own address.
    request.add_header("Authorization", f"Bearer {scene.sidecar.token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        view: dict[str, Any] = json.load(answer)
        return view


def test_an_app_that_reports_no_price_is_priced_by_the_operators_word(scene: World, make_team: MakeTeam) -> None:
    """Flagged as estimated; an app that reports one keeps its own, and is no estimate."""
    used = Usage(prompt_tokens=100, completion_tokens=400, total_price=Decimal("0.01"))
    team = make_team(
        App(name="flow", mode="workflow", inputs=(Variable(name="task"),), usage=used), App(name="chat", usage=used)
    )
    for name in team.apps:
        agent(scene, team, name, {"price_per_1k": "0.002", "currency": "EUR"})

    result = team.run("work", pattern="parallel")

    flow, chat = (entry(result, name)["usage"] for name in ("flow", "chat"))
    assert flow == {"tokens": 500, "price": "0.001", "currency": "EUR", "estimated": True}
    assert (chat["currency"], chat["estimated"]) == ("USD", False)
    assert float(chat["price"]) == 0.01


def test_calls_are_on_record_with_what_they_took(scene: World, make_team: MakeTeam) -> None:
    """By the name the plan used, whatever the app is called in Dify."""
    team = make_team(App(name="market", answer="up", usage=Usage(prompt_tokens=10, completion_tokens=20)))

    for number in range(3):
        team.run(f"work {number}")

    known = agent(scene, team, "market")
    assert (known["names"], known["health"]) == (["market"], "healthy")
    assert known["statistics"]["calls"] == 3
    assert known["statistics"]["tokens_total"] == 90
