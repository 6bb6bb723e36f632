"""Tools of the workspace as agents, through the real plugin process: what they get, give, and how they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.standin import tools
from tests.standin.apps import App
from tests.standin.daemon import PluginProcess
from tests.standin.parameters import variable
from tests.standin.tools import Said, Tools
from tests.standin.world import World
from tests.together.team import Team, entry, soon

type MakeTeam = Callable[..., Team]

SEARCH = {"search": {"tool": "acme/web/web/search"}}


@pytest.fixture
def plugin(scene: World) -> Iterator[PluginProcess]:
    """The scene's plugin; no backwards call may come after its tool call has ended."""
    late = len(scene.plugin.late)
    yield scene.plugin
    assert scene.plugin.late[late:] == []


def steps(**search: Any) -> dict[str, Any]:
    """A tool, and an app that reads what it found."""
    found = "{{ search.output }} / {{ search.data.json[0].hits[1] }} / {{ search.score }}"
    return {
        "agents": SEARCH,
        "steps": [
            {"id": "search", "agent": "search", "inputs": {"q": "{{ task }}", "n": 3, "deep": True}, **search},
            {"id": "writer", "agent": "writer", "query": found},
        ],
    }


def test_a_tool_works_beside_an_app(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """Its parameters keep their types; its text, JSON, variables, files and links can be read by other steps."""

    def search(parameters: dict[str, Any]) -> Iterator[Said]:
        yield tools.text(f"found {parameters['q']}")
        yield tools.structure({"hits": ["a", "b"]})
        yield tools.variable("score", 0.5)
        yield tools.link("http://hit.test")
        yield tools.blob("application/pdf", "hits.pdf")
        yield tools.blob("image/png", "hits.png")

    workspace = Tools({"search": search})
    plugin.on("tool", workspace)
    team = make_team(App(name="writer", answer="read {query}"))

    result = team.run("bees", plan=variable(steps()))

    assert result.error is None, result.error
    assert "read found bees / b / 0.5" == result.text
    asked = workspace.asked[0]
    assert ("builtin", "acme/web/web", "search") == (asked["tool_type"], asked["provider"], asked["tool"])
    assert {"q": "bees", "n": 3, "deep": True} == asked["tool_parameters"]
    found = entry(result, "search")
    assert ["document", "image"] == [file["type"] for file in found["data"]["files"]]
    assert [{"url": "http://hit.test"}] == found["sources"]
    assert 0 == found["usage"]["tokens"]


def test_a_tool_in_a_row_of_agents(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """By its agent's own inputs; what it says is carried to the next one."""
    plugin.on("tool", Tools({"search": lambda given: iter([tools.text(f"facts on {given['q']}")])}))
    team = make_team(App(name="writer", answer="{query}"))
    plan = {
        "pattern": "sequential",
        "agents": {"search": {**SEARCH["search"], "inputs": {"q": "{{ task }}"}}, "writer": None},
    }

    result = team.run("bees", plan=variable(plan))

    assert result.error is None, result.error
    assert "### search\nfacts on bees" in team.calls("writer")[0].query


def refuse(_: dict[str, Any]) -> Iterator[Said]:
    yield tools.text("half")
    raise ValueError("no such city")


@pytest.mark.parametrize(
    ("workspace", "code", "part"),
    [
        (Tools({"search": refuse}), "agent_failed", "ran and failed: ValueError: no such city"),
        (Tools({"other": refuse}), "misconfigured", "is not known to Dify (builtin tool search not found)"),
        (Tools({"search": refuse}, provider="acme/other/web"), "misconfigured", "author/plugin/provider"),
        (Tools({"search": refuse}, authorized=False), "misconfigured", "Give the tool's provider its credentials"),
        (Tools({"search": refuse}, required=("city",)), "rejected", "tool parameter city not found"),
    ],
    ids=["raises", "unknown tool", "unknown provider", "no credentials", "missing parameter"],
)
def test_every_way_a_tool_fails_has_its_word(
    workspace: Tools, code: str, part: str, plugin: PluginProcess, make_team: MakeTeam
) -> None:
    """And one failed tool does not sink what does not need it."""
    plugin.on("tool", workspace)
    team = make_team(App(name="writer", answer="fine"))
    plan = {
        "agents": SEARCH,
        "steps": [{"id": "search", "agent": "search", "inputs": {"q": "x"}}, {"id": "writer", "agent": "writer"}],
    }

    result = team.run("bees", plan=variable(plan))

    assert "partial" == result.variables["status"], result.error
    (error,) = result.variables["errors"]
    assert code == error["code"]
    assert part in error["message"]


def test_a_failed_tool_is_tried_again(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """As often as the step says."""
    tries: list[int] = []

    def search(_: dict[str, Any]) -> Iterator[Said]:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("reset")
        yield tools.text("found")

    plugin.on("tool", Tools({"search": search}))
    plan = {"agents": SEARCH, "steps": [{"id": "s", "agent": "search", "inputs": {"q": "x"}, "retry_times": 1}]}

    result = make_team(App(name="other")).run("bees", plan=variable(plan))

    assert ("found", 2) == (result.text, len(tries)), result.error


def test_a_tool_that_never_ends_ends_with_its_step(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """Within 2.5 seconds, as timed out."""
    ended = threading.Event()

    def hang(_: dict[str, Any]) -> Iterator[Said]:
        yield tools.text("wait")
        ended.wait(20)

    plugin.on("tool", Tools({"search": hang}))
    plan = {"agents": SEARCH, "steps": [{"id": "s", "agent": "search", "inputs": {"q": "x"}, "timeout": 1}]}
    team = make_team(App(name="other"))
    try:
        result = soon(lambda: team.run("bees", plan=variable(plan)), 2.5)
    finally:
        ended.set()

    assert result.error is not None
    assert "timed_out" in result.error.message


def test_our_own_tools_are_no_agents(plugin: PluginProcess, make_team: MakeTeam) -> None:
    """The plan is refused before anything is called."""
    workspace = Tools({"orchestrator": refuse}, provider="ensemble/ensemble/ensemble")
    plugin.on("tool", workspace)
    agents = {"us": {"tool": "ensemble/ensemble/ensemble/orchestrator"}}
    plan = {"agents": agents, "steps": [{"id": "s", "agent": "us", "inputs": {"task": "x"}}]}

    result = make_team(App(name="other")).run("bees", plan=variable(plan))

    assert result.error is not None
    assert "A team can't call Ensemble's own tools" in result.error.message
    assert [] == workspace.asked
