"""A run's link: what the plugin hands on as run_url opens the run's page, and where there is none a warning says why."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ensemble.team import Sidecar
from ensemble.team import Team as PythonTeam
from tests.standin.apps import App
from tests.standin.failures import always
from tests.standin.world import PUBLIC_URL, SidecarProcess, World
from tests.together.team import Team

type MakeTeam = Callable[..., Team]
SETTING = "ENSEMBLE_PUBLIC_URL"


def opened(sidecar: SidecarProcess, url: str) -> str:
    """Return the page behind a link; a proxy would lead from the public URL to the sidecar."""
    before, found, page = url.partition("/console/")
    assert (before, found) == (PUBLIC_URL, "/console/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{sidecar.url}/console/{page}") as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_run_url_opens_the_page_of_that_run(scene: World, make_team: MakeTeam) -> None:
    """With its answer, each agent's part in it and what failed; a call that is told the same answer has a link, too."""
    team = make_team(
        App(name="market", answer="<b>facts</b> & figures"),
        App(name="writer", answer="the report of today"),
        App(name="broken", failures=always("node_failed")),
    )
    call: dict[str, Any] = {"pattern": "parallel", "agents": "market, broken", "synthesizer": "writer"}
    result = team.run("analyse pumps", **call)
    other = team.run("analyse fans", run_key="fans", pattern="sequential", agents="writer")
    again = team.run("analyse fans", run_key="fans", pattern="sequential", agents="writer")

    page = opened(scene.sidecar, result.variables["run_url"])
    assert "the report of today" in page
    assert "&lt;b&gt;facts&lt;/b&gt; &amp; figures" in page
    assert "analyse pumps" in page
    assert "agent failed" in page
    assert result.variables["run_id"] in page
    assert "analyse fans" not in page
    assert not any(SETTING in each for each in result.variables["warnings"])
    for told in (other, again):
        assert other.variables["run_id"] in opened(scene.sidecar, told.variables["run_url"])


def test_a_sidecar_that_was_not_told_how_it_is_reached_gives_no_link(
    scene: World, make_team: MakeTeam, tmp_path: Path
) -> None:
    """Then one warning names the setting, and the doctor does; a tool without that output says nothing."""
    team = make_team(App(name="market", answer="facts"))
    with SidecarProcess(tmp_path, env={SETTING: ""}) as sidecar:
        saved = team.credentials(sidecar_url=sidecar.url)
        result = team.run("analyse", saved=saved)
        looked = scene.plugin.invoke("doctor", {}, saved).result()
        joined = scene.plugin.invoke(
            "aggregator", {"results": '["a", "b"]', "strategy": "synthesize", "agent": "market"}, saved
        ).result()

    assert result.variables["run_url"] == ""
    assert [SETTING in each for each in result.variables["warnings"]] == [True]
    (finding,) = (each for each in looked.variables["findings"] if each["subject"] == "links to runs")
    assert (finding["severity"], SETTING in finding["fix"]) == ("note", True)
    assert joined.error is None, joined.error
    assert not any(SETTING in each for each in joined.variables["warnings"])


def test_without_a_sidecar_there_is_no_link_and_no_word_more_about_it(make_team: MakeTeam) -> None:
    """Local mode has a warning of its own."""
    team = make_team(App(name="market", answer="facts"))
    result = team.run("analyse", saved=team.credentials(sidecar_url="", sidecar_token=""))

    assert result.variables["run_url"] == ""
    assert len(result.variables["warnings"]) == 1
    assert SETTING not in result.variables["warnings"][0]


def test_a_python_teams_report_has_the_link_too(scene: World) -> None:
    """Local teams have none."""
    agents = {"shout": lambda text: text.upper()}
    report = PythonTeam(agents, sidecar=Sidecar(scene.sidecar.url, scene.sidecar.token)).parallel("hello there")

    assert "HELLO THERE" in opened(scene.sidecar, report.run_url)
    assert PythonTeam(agents).parallel("hello").run_url == ""
