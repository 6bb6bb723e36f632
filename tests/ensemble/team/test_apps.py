"""Dify apps in a team of a Python program: beside functions, under one trace, failing, remembering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ensemble.team import Report, StepResult, Team, dify
from tests.standin.apps import App, Usage
from tests.standin.failures import always
from tests.standin.service_api import StandIn, threaded


def by_step(report: Report) -> dict[str, StepResult]:
    return {result.step: result for result in report.results}


@pytest.fixture
def dify_host() -> Iterator[StandIn]:
    with threaded() as running:
        yield running


def apps_of(host: StandIn, *apps: App) -> dict[str, Any]:
    host.put(*apps)
    return {app.name: dify(host.url, app.key) for app in apps}


def test_apps_and_functions_work_together_under_one_trace(dify_host: StandIn) -> None:
    apps = apps_of(
        dify_host,
        App(name="facts", answer="facts on {query}", usage=Usage(prompt_tokens=7)),
        App(name="writer", answer="written: {query}"),
    )
    with Team({**apps, "shout": lambda text: text.upper()}) as team:
        report = team.sequential("bees", ["facts", "shout", "writer"], trace_id="ticket-7", user="ann")

    assert report.answer.startswith("written: bees\n\n### shout\nBEES")
    assert 7 == by_step(report)["facts"].usage.tokens
    calls = dify_host.log().calls
    assert {"ticket-7"} == {call.headers["x-trace-id"] for call in calls}
    assert 1 == len({call.headers["traceparent"][:36] for call in calls})
    assert {"ens-ann"} == {call.user for call in calls}


def test_an_app_that_fails_does_not_sink_the_others(dify_host: StandIn) -> None:
    apps = apps_of(
        dify_host,
        App(name="dead", failures=always("node_failed", "the database is down")),
        App(name="well", answer="fine"),
    )
    with Team(apps) as team:
        report = team.parallel("x")

    assert ("partial", "### well\n\nfine") == (report.status, report.answer)
    error = by_step(report)["dead"].error
    assert error is not None
    assert "the database is down" in error.message


def test_a_memory_goes_on_with_one_conversation(dify_host: StandIn) -> None:
    plan = {"agents": {"friend": {"app": "friend", "memory": True}}, "steps": [{"id": "a", "agent": "friend"}]}
    with Team(apps_of(dify_host, App(name="friend", answer="turn {turn}"))) as team:
        for conversation in ("one", "one", "other"):
            team.run(plan, "hi", conversation=conversation)

    told = [call.conversation_id for call in dify_host.log().calls]
    assert ["", False, ""] == [told[0], told[1] == "", told[2]]
