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


class Leaving(Sidecar):
    """A sidecar that is away for its second ask."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Exchange] = []

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        self.asked.append(ask)
        if len(self.asked) == 2:
            raise SidecarUnavailable("away")
        return super().exchange(ask)


def late(number: int, answer: str = "") -> Exchange:
    """Return one run to hand in."""
    run_id = f"{number:032x}"
    opening = OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id="t", steps=())
    return Exchange(
        run_id=run_id, owner="a" * 32, open=opening, close=CloseRun(status=RunStatus.SUCCEEDED, answer=answer)
    )


def parts(number: int, many: int) -> tuple[Exchange, ...]:
    """Return one run to hand in in *many* parts."""
    whole = late(number)
    assert whole.open is not None
    opening = whole.open.model_copy(update={"afterwards": True})
    before = [Exchange(run_id=whole.run_id, owner=whole.owner, open=opening) for _ in range(many - 1)]
    return (*before, whole)


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
        outbox.put(sidecar, (late(number),))
    until_empty(outbox)

    assert sorted(sidecar.taken) == [f"{number:032x}" for number in range(3)]
    assert outbox.given_up == 0


def test_an_absent_sidecar_holds_up_nobody_else() -> None:
    outbox, away, there = Outbox(), Sidecar(*[SidecarUnavailable("away")] * 1000), Sidecar()
    outbox.put(away, (late(1),))
    outbox.put(there, (late(2),))
    with gevent.Timeout(5):
        while not there.taken:
            gevent.sleep(0.001)

    assert (outbox.waiting, away.taken) == (1, [])


def test_a_run_in_parts_is_sent_again_from_its_first_part() -> None:
    """A sidecar that was away may have lost the last second of what its store had taken."""
    outbox, sidecar = Outbox(), Leaving()
    outbox.put(sidecar, parts(1, 3))
    until_empty(outbox)

    assert [ask.close is not None for ask in sidecar.asked] == [False, False, False, False, True]
    assert sidecar.asked[0] == sidecar.asked[2]
    assert sidecar.run(f"{1:032x}").status is RunStatus.SUCCEEDED


def test_a_run_that_is_larger_than_all_that_may_wait_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it is the newest."""
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    outbox, sidecar = Outbox(), Sidecar(SidecarUnavailable("away"))
    outbox.put(sidecar, (late(1, "x" * 3_000),))
    until_empty(outbox)

    assert (outbox.given_up, sidecar.taken) == (0, [f"{1:032x}"])


def test_what_is_refused_is_given_up_and_counted() -> None:
    outbox, sidecar = Outbox(), Sidecar(SidecarRefused("no"), RuntimeError("odd"))
    for number in range(3):
        outbox.put(sidecar, (late(number),))
    until_empty(outbox)

    assert (outbox.given_up, len(sidecar.taken)) == (2, 1)


def test_the_oldest_goes_where_too_many_or_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    outbox, sidecar = Outbox(), Sidecar(SidecarUnavailable("away"))
    for number in range(3):
        outbox.put(sidecar, (late(number),))
    until_empty(outbox)
    assert (outbox.given_up, sorted(sidecar.taken)) == (1, [f"{1:032x}", f"{2:032x}"])

    monkeypatch.setattr(module, "MOST_BYTES", 4_000)
    sidecar.errors = [SidecarUnavailable("away")]
    outbox.put(sidecar, (late(7, "x" * 3_000),))
    outbox.put(sidecar, (late(8, "x" * 3_000),))
    until_empty(outbox)
    assert (outbox.given_up, sidecar.taken[-1]) == (2, f"{8:032x}")
