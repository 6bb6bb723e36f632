"""Metrics of a real sidecar: one page for all its workers, whichever of them answers, and whoever of them was killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3

from benchmarks.scripted import bodies
from sidecar.launch.embedded import EmbeddedStore
from tests.processes import store_of, until, workers_of
from tests.sidecar.metrics.reading import Told
from tests.standin.world import SidecarProcess

SECRET = "token-of-prometheus"
PATIENCE_S = 20


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[SidecarProcess]:
    """A sidecar of two workers, with a store of its own."""
    with SidecarProcess(tmp_path / "data", env={"ENSEMBLE_METRICS_TOKEN": SECRET, "ENSEMBLE_WORKERS": "2"}) as process:
        yield process


def scrape(sidecar: SidecarProcess) -> Told:
    """Read the metrics on a connection of its own, so by either worker."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    with urllib3.PoolManager() as pool:
        said = pool.request("GET", f"{sidecar.url}/metrics", headers=headers, retries=False, timeout=PATIENCE_S)
    assert said.status == 200, said.data
    return Told(said.data.decode())


def run_exchanges(sidecar: SidecarProcess, engines: range, exchanges: int) -> None:
    """Let *engines* send so many exchanges each, all at once; each a run of five exchanges after the other."""
    failures: list[Any] = []

    def engine(number: int) -> None:
        headers = {"Authorization": f"Bearer {sidecar.token}", "Content-Type": "application/json"}
        stream = bodies(number)
        with urllib3.PoolManager(headers=headers) as pool:
            for _ in range(exchanges):
                said = pool.request("POST", f"{sidecar.url}/v1/exchange", body=next(stream), retries=False)
                if said.status != 200:
                    failures.append(said.data)

    threads = [threading.Thread(target=engine, args=(number,)) for number in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_all_workers_did_is_added_up_and_outlives_them(sidecar: SidecarProcess) -> None:
    """The short way included; both workers are killed, the new ones go on; what was in hand is gone with the old ones."""
    run_exchanges(sidecar, range(8), 25)
    before = scrape(sidecar)
    assert before.sum("ensemble_requests_total", endpoint="exchange", status="200", tenant="default") == 200
    assert before.sum("ensemble_request_duration_seconds_count", endpoint="exchange") == 200
    assert before.sum("ensemble_runs_opened_total", tenant="default") == 40
    assert before.sum("ensemble_runs_closed_total", tenant="default", status="succeeded") == 40
    assert before.sum("ensemble_attempts_settled_total", outcome="succeeded") == 160
    assert before.sum("ensemble_worker_starts_total") == 2

    old = workers_of(sidecar.pid)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(sidecar.pid) - old) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run_exchanges(sidecar, range(8, 12), 25)

    after = scrape(sidecar)
    assert after.sum("ensemble_requests_total", endpoint="exchange", status="200") == 300
    assert after.sum("ensemble_runs_closed_total", status="succeeded") == 60
    assert after.sum("ensemble_attempts_settled_total", outcome="succeeded") == 240
    assert after.sum("ensemble_worker_starts_total") == 4
    assert after.sum("ensemble_metrics_overflow_total") == 0
    assert after.sum("ensemble_requests_waiting") == 0
    deadline = time.monotonic() + PATIENCE_S
    while scrape(sidecar).sum("ensemble_requests_in_hand") != 1:  # the scrape itself; connections end a moment later
        assert time.monotonic() < deadline


def test_workers_killed_at_work_never_let_it_count_too_much(sidecar: SidecarProcess) -> None:
    """Whoever is killed between writing and counting counts that much less; what is sent again counts once."""
    engines, exchanges, kills = 4, 100, 4
    at_work = [threading.Event() for _ in range(engines)]
    finished: list[int] = []

    def engine(number: int) -> None:
        headers = {"Authorization": f"Bearer {sidecar.token}", "Content-Type": "application/json"}
        stream = bodies(number)
        with urllib3.PoolManager(headers=headers) as pool:
            for sent in range(exchanges):
                body = next(stream)
                deadline = time.monotonic() + PATIENCE_S
                while not _taken(pool, f"{sidecar.url}/v1/exchange", body):
                    assert time.monotonic() < deadline
                if sent == exchanges // 10:
                    at_work[number].set()
        finished.append(number)

    threads = [threading.Thread(target=engine, args=(number,)) for number in range(engines)]
    for thread in threads:
        thread.start()
    for each in at_work:
        assert each.wait(PATIENCE_S)
    for _ in range(kills):
        until(lambda: workers_of(sidecar.pid) != set(), "a worker to kill")
        os.kill(min(workers_of(sidecar.pid)), signal.SIGKILL)
        time.sleep(0.1)  # something has to be done between
    for thread in threads:
        thread.join()
    assert len(finished) == engines

    seen = scrape(sidecar)
    runs, attempts = engines * exchanges // 5, engines * exchanges // 5 * 4
    in_flight = engines * kills
    assert seen.sum("ensemble_worker_starts_total") > 2
    for name, truth in (
        ("ensemble_runs_opened_total", runs),
        ("ensemble_runs_closed_total", runs),
        ("ensemble_attempts_admitted_total", attempts),
        ("ensemble_attempts_settled_total", attempts),
    ):
        assert truth - in_flight <= seen.sum(name) <= truth


def _taken(pool: urllib3.PoolManager, url: str, body: bytes) -> bool:
    """Send an exchange; say whether it was answered."""
    try:
        return pool.request("POST", url, body=body, retries=False, timeout=PATIENCE_S).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_a_store_that_is_away_is_told_within_its_timeouts_and_again_once_it_is_back(sidecar: SidecarProcess) -> None:
    """What was counted is told all the time."""
    run_exchanges(sidecar, range(2), 5)
    store = store_of(sidecar.pid)
    os.kill(store, signal.SIGSTOP)
    began_s = time.monotonic()
    away = scrape(sidecar)
    took_s = time.monotonic() - began_s
    os.kill(store, signal.SIGCONT)

    assert took_s < 5
    assert away.sum("ensemble_store_up") == 0
    assert away.sum("ensemble_runs_closed_total") == 2
    assert away.each("ensemble_runs_open") == {}
    deadline = time.monotonic() + PATIENCE_S
    while scrape(sidecar).sum("ensemble_store_up") == 0:
        assert time.monotonic() < deadline
    assert scrape(sidecar).each("ensemble_runs_open") != {}


def test_many_replacements_at_a_time_set_no_counter_back(tmp_path: Path) -> None:
    """Processes that still have requests under way live on beside those that took over; one too many counts nowhere."""
    env = {"ENSEMBLE_METRICS_TOKEN": SECRET, "ENSEMBLE_WORKERS": "1"}
    with SidecarProcess(tmp_path / "data", env=env) as sidecar, ThreadPoolExecutor() as pool:
        for generation in range(1, 5):
            pool.submit(_wait_for_mail, sidecar)
            deadline = time.monotonic() + PATIENCE_S
            while (seen := scrape(sidecar)).sum("ensemble_requests_in_hand") < generation + 1:
                assert time.monotonic() < deadline
            assert seen.sum("ensemble_worker_starts_total") == generation
            before = workers_of(sidecar.pid)
            os.kill(sidecar.pid, signal.SIGHUP)
            while not workers_of(sidecar.pid) - before:
                assert time.monotonic() < deadline
            time.sleep(1)  # by then the old one accepts nothing any more

        assert len(workers_of(sidecar.pid)) == 5
        seen = scrape(sidecar)
        for pid in workers_of(sidecar.pid):
            os.kill(pid, signal.SIGKILL)
    assert seen.sum("ensemble_worker_starts_total") == 4
    assert seen.sum("ensemble_requests_total", endpoint="metrics") >= 4


def _wait_for_mail(sidecar: SidecarProcess) -> None:
    """Ask for mail that does not come, for as long as can be."""
    headers = {"Authorization": f"Bearer {sidecar.token}", "Content-Type": "application/json"}
    box = f"{sidecar.url}/v1/traces/t/mailboxes/a"
    with urllib3.PoolManager(headers=headers, retries=False) as pool, suppress(urllib3.exceptions.HTTPError):
        pool.request("PUT", box, body="{}")
        pool.request("POST", f"{box}/deliveries", body='{"wait_ms": 20000}')


def test_requests_that_wait_for_a_thread_are_told(tmp_path: Path) -> None:
    """One thread, held by a store that does not answer: whoever is behind the scrape waits when it is answered."""
    env = {"ENSEMBLE_METRICS_TOKEN": SECRET, "ENSEMBLE_WORKERS": "1", "ENSEMBLE_THREADS": "1"}
    with SidecarProcess(tmp_path / "data", env=env) as sidecar, ExitStack() as sockets:
        store = store_of(sidecar.pid)
        os.kill(store, signal.SIGSTOP)

        def send(path: str, token: str) -> socket.socket:
            opened = sockets.enter_context(socket.create_connection(("127.0.0.1", sidecar.port), PATIENCE_S))
            opened.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            return opened

        send("/v1/runs", sidecar.token)
        asked = send("/metrics", SECRET)
        for _ in range(4):
            send("/v1/runs", sidecar.token)
        answer = http.client.HTTPResponse(asked)
        answer.begin()
        seen = Told(answer.read().decode())
        os.kill(store, signal.SIGCONT)

    # The first one is done by then, which its main thread may not have heard yet.
    assert seen.sum("ensemble_requests_waiting") in {4, 5}
    assert seen.sum("ensemble_requests_in_hand") == seen.sum("ensemble_requests_waiting") + 1


def test_sidecars_on_one_store_count_their_own_and_show_the_same_of_the_store(
    tmp_path: Path, valkey: EmbeddedStore
) -> None:
    """Counters may be added up over them; a lost engine is told by the one that saw it."""
    name = f"t-{os.getpid()}-{time.monotonic_ns()}"
    env = {
        "ENSEMBLE_METRICS_TOKEN": SECRET,
        "ENSEMBLE_REDIS_URL": valkey.url,
        "ENSEMBLE_TOKENS": f"{name}=one-token-for-both",
        "ENSEMBLE_LEASE_MS": "1000",
    }
    with (
        SidecarProcess(tmp_path / "one", env=env) as one,
        SidecarProcess(tmp_path / "two", env=env) as two,
    ):
        for each in (one, two):
            each.token = "one-token-for-both"
        run_exchanges(one, range(2), 5)
        run_exchanges(two, range(2, 3), 1)
        assert scrape(one).sum("ensemble_runs_opened_total", tenant=name) == 2
        assert scrape(two).sum("ensemble_runs_opened_total", tenant=name) == 1

        deadline = time.monotonic() + PATIENCE_S
        while not (lost := sum(scrape(each).sum("ensemble_engines_lost_total", tenant=name) for each in (one, two))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pages = [scrape(each) for each in (one, two)]

    assert lost == 1
    assert sum(each.sum("ensemble_attempts_lost_total", tenant=name) for each in pages) == 1
    assert [each.sum("ensemble_runs_open", tenant=name) for each in pages] == [0, 0]


def test_the_token_of_the_first_start_does_not_open_them(tmp_path: Path) -> None:
    """Nor may it be made to: the start says so."""
    with SidecarProcess(tmp_path, env={"ENSEMBLE_TOKENS": "", "ENSEMBLE_METRICS_TOKEN": SECRET}) as sidecar:
        token = (tmp_path / "token").read_text().strip()
        said = urllib3.request("GET", f"{sidecar.url}/metrics", headers={"Authorization": f"Bearer {token}"})
        assert said.status == 401

    env = {**os.environ, "ENSEMBLE_PORT": "0", "ENSEMBLE_DATA_DIR": str(tmp_path), "ENSEMBLE_METRICS_TOKEN": token}
    again = subprocess.run(
        [sys.executable, "-m", "sidecar"], env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert again.returncode == 2
    assert "ENSEMBLE_METRICS_TOKEN" in again.stderr
    assert token not in again.stderr
