"""The engine when its ledger, its lease or its right to run is taken from it."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.exchange import LEASE_MS, Exchange, ExchangeAnswer, Parent
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunView
from ensemble.engine.errors import RunTakenOver
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import LedgerUnavailable
from tests.ensemble.engine.kit import Played, Scripted, chain, good, play, side_by_side, slow, team


class Flaky(Book):
    """A book that can be away, and whose clock can be set forward."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        super().__init__(clock=lambda: time.time_ns() // 1_000_000 + self.ahead_ms)
        self.away = False
        self.asks: list[Exchange] = []

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        if self.away:
            raise LedgerUnavailable("away")
        self.asks.append(ask)
        return super().exchange(ask)

    def run(self, run_id: str) -> RunView:
        if self.away:
            raise LedgerUnavailable("away")
        return super().run(run_id)


def test_an_engine_that_was_taken_over_ends_its_calls_and_books_them() -> None:
    """It learns of it at its next exchange; the heir's run is not touched."""
    book, cancelled = Flaky(), threading.Event()

    def lasting(_call: Call, scope: CallScope) -> Reply:
        scope.on_cancel(cancelled.set)
        cancelled.wait(10)
        return good()

    def meanwhile(_call: Call, _scope: CallScope) -> Reply:
        book.ahead_ms += LEASE_MS
        play(side_by_side("a", "b"), team("a", "b"), ledger=book, run_key="k")
        return good("late")

    agents = {"a": Scripted("a", [lasting]), "b": Scripted("b", [meanwhile])}
    with pytest.raises(RunTakenOver):
        play(side_by_side("a", "b"), agents, ledger=book, run_key="k")

    assert cancelled.is_set()
    view = book.run(book.asks[0].run_id)
    assert view.status is RunStatus.SUCCEEDED
    assert {each.outcome for each in view.attempts if each.epoch == 1} == {Outcome.CANCELLED, Outcome.SUCCEEDED}
    assert (view.budget.tokens_reserved, view.budget.calls_reserved) == (0, 0)
    assert sorted(result.text for result in view.results) == ["echo do it", "echo do it"]


def test_a_cancel_from_outside_ends_the_run_at_its_next_exchange() -> None:
    """Calls that are out are given up and booked, no step starts, the run is closed as cancelled."""
    book = Flaky()

    def cancel(_call: Call, _scope: CallScope) -> Reply:
        book.cancel(book.asks[0].run_id)
        return good()

    agents = {"a": Scripted("a", [cancel]), "b": Scripted("b", [slow(10)]), "c": Scripted("c")}
    plan = {
        "steps": [{"id": "a", "agent": "a"}, {"id": "b", "agent": "b"}, {"id": "c", "agent": "c", "depends_on": ["a"]}]
    }
    played = play(plan, agents, ledger=book)

    assert played.report.status is RunStatus.CANCELLED
    assert played.statuses() == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
    assert agents["c"].calls == []
    view = book.run(played.report.run_id)
    assert (view.status, view.budget.calls_reserved) == (RunStatus.CANCELLED, 0)


def test_a_run_that_begins_inside_a_cancelled_one_calls_nobody() -> None:
    """An app that was still working comes to its team only then."""
    book, agents = Flaky(), {"x": Scripted("x")}
    inner: list[Played] = []

    def app(_call: Call, _scope: CallScope) -> Reply:
        opening = book.asks[0]
        book.cancel(opening.run_id)
        parent = Parent(run_id=opening.run_id, ticket=opening.admit[0].ticket)
        inner.append(play(chain("x"), agents, ledger=book, parent=parent))
        return good()

    play(chain("a"), {"a": Scripted("a", [app])}, ledger=book)

    assert [each.report.status for each in inner] == [RunStatus.CANCELLED]
    assert agents["x"].calls == []


def test_a_follower_waits_out_a_ledger_that_is_away_for_a_moment() -> None:
    """And tells the owner's answer; nothing runs twice."""
    book, started = Flaky(), threading.Event()

    def first(call: Call, scope: CallScope) -> Reply:
        started.set()
        return slow(1.0, good("one"))(call, scope)

    agents = {"a": Scripted("a", [first])}
    answers: list[Played] = []
    owner = threading.Thread(target=lambda: answers.append(play(chain("a"), agents, ledger=book, run_key="k")))
    owner.start()
    started.wait(5)
    blip = [threading.Timer(0.1, partial(setattr, book, "away", True)), threading.Timer(0.6, partial(setattr, book, "away", False))]  # fmt: skip
    for timer in blip:
        timer.start()
    followed = play(chain("a"), agents, ledger=book, run_key="k")
    owner.join()

    assert followed.report.replayed
    assert (followed.report.answer, len(agents["a"].calls)) == ("one", 1)


def test_a_follower_whose_ledger_stays_away_says_so_at_its_deadline() -> None:
    """It starts nothing: whether the owner lives, only the ledger knows."""
    book, started = Flaky(), threading.Event()

    def first(_call: Call, _scope: CallScope) -> Reply:
        started.set()
        time.sleep(0.5)
        return good()

    agents = {"a": Scripted("a", [first])}
    owner = threading.Thread(target=lambda: play(chain("a"), agents, ledger=book, run_key="k"))
    owner.start()
    started.wait(5)
    timer = threading.Timer(0.1, partial(setattr, book, "away", True))
    timer.start()
    with pytest.raises(LedgerUnavailable):
        play(chain("a"), agents, ledger=book, run_key="k", timeout_s=0.4)
    book.away = False
    owner.join()
    assert len(agents["a"].calls) == 1
