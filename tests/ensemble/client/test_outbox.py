"""The outbox among real threads: nothing is lost, nothing is handed in twice, whoever puts and whenever."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from ensemble.client import outbox as module
from ensemble.client.errors import SidecarUnavailable
from ensemble.client.outbox import Outbox
from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer, OpenRun
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunView
from ensemble.engine.ledger.book import Book


class Flapping:
    """A sidecar that answers every other time."""

    durable = True

    def __init__(self) -> None:
        self.book = Book()
        self.taken: Counter[str] = Counter()
        self._asked = 0
        self._lock = threading.Lock()

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        with self._lock:
            self._asked += 1
            if self._asked % 2:
                raise SidecarUnavailable("away")
            self.taken[ask.run_id] += 1
            return self.book.exchange(ask)

    def run(self, run_id: str) -> RunView:
        return self.book.run(run_id)

    def cached(self, key: str) -> CacheView:
        return self.book.cached(key)


def late(number: int) -> Exchange:
    run_id = f"{number:032x}"
    opening = OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id="t", steps=())
    close = CloseRun(status=RunStatus.SUCCEEDED, answer="")
    return Exchange(run_id=run_id, owner="a" * 32, open=opening, close=close)


def until(holds: threading.Event, what: str) -> None:
    assert holds.wait(20), what


def test_whoever_puts_at_the_same_time_everything_is_handed_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0005)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.001)
    outbox, sidecar = Outbox(), Flapping()
    barrier = threading.Barrier(8)

    def put(first: int) -> None:
        barrier.wait()
        for number in range(first, first + 40):
            outbox.put(sidecar, (late(number),))
            time.sleep(0)

    threads = [threading.Thread(target=put, args=(n * 40,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 20
    while sum(sidecar.taken.values()) < 320 and time.monotonic() < deadline:
        time.sleep(0.005)

    assert [1] * 320 == list(sidecar.taken.values())
    assert (0, 0) == (outbox.waiting, outbox.given_up)


def test_what_comes_just_as_the_last_one_has_gone_does_not_wait_for_ever() -> None:
    """The thread that delivers ends when nothing waits; whoever comes at that moment starts another."""
    outbox = Outbox()

    class There(Flapping):
        def exchange(self, ask: Exchange) -> ExchangeAnswer:
            gone.set()
            return self.book.exchange(ask)

    sidecar = There()
    for number in range(300):
        gone = threading.Event()
        outbox.put(sidecar, (late(number),))
        until(gone, f"run {number} was not handed in")
