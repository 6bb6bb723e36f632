"""A sidecar of two workers that tells a collector, both real: what arrives, and what becomes of the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ensemble.contract.tracing import run_span
from tests.processes import workers_of
from tests.sidecar.traces.engine import Engine, over_http
from tests.standin.collector import Collector, Conduct, Seen, collector
from tests.standin.service_api import ROOT
from tests.standin.world import SidecarProcess

pytestmark = pytest.mark.timeout(60)

LEASE_MS = 1_000
OTHERS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-other=1",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "what",
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,x=y",
    "OTEL_SERVICE_NAME": "other",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_PYTHON_CONTEXT": "of somebody else",
    "OTEL_PROPAGATORS": "of somebody else",
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
    "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}
"""What may stand in an environment that is shared, and is meant for somebody else."""

type Start = Callable[..., SidecarProcess]


@pytest.fixture
def traces() -> Iterator[Collector]:
    """A collector."""
    with collector() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a sidecar that tells the collector it is given."""
    with ExitStack() as stack:

        def begin(endpoint: str, **env: str) -> SidecarProcess:
            known = {"ENSEMBLE_OTLP_ENDPOINT": endpoint, "ENSEMBLE_LEASE_MS": str(LEASE_MS), **OTHERS, **env}
            return stack.enter_context(SidecarProcess(tmp_path / "data", env=known, log=tmp_path / "log"))

        yield begin


def logged(tmp_path: Path, logger: str = "sidecar.traces") -> list[dict[str, Any]]:
    """Return what the log has of *logger*."""
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == logger]


def wait_for_log(tmp_path: Path, logger: str = "sidecar.traces") -> dict[str, Any]:
    """Return the first line of *logger*, once it is there."""
    until = time.monotonic() + 20
    while not (lines := logged(tmp_path, logger)):
        assert time.monotonic() < until
        time.sleep(0.02)
    return lines[0]


def roots(spans: list[Seen]) -> list[Seen]:
    """Return those of runs."""
    return [each for each in spans if each.name.startswith("run ")]


def test_every_run_is_told_of_once_whichever_worker_closed_it(traces: Collector, start: Start) -> None:
    """Every exchange is sent twice, side by side, and the environment is full of somebody else's settings."""
    sidecar = start(traces.url, ENSEMBLE_OTLP_HEADERS="Authorization=Bearer%20key")

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Engine(over_http(sidecar)).run("one", "two"), range(40)))

    spans = traces.wait(lambda seen: len(seen) >= 40 * 5)
    time.sleep(0.3)
    assert len(traces.spans) == 40 * 5
    assert max(Counter(each.span_id for each in spans).values()) == 1
    assert {each.span_id for each in roots(spans)} == {run_span(run, 1) for run in runs}
    told = spans[0].resource
    assert (told["service.name"], set(told)) == ("ensemble-sidecar", {"service.name", "service.version"})
    assert {each.attributes["ensemble.tenant"] for each in spans} == {"default"}
    assert {post.headers["Authorization"] for post in traces.posted} == {"Bearer key"}
    assert not any("x-other" in {name.lower() for name in post.headers} for post in traces.posted)
    calls = [each for each in spans if each.kind == 3]
    assert len(calls) == 80


def test_a_worker_that_is_killed_takes_with_it_what_it_had_not_told(traces: Collector, start: Start) -> None:
    """Nothing of it comes later, nothing comes twice, and the next worker tells of the next run."""
    traces.conduct = lambda number: Conduct(delay_s=1.0 if number == 0 else 0.0)
    sidecar = start(traces.url, ENSEMBLE_WORKERS="1")
    before = [Engine(over_http(sidecar)).run("one") for _ in range(3)]
    workers = workers_of(sidecar.pid)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while workers_of(sidecar.pid) <= workers:
        assert time.monotonic() < until
        time.sleep(0.05)

    after = Engine(over_http(sidecar)).run("one")

    traces.wait(lambda _: traces.of(after))
    time.sleep(1.2)
    assert {each.attributes["ensemble.run.id"] for each in traces.spans} <= {before[0], after}
    assert max(Counter(each.span_id for each in traces.spans).values()) == 1


def test_what_waits_is_told_when_the_sidecar_is_stopped(traces: Collector, start: Start, tmp_path: Path) -> None:
    """Of an engine that is lost too, which might have come back, though a client keeps its connection open."""
    sidecar = start(traces.url, ENSEMBLE_LEASE_MS="4000")
    engine = Engine(over_http(sidecar))
    engine.open("one")
    wait_for_log(tmp_path, "sidecar.sweep")
    assert traces.spans == []

    sidecar.stop()

    assert [each.error for each in traces.spans] == ["engine_lost", "", "uncertain"]


def test_what_can_not_be_told_any_more_when_it_is_stopped_is_in_the_log(
    traces: Collector, start: Start, tmp_path: Path
) -> None:
    """A collector that takes its time holds up no stop, and nothing is lost without a word."""
    traces.conduct = lambda _: Conduct(delay_s=4.0)
    sidecar = start(traces.url, ENSEMBLE_WORKERS="1")
    for _ in range(3):
        Engine(over_http(sidecar)).run("one")
    while not traces.posted:
        time.sleep(0.01)

    began = time.monotonic()
    sidecar.stop()

    assert time.monotonic() - began < 4
    (line,) = logged(tmp_path)
    assert line["message"].endswith("Runs, since the sidecar was stopped (2).")


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, *_):
        theirs = name.startswith(("opentelemetry", "google"))
        if theirs and not any(f"{there}.".startswith(f"{name}.") or f"{name}.".startswith(f"{there}.") for there in sys.argv[1:]):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import sidecar.app, sidecar.launch.launcher, sidecar.launch.server
from sidecar.store.connection import connect
from sidecar.traces.tracing import start_tracing
endpoint = "http://127.0.0.1:9/v1/traces" if sys.argv[1:] else None
tracer = start_tracing(endpoint, None, connect("redis://127.0.0.1:9"), version="1", lease_ms=1)
print(tracer is not None, sorted(name for name in sys.modules if name.startswith("opentelemetry.proto")) != [])
"""
"""Starts what a worker does, on a machine that has nothing of OpenTelemetry's but what begins with the arguments."""


@pytest.mark.parametrize(
    ("there", "told"),
    [((), "False False"), (("opentelemetry.proto", "google"), "True True")],
    ids=["without a collector nothing", "with one the messages"],
)
def test_as_little_of_opentelemetry_is_loaded_as_can_be(there: tuple[str, ...], told: str) -> None:
    """Whatever is set for somebody else. The redis client loads the whole of it where it is installed."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *there],
        cwd=ROOT,
        env=os.environ | OTHERS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.returncode) == (told, 0), done.stderr
