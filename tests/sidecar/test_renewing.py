"""Tokens that are changed while the sidecar runs: it reads them again, and new processes take over from the old ones."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.sidecar.launched import PATIENCE_S, Sidecar, Start

OLD, NEW, OTHER = "first-secret-token-1", "second-secret-token", "third-secret-token-"


def told(sidecar: Sidecar, token: str, method: str = "GET", path: str = "/v1/runs", body: str | None = None) -> Any:
    """Ask with this token, on a connection of its own."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib3.PoolManager(headers=headers, retries=False, timeout=PATIENCE_S) as pool:
        return pool.request(method, sidecar.url + path, body=body)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, and still does a few times over: two processes serve."""
    deadline, times = time.monotonic() + PATIENCE_S, 0
    while times < 10:
        times = times + 1 if holds() else 0
        assert time.monotonic() < deadline


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with one token."""
    path = tmp_path / "secret"
    path.write_text(f"one={OLD}\n")
    return path


def test_a_token_is_changed_without_a_restart(start: Start, secret: Path) -> None:
    """At a SIGHUP; who waits meanwhile is answered in the end, and the processes of before are gone."""
    sidecar = start(ENSEMBLE_TOKENS_FILE=str(secret), ENSEMBLE_LOG_LEVEL="info")
    until(lambda: len(sidecar.children()) == 3)  # two that serve, and the store
    before = sidecar.children()
    assert told(sidecar, NEW).status == 401
    box = "/v1/traces/t/mailboxes/a"
    told(sidecar, OLD, "PUT", box, "{}")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(told, sidecar, OLD, "POST", f"{box}/deliveries", '{"wait_ms": 3000}')
        time.sleep(1)  # by then it waits: else it would be refused below, by a process that knows its token no more

        secret.write_text(f"one={NEW}\ntwo={OTHER}\n")
        sidecar.process.send_signal(signal.SIGHUP)

        until(lambda: [told(sidecar, token).status for token in (OLD, NEW, OTHER)] == [401, 200, 200])
        assert (waiting.result().status, waiting.result().json()) == (200, {"deliveries": []})
    store = {sidecar.store_pid()}
    until(lambda: before & sidecar.children() == store)
    status, logged = sidecar.end()
    assert status == 0
    assert "read anew, of the tenants one, two" in logged
    assert "secret-token" not in logged


def test_nobody_is_left_without_an_answer_while_processes_are_replaced(start: Start, secret: Path) -> None:
    """Whenever a connection comes: also just before a process is told to stop."""
    sidecar = start(ENSEMBLE_TOKENS_FILE=str(secret))
    over = threading.Event()

    def ask() -> set[int]:
        seen = set[int]()
        while not over.is_set():
            seen.add(told(sidecar, OLD).status)
        return seen

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(3):
            sidecar.process.send_signal(signal.SIGHUP)
            time.sleep(1)
        over.set()
        assert [each.result() for each in asking] == [{200}] * 4


@pytest.mark.parametrize("text", ["one", "one=short", ""])
def test_tokens_that_can_not_be_used_leave_those_that_hold(start: Start, secret: Path, text: str) -> None:
    """The log says what is wrong, and nothing is ended for it."""
    sidecar = start(ENSEMBLE_TOKENS_FILE=str(secret), ENSEMBLE_LOG_LEVEL="warning")
    until(lambda: len(sidecar.children()) == 3)  # two that serve, and the store
    before = sidecar.children()

    secret.write_text(text)
    sidecar.process.send_signal(signal.SIGHUP)

    assert sidecar.process.stderr is not None
    said = sidecar.process.stderr.readline()
    assert "were not read anew, and those in use stay. ENSEMBLE_TOKENS_FILE:" in said
    assert told(sidecar, OLD).status == 200
    assert sidecar.children() == before
