"""What an operator finds in the log: who was refused, which runs open and close, each request; and never a token."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sidecar.edge.requestlog import MOST_ADDRESSES, REFUSALS_S, Refusals
from sidecar.edge.shortcut import SHORTCUT
from sidecar.errors import SidecarError
from sidecar.health import product_version

type Ask = Callable[..., Any]

RUN, OWNER = "a" * 32, "b" * 32
OPENING = {"run_key": "k", "fingerprint": "f" * 64, "trace_id": "trace-7", "steps": []}
OPEN = {"run_id": RUN, "owner": OWNER, "open": OPENING}
CLOSE = {"run_id": RUN, "owner": OWNER, "epoch": 1, "close": {"status": "succeeded", "answer": ""}}


def told(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """Return what was logged under a name."""
    return [vars(record) | {"text": record.getMessage()} for record in caplog.records if record.name == name]


def test_who_is_refused_is_told_with_the_address_and_without_the_token(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, however often it happens at once."""
    for _ in range(20):
        client.get("/v1/about", headers={"Authorization": "Bearer hush-hush-hush-hush"})

    (line,) = told(caplog, "sidecar.requests")
    assert (line["levelname"], line["peer"], line["status"], line["times"]) == ("WARNING", "127.0.0.1", 401, 1)
    assert "hush" not in str(line)


def test_a_writer_who_may_not_is_told_with_its_tenant(ask: Ask, tenant: str, caplog: pytest.LogCaptureFixture) -> None:
    """403."""
    ask("PUT", "/v1/traces/t/state/b/k", {"writer": "a", "value": "hush"})

    (line,) = told(caplog, "sidecar.requests")
    assert (line["status"], line["tenant"]) == (403, tenant)
    assert "hush" not in str(line)


def test_an_address_is_told_again_after_a_minute_with_how_often(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And addresses without end take neither memory nor lines without end."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    refusals, error = Refusals(), SidecarError("no")
    error.status, error.title = 401, "Token needed"

    def refuse(address: str) -> None:
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            refusals.tell(error)

    for _ in range(5):
        refuse("10.0.0.1")
    now[0] += REFUSALS_S + 1
    refuse("10.0.0.1")
    assert [line["times"] for line in told(caplog, "sidecar.requests")] == [1, 5]

    caplog.clear()
    for number in range(2 * MOST_ADDRESSES):
        refuse(f"address-{number}")
    assert len(refusals._told_s) == MOST_ADDRESSES + 1
    assert len(told(caplog, "sidecar.requests")) == MOST_ADDRESSES
    assert told(caplog, "sidecar.requests")[-1]["peer"] == "many"


def test_each_request_is_a_line_at_level_debug_by_either_way(
    app: Flask, ask: Ask, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the path of the endpoint, not the one that was sent: that may hold anything."""
    with caplog.at_level(logging.DEBUG, "sidecar.requests"):
        ask("GET", "/v1/traces/trace-1/state/hush/hush")
        ask("GET", "/v1/hush")
        ask("GET", "/v1/runs", headers={"X-Trace-Id": "trace-2"})
        body = b'{"run_id":"%s","owner":"%s","epoch":1}' % (RUN.encode(), OWNER.encode())
        app.extensions[SHORTCUT]("Bearer token-of-the-tenant", body)
    lines = told(caplog, "sidecar.requests")

    assert [(line["method"], line["path"], line["status"], line["trace_id"]) for line in lines] == [
        ("GET", "/v1/traces/{trace_id}/state/{namespace}/{key}", 404, "trace-1"),
        ("GET", "no such path", 404, ""),
        ("GET", "/v1/runs", 200, "trace-2"),
        ("POST", "/v1/exchange", 404, ""),
    ]
    assert all(line["tenant"] == tenant and line["ms"] >= 0 for line in lines)
    assert "hush" not in str(lines)


def test_runs_are_told_as_they_open_are_taken_up_and_close(
    ask: Ask, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By who runs them; nothing between, and nothing at level warning."""
    assert ask("POST", "/v1/exchange", OPEN).status_code == 200
    assert told(caplog, "sidecar.runs") == []
    with caplog.at_level(logging.INFO, "sidecar.runs"):
        ask("POST", "/v1/exchange", OPEN)
        ask("POST", "/v1/exchange", {"run_id": RUN, "owner": OWNER, "epoch": 1})
        ask("POST", "/v1/exchange", OPEN | {"run_id": "c" * 32, "owner": "d" * 32})
        ask("POST", "/v1/exchange", CLOSE)
    lines = told(caplog, "sidecar.runs")

    assert [line["text"] for line in lines] == [f"Run {RUN} was opened.", f"Run {RUN} was closed: succeeded."]
    assert all((line["tenant"], line["run_id"]) == (tenant, RUN) for line in lines)
    assert lines[0]["trace_id"] == "trace-7"


def test_the_version_is_told() -> None:
    """`python -m sidecar --version`, which starts nothing."""
    said = subprocess.run(
        [sys.executable, "-m", "sidecar", "--version"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == f"ensemble {product_version()}\n"
