"""The tracer over a real store, and a collector that behaves as collectors do: what arrives, and what is lost, and said."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunParams
from ensemble.contract.tracing import attempt_span, run_span
from ensemble.rules.records import Defaults
from ensemble.rules.runs.opening import OPEN_TTL_MS
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.store.connection import Client
from sidecar.store.keys import full_key, kind_of
from sidecar.store.store import Store
from sidecar.traces import collector as sending
from sidecar.traces import tracer as tracing
from sidecar.traces.collector import Collector as Sender
from sidecar.traces.otlp import Packer
from sidecar.traces.target import read_endpoint
from sidecar.traces.tracer import Tracer
from tests.sidecar.traces.engine import Engine
from tests.standin.collector import Collector, Conduct, Seen, collector

LEASE_MS = 300
PATIENCE_S = 0.6
AT_ONCE_S = 1.0
"""Less than any collector here takes that lets others wait."""


class Ledger:
    """Runs in a real store, and a tracer that listens."""

    def __init__(self, redis: Client, tenant: str, endpoint: str) -> None:
        self.tracer = Tracer(Store(redis), Sender(read_endpoint(endpoint), {}), Packer("1.2.3"), patience_s=PATIENCE_S)
        self.store = Store(redis, (self.tracer,))
        self.runs = Runs(self.store, Defaults(lease_ms=LEASE_MS))
        self.tenant = tenant

    def engine(self, run_key: str = "") -> Engine:
        """Return a new one."""
        return Engine(partial(self.runs.exchange, self.tenant), run_key)

    def sweep(self) -> None:
        """Sweep until an engine is lost."""
        while not Sweeper(self.store, [self.tenant], LEASE_MS).sweep():
            time.sleep(0.02)


type Make = Callable[[str], Ledger]


@pytest.fixture
def traces() -> Iterator[Collector]:
    """A collector."""
    with collector() as running:
        yield running


@pytest.fixture
def make(redis: Client, tenant: str) -> Iterator[Make]:
    """Make a ledger whose tracer tells the collector at an address."""
    made: list[Ledger] = []

    def one(endpoint: str) -> Ledger:
        made.append(Ledger(redis, tenant, endpoint))
        made[-1].tracer.start()
        return made[-1]

    yield one
    for each in made:
        each.tracer.close(5.0)


@pytest.fixture
def ledger(make: Make, traces: Collector) -> Ledger:
    """One that tells the collector."""
    return make(traces.url)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says of traces."""
    return [record.getMessage() for record in caplog.records if record.name == "sidecar.traces"]


def wait_for(caplog: pytest.LogCaptureFixture) -> str:
    """Return the only line of the log, once it is there."""
    until = time.monotonic() + 20
    while not lines(caplog):
        assert time.monotonic() < until
        time.sleep(0.02)
    (line,) = lines(caplog)
    return line


def roots(spans: list[Seen]) -> list[Seen]:
    """Return those of runs."""
    return [each for each in spans if each.name.startswith("run ")]


def test_a_collector_that_is_not_there_costs_traces_and_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log tells, of what is lost within a minute after it another one: here at the end."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    ledger = make(f"http://127.0.0.1:{port}")

    began = time.monotonic()
    for _ in range(5):
        ledger.engine().run("one")
    took_s = time.monotonic() - began
    ledger.tracer.close(5.0)

    assert took_s < AT_ONCE_S
    assert [line.partition("no answer ")[2] for line in lines(caplog)] == ["(nobody) (3).", "(nobody) (12)."]
    assert ledger.tracer.losses.total == 15


def test_a_slow_collector_makes_nobody_wait(ledger: Ledger, traces: Collector) -> None:
    """Runs go on at their pace; the traces come when they can."""
    traces.conduct = lambda _: Conduct(delay_s=0.5)

    began = time.monotonic()
    for _ in range(5):
        ledger.engine().run("one")

    assert time.monotonic() - began < AT_ONCE_S
    traces.wait(lambda seen: len(roots(seen)) == 5)


def test_a_collector_that_never_answers_is_left(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent whole may have been taken, so it is not sent again."""
    monkeypatch.setattr(sending, "TRY_S", 0.3)
    traces.conduct = lambda number: Conduct(delay_s=1.5 if number == 0 else 0.0)

    ledger.engine().run("one")

    assert "no answer (silence)" in wait_for(caplog)
    assert len(traces.posted) == 1


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "HTTP 400"),
        (401, "ENSEMBLE_OTLP_HEADERS"),
        (404, "ENSEMBLE_OTLP_ENDPOINT"),
        (413, "HTTP 413"),
        (500, "HTTP 500"),
        (302, "HTTP 302"),
    ],
)
def test_what_a_collector_does_not_take_is_not_sent_again(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture, status: int, hint: str
) -> None:
    """The next run has its own chance."""
    traces.conduct = lambda number: Conduct(status=status if number == 0 else 200)

    lost = ledger.engine().run("one")
    line = wait_for(caplog)
    told = ledger.engine().run("one")

    traces.wait(lambda _: traces.of(told))
    assert hint in line
    assert "(3)" in line
    assert (traces.of(lost), len(traces.posted)) == ([], 2)


@pytest.mark.parametrize("after", ["1", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", ""])
@pytest.mark.parametrize("status", [429, 503])
def test_a_collector_that_asks_for_time_is_given_it(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture, status: int, after: str
) -> None:
    """By OTLP's word such a request may come again."""
    busy = Conduct(status=status, headers={"Retry-After": after})
    traces.conduct = lambda number: busy if number == 0 else Conduct()

    began = time.monotonic()
    run = ledger.engine().run("one")
    traces.wait(lambda _: traces.of(run))

    assert time.monotonic() - began > (0.95 if after == "1" else 0.45)
    assert [post.status for post in traces.posted] == [status, 200]
    assert lines(caplog) == []


def test_a_collector_that_always_asks_for_time_is_left_in_the_end(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """After three tries."""
    traces.conduct = lambda _: Conduct(status=503)

    ledger.engine().run("one")

    assert "HTTP 503" in wait_for(caplog)
    assert len(traces.posted) == 3


def test_what_a_collector_takes_in_part_is_counted_as_that(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """It says how many it refused, and wants no second try."""
    traces.conduct = lambda _: Conduct(rejects=2)

    ledger.engine().run("one")

    assert "Spans that the collector has refused (2)" in wait_for(caplog)
    assert len(traces.posted) == 1


def test_a_lost_engine_is_told_of_once_it_has_not_come_back(ledger: Ledger, traces: Collector) -> None:
    """Its heir, if there is one, is another tree of the same trace."""
    engine = ledger.engine("the same")
    (ask,) = engine.open("one")
    ledger.sweep()
    noticed = time.monotonic()

    lost = traces.wait(lambda seen: len(seen) >= 3)
    assert time.monotonic() - noticed > PATIENCE_S - 0.1
    heir = ledger.engine("the same")
    heir.close(heir.open("one"))
    spans = traces.wait(lambda seen: len(seen) >= 6)

    first, second = roots(spans)
    assert [each.error for each in lost] == ["engine_lost", "", "uncertain"]
    assert lost[2].span_id == attempt_span(ask.ticket)
    assert (first.span_id, second.span_id) == (run_span(engine.run_id, 1), run_span(engine.run_id, 2))
    assert second.links == ((first.trace_id, first.span_id),)
    assert heir.run_id == engine.run_id


def test_an_engine_whose_run_was_taken_over_does_not_come_back(ledger: Ledger, traces: Collector) -> None:
    """So that is told at once."""
    engine = ledger.engine("the same")
    engine.open("one")
    time.sleep(LEASE_MS / 1000)
    began = time.monotonic()
    ledger.engine("the same").open("one")

    (root,) = roots(traces.wait(lambda seen: len(seen) >= 3))

    assert time.monotonic() - began < PATIENCE_S
    assert (root.error, root.span_id) == ("engine_lost", run_span(engine.run_id, 1))


def test_an_engine_that_comes_back_is_not_told_of_as_lost(ledger: Ledger, traces: Collector) -> None:
    """It was only not heard of for a while."""
    engine = ledger.engine()
    asks = engine.open("one")
    ledger.sweep()
    engine.say(holding=(asks[0].ticket,))
    engine.close(asks)

    spans = traces.wait(lambda seen: len(seen) >= 3)
    ledger.tracer.close(5.0)

    assert [each.error for each in spans] == ["", "", ""]
    assert len(traces.spans) == 3


def test_an_engine_that_comes_back_too_late_is_not_told_of_twice(ledger: Ledger, traces: Collector) -> None:
    """The trace stays as it was told: lost."""
    engine = ledger.engine()
    asks = engine.open("one")
    ledger.sweep()
    traces.wait(lambda seen: len(seen) >= 3)

    engine.close(asks)
    ledger.tracer.close(5.0)

    assert len(traces.spans) == 3


def test_a_run_cancelled_from_outside_is_told_of_when_its_engine_has_closed_it(
    ledger: Ledger, traces: Collector
) -> None:
    """As cancelled, which is no error."""
    engine = ledger.engine()
    asks = engine.open("one")
    ledger.runs.cancel(ledger.tenant, RunParams(run_id=engine.run_id))
    time.sleep(0.1)
    assert traces.spans == []

    engine.close(asks, RunStatus.CANCELLED)

    (root,) = roots(traces.wait(lambda seen: len(seen) >= 3))
    assert (root.attributes["ensemble.run.status"], root.error) == ("cancelled", "")


def test_a_run_cancelled_while_nobody_ran_it_is_told_of_once(ledger: Ledger, traces: Collector) -> None:
    """It was lost and closed in the same moment."""
    engine = ledger.engine()
    engine.open("one")
    time.sleep(LEASE_MS / 1000)
    ledger.runs.cancel(ledger.tenant, RunParams(run_id=engine.run_id))
    ledger.tracer.close(5.0)

    assert [each.error for each in traces.spans] == ["", "", "uncertain"]


def test_a_long_run_goes_in_pieces_that_any_collector_takes(ledger: Ledger, traces: Collector) -> None:
    """Two thousand steps, whose names are as long as names may be."""
    run = ledger.engine().run(*(f"{'步骤' * 30}{number}" for number in range(2_000)))

    spans = traces.wait(lambda _: len(traces.of(run)) >= 4_001)
    assert len({each.span_id for each in spans}) == len(spans) == 4_001
    assert len(traces.posted) > 4
    assert max(post.size for post in traces.posted) < 2**20


def test_what_does_not_fit_into_the_queue_is_lost_and_counted(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a place in it."""
    monkeypatch.setattr(tracing, "MOST_NOTES", 2)
    traces.conduct = lambda _: Conduct(delay_s=0.5)

    for _ in range(6):
        ledger.engine().run("one")

    assert "Runs, while too many waited to be told of (1)" in wait_for(caplog)
    ledger.tracer.close(5.0)
    assert len(roots(traces.spans)) + ledger.tracer.losses.total == 6
    assert len(roots(traces.spans)) <= 3


def test_a_run_whose_record_is_gone_has_no_trace(ledger: Ledger, traces: Collector, redis: Any) -> None:
    """An engine was lost, and so was the run: there is nothing to tell of."""
    engine = ledger.engine()
    engine.open("one")
    ledger.sweep()
    redis.delete(*redis.keys(f"ens:{{{ledger.tenant}}}:run:*"))
    ledger.tracer.close(5.0)

    assert (traces.posted, ledger.tracer.losses.total) == ([], 0)


def test_a_record_that_nobody_understands_does_not_stop_the_thread(
    ledger: Ledger, traces: Collector, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of in the log, and the next run as ever."""
    engine = ledger.engine()
    engine.open("one")
    ledger.sweep()
    redis.hset(f"ens:{{{ledger.tenant}}}:run:{engine.run_id}", "step:one", "1\nwhat")

    run = ledger.engine().run("one")
    traces.wait(lambda _: traces.of(run))
    ledger.tracer.close(5.0)

    assert ledger.tracer.losses.total == 1
    assert "Runs whose record the store does not give (1)" in wait_for(caplog)
    assert [each for each in caplog.records if each.exc_info and "can't be understood" in each.getMessage()]
    assert traces.of(engine.run_id) == []


def test_closing_waits_no_longer_than_it_is_told(
    ledger: Ledger, traces: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """The process ends; what was not told by then is lost, and said to be."""
    traces.conduct = lambda _: Conduct(delay_s=3.0)
    engine = ledger.engine()
    engine.open("one")
    ledger.sweep()
    for _ in range(3):
        ledger.engine().run("one")
    while not traces.posted:
        time.sleep(0.01)
    began = time.monotonic()

    ledger.tracer.close(0.2)

    assert time.monotonic() - began < 1.0
    assert wait_for(caplog).endswith("Runs, since the sidecar was stopped (3).")


def test_the_key_that_says_who_tells_is_kept_as_long_as_an_open_run(
    ledger: Ledger, traces: Collector, redis: Any
) -> None:
    """And is of the type its name says."""
    run = ledger.engine().run("one")
    traces.wait(lambda _: traces.of(run))

    key = full_key(ledger.tenant, f"traced:{run}:1")
    assert redis.type(key) == kind_of(key)
    assert 0 < redis.pttl(key) <= OPEN_TTL_MS
