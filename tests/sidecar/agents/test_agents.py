"""The agents' registry over HTTP on a real store: what runs leave behind, what an operator says, and that both go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from ensemble.contract.agents import AgentParams, AgentsParams
from ensemble.contract.endpoints import GET_AGENT, LIST_AGENTS
from tests.sidecar.runs.opening import IDENTITY, a_finished_run

type Ask = Callable[..., Any]

ONE = GET_AGENT.url(AgentParams(identity=IDENTITY))


def other(name: str) -> str:
    """Return where another agent is found."""
    return GET_AGENT.url(AgentParams(identity=f"app:{name}"))


def listed(ask: Ask, **params: Any) -> dict[str, Any]:
    """Return a page of the agents."""
    page: dict[str, Any] = ask("GET", LIST_AGENTS.url(AgentsParams(**params))).json
    return page


def test_a_run_leaves_its_agents_behind(ask: Ask) -> None:
    """With the name it was called by, one call and its health."""
    a_finished_run(ask, "t")

    agent = ask("GET", ONE).json

    assert (agent["identity"], agent["name"], agent["health"]) == (IDENTITY, "market", "healthy")
    assert agent["statistics"]["outcomes"] == {"succeeded": 1}
    assert listed(ask)["agents"] == [agent]


def test_calls_that_are_settled_at_one_time_are_all_counted(app: Flask) -> None:
    """By many threads of many runs: counters collide with nobody and lose nothing."""

    def ask(method: str, url: str, body: Any = None) -> Any:
        headers = {"Authorization": "Bearer token-of-the-tenant"}
        return app.test_client().open(url, method=method, headers=headers, data=body, content_type="application/json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: a_finished_run(ask, f"t-{number}"), range(40)))

    assert ask("GET", ONE).json["statistics"]["outcomes"] == {"succeeded": 40}


def test_a_declaration_replaces_the_one_before(ask: Ask) -> None:
    """What is left out is declared no more; the sighting stays."""
    a_finished_run(ask, "t")
    ask("PUT", ONE, {"name": "Market research", "description": "Sizes markets.", "price_per_1k": "0.002"})

    agent = ask("PUT", ONE, {"description": "Sizes markets.", "max_tokens": 500}).json

    assert agent["name"] == "market"
    assert agent["declared"] == {
        "name": None,
        "description": "Sizes markets.",
        "max_tokens": 500,
        "price_per_1k": None,
        "currency": "USD",
    }
    assert agent == ask("GET", ONE).json


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"price_per_1k": "-1"}, "price_per_1k"),
        ({"currency": "usd"}, "currency"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"descripton": "x"}, "descripton"),
        ({"breaker": {"failure_threshold": 0}}, "breaker.failure_threshold"),
    ],
)
def test_what_can_not_be_declared_is_named(ask: Ask, body: dict[str, Any], field: str) -> None:
    """And nothing is written."""
    answer = ask("PUT", ONE, body)

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
    assert ask("GET", ONE).status_code == 404


def test_a_declared_breaker_judges_the_agent(ask: Ask) -> None:
    """As the breakers' own endpoint tells; a declaration without one leaves it as it is."""
    ask("PUT", ONE, {"breaker": {"failure_threshold": 7}})
    ask("PUT", ONE, {"name": "Market"})

    breaker = ask("GET", f"/v1/breakers/one?identity={quote(IDENTITY, safe='')}").json

    assert breaker["policy"]["failure_threshold"] == 7


def test_an_agent_is_forgotten_until_it_is_called_again(ask: Ask) -> None:
    """With its statistics and all that was declared."""
    a_finished_run(ask, "t")
    ask("PUT", ONE, {"name": "Market"})

    assert ask("DELETE", ONE).json == {"identity": IDENTITY, "forgotten": True}
    assert ask("DELETE", ONE).json == {"identity": IDENTITY, "forgotten": False}
    assert ask("GET", ONE).status_code == 404
    assert listed(ask)["agents"] == []

    a_finished_run(ask, "t")

    assert ask("GET", ONE).json["declared"] is None


def test_agents_are_listed_a_page_at_a_time(ask: Ask) -> None:
    """Each once, whatever moment they were declared at."""
    names = {f"n{number}" for number in range(7)}
    for name in names:
        ask("PUT", other(name), {"name": name})

    found, before = [], None
    while True:
        page = listed(ask, limit=3, before_ms=before)
        found += [agent["name"] for agent in page["agents"]]
        before = page["next_before_ms"]
        if before is None:
            break

    assert sorted(found) == sorted(names)


def test_no_agent_crosses_tenants(ask: Ask) -> None:
    """Neither by its identity nor in the list."""
    a_finished_run(ask, "t")

    assert ask("GET", ONE, other=True).status_code == 404
    assert ask("GET", LIST_AGENTS.path, other=True).json["agents"] == []


def test_an_agent_nobody_knows_is_a_problem_that_says_so(ask: Ask) -> None:
    """With what to do."""
    answer = ask("GET", other("nobody"))

    assert answer.status_code == 404
    assert answer.json["errors"][0]["field"] == "identity"
