"""The first workflow, as its file says it: imported, its node runs the team."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from tests.standin.apps import App
from tests.standin.parameters import typed
from tests.standin.service_api import ROOT
from tests.standin.world import World
from tests.together.team import Team


def test_the_teams_node_runs_both_agents(scene: World, make_team: Callable[..., Team]) -> None:
    """With the parameters of the file, through Dify's own rules for them."""
    app = yaml.safe_load((ROOT / "examples/dsl/team.yml").read_text(encoding="utf-8"))
    (node,) = (each["data"] for each in app["workflow"]["graph"]["nodes"] if each["data"]["type"] == "tool")
    given = {
        name: typed(each["value"]) for name, each in (node["tool_parameters"] | node["tool_configurations"]).items()
    }
    team = make_team(App(name="market", answer="it grows: {query}"), App(name="tech", answer="it works: {query}"))
    pool = {"start.query": "solar pumps", "sys.workflow_run_id": "the first workflow's run"}

    def call() -> str:
        result = scene.plugin.invoke(node["tool_name"], given, team.credentials(), pool=pool).result()
        assert result.error is None
        assert (result.variables["status"], result.variables["errors"]) == ("succeeded", [])
        return result.text

    first = call()
    assert "it grows: solar pumps" in first
    assert "it works: solar pumps" in first
    assert call() == first
    assert [len(team.calls(name)) for name in ("market", "tech")] == [1, 1]
