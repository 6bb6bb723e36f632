"""What waits for an absent sidecar is handed in when it is back, within bounds, and nobody waits for it."""

from __future__ import annotations

import gevent
import pytest

from ensemble.client import outbox as module
from ensemble.client.outbox import Outbox
from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer, OpenRun
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunView
from ensemble.engine.ledger.book import Book
from plugin.errors import SidecarRefused, SidecarUnavailable


class Sidecar:
    """A sidecar that is away for its first asks."""

    durable = True

    def __init__(self, *errors: Exception) -> None:
        self.book = Book()
        self.errors = list(errors)
        self.taken: list[str] = []

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(ask.run_id)
        return self.book.exchange(ask)

    def run(self, run_id: str) -> RunView:
        return self.book.run(run_id)

    def cached(self, key: str) -> CacheView:
        return self.book.cached(key)


def late(number: int, answer: str = "") -> Exchange:
    """Return one run to hand in."""
    run_id = f"{number:032x}"
    opening = OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id="t", steps=())
    return Exchange(
        run_id=run_id, owner="a" * 32, open=opening, close=CloseRun(status=RunStatus.SUCCEEDED, answer=answer)
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)


def until_empty(outbox: Outbox) -> None:
    """Let the outbox work."""
    with gevent.Timeout(5):
        while outbox.waiting:
            gevent.sleep(0.001)


def test_everything_is_handed_in_once_the_sidecar_is_back() -> None:
    outbox, sidecar = Outbox(), Sidecar(*[SidecarUnavailable("away")] * 5)
    for number in range(3):
        outbox.put(sidecar, late(number))
    until_empty(outbox)

    assert sorted(sidecar.taken) == [f"{number:032x}" for number in range(3)]
    assert outbox.given_up == 0


def test_an_absent_sidecar_holds_up_nobody_else() -> None:
    outbox, away, there = Outbox(), Sidecar(*[SidecarUnavailable("away")] * 1000), Sidecar()
    outbox.put(away, late(1))
    outbox.put(there, late(2))
    with gevent.Timeout(5):
        while not there.taken:
            gevent.sleep(0.001)

    assert (outbox.waiting, away.taken) == (1, [])


def test_what_is_refused_is_given_up_and_counted() -> None:
    outbox, sidecar = Outbox(), Sidecar(SidecarRefused("no"), RuntimeError("odd"))
    for number in range(3):
        outbox.put(sidecar, late(number))
    until_empty(outbox)

    assert (outbox.given_up, len(sidecar.taken)) == (2, 1)


def test_the_oldest_goes_where_too_many_or_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    outbox, sidecar = Outbox(), Sidecar(SidecarUnavailable("away"))
    for number in range(3):
        outbox.put(sidecar, late(number))
    until_empty(outbox)
    assert (outbox.given_up, sorted(sidecar.taken)) == (1, [f"{1:032x}", f"{2:032x}"])

    monkeypatch.setattr(module, "MOST_BYTES", 4_000)
    sidecar.errors = [SidecarUnavailable("away")]
    outbox.put(sidecar, late(7, "x" * 3_000))
    outbox.put(sidecar, late(8, "x" * 3_000))
    until_empty(outbox)
    assert (outbox.given_up, sidecar.taken[-1]) == (2, f"{8:032x}")
