"""Which app a key opens: taken from a run's inputs, asked for beside a call, told to the ledger now and then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ensemble.agents.app_ids import FRESH_S, TOLD_S, AppIds, app_id_in
from ensemble.agents.connections import Connections
from ensemble.agents.door import Door
from ensemble.agents.finding import look_up
from tests.ensemble.agents.calling import KEY, until
from tests.ensemble.agents.wire import Server, answer
from tests.standin.recordings import VERSIONS, Version, service_api

APP_ID = "a675a0c4-332f-4255-811e-e0d750b808df"


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"sys.app_id": APP_ID, "text": "hi"}, APP_ID),
        (json.dumps({"sys.app_id": APP_ID}), APP_ID),
        ({"text": "hi"}, None),
        ({"sys.app_id": 7}, None),
        ({"sys.app_id": "x" * 129}, None),
        ("no JSON", None),
        ("[1]", None),
        (None, None),
    ],
)
def test_the_app_stands_among_a_runs_inputs(inputs: Any, found: str | None) -> None:
    """As an object, or as JSON text; anything else tells nothing."""
    assert app_id_in(inputs) == found


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_details_of_runs_tell_it(version: Version) -> None:
    """In both versions of Dify that were recorded."""
    detail = service_api(version)["run-detail"].body

    assert isinstance(detail, dict)
    assert app_id_in(detail["inputs"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_newest_run_in_the_log_is_looked_up(version: Version) -> None:
    """As it was recorded; an app that never ran is asked for again at the next call."""
    recorded = service_api(version)
    log = recorded["logs"].body
    assert isinstance(log, dict)
    run = log["data"][0]["workflow_run"]["id"]
    plays: dict[str, Any] = {"/workflows/logs?limit=1": answer(200, {"data": []})}
    ids, told = AppIds(), list[str]()
    with Server(plays).running() as server:
        door = Door("market", server.url, KEY, Connections())
        look_up(ids, "api:x", door, {}, told.append)
        until(lambda: server.seen("/workflows/logs?limit=1"))
        assert ids.wanted("api:x")

        plays["/workflows/logs?limit=1"] = answer(200, log)
        plays[f"/workflows/run/{run}"] = answer(200, recorded["run-detail"].body)
        look_up(ids, "api:x", door, {}, told.append)
        until(lambda: told)
    assert not ids.wanted("api:x")
    assert [ids.to_tell("api:x")] == told


def test_it_is_told_at_first_and_then_now_and_then() -> None:
    """Calls that went out while nobody knew tell it too; another key is another matter."""
    clock = Clock()
    ids = AppIds(clock)
    assert ids.wanted("api:x")
    assert ids.to_tell("api:x") is None
    ids.learn("api:x", APP_ID)
    assert not ids.wanted("api:x")

    assert [ids.to_tell("api:x"), ids.to_tell("api:x"), ids.to_tell("api:y")] == [APP_ID, APP_ID, None]
    clock.now = FRESH_S + 1
    assert ids.to_tell("api:x") is None
    clock.now = FRESH_S + TOLD_S
    assert [ids.to_tell("api:x"), ids.to_tell("api:x")] == [APP_ID, None]


def test_a_dify_that_does_not_tell_is_not_asked_again() -> None:
    """One without the endpoint, or behind a gateway that closes it."""
    ids = AppIds()
    with Server({}).running() as server:
        look_up(ids, "api:x", Door("market", server.url, KEY, Connections()), {}, lambda _: None)
        until(lambda: not ids.wanted("api:x"))
    assert ids.to_tell("api:x") is None
