"""The end of a run: what is said while the ledger is told of it, and what a ledger that refuses does to that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from itertools import pairwise

import pytest

from ensemble.contract.exchange import Exchange, ExchangeAnswer, Role
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.errors import RunTakenOver
from ensemble.engine.events import Closing, Event, Progress, Report
from ensemble.engine.ledger.beside import Beside
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import LedgerUnavailable
from ensemble.engine.run import run
from ensemble.engine.threads import ThreadRunner
from tests.ensemble.engine.kit import chain, play, request, side_by_side, team


class AtTheEnd(Book):
    """A book that does something of its own before it takes a run's end."""

    def __init__(self, act: Callable[[], None]) -> None:
        """Call *act* then, in the thread that tells it."""
        super().__init__()
        self._act = act
        self.closed = 0

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """As a book, but for the end."""
        if ask.close is None:
            return super().exchange(ask)
        self._act()
        answer = super().exchange(ask)
        self.closed += 1
        return answer


def conducted(book: Book, hosts: Hosts | None = None) -> Generator[Event, None, Report]:
    """Return a run of one agent, to be driven by hand."""
    return run(request(chain("a"), team("a")), ledger=book, runner=ThreadRunner(), hosts=hosts or Hosts())


def up_to_closing(conducting: Generator[Event, None, Report]) -> Closing:
    """Drive a run until its steps have ended."""
    return next(event for event in conducting if isinstance(event, Closing))


def test_the_report_is_there_before_the_ledger_has_answered() -> None:
    """Else those who watch would wait for the ledger, and then the ledger's caller for them."""
    heard = threading.Event()

    def wait() -> None:
        assert heard.wait(5), "nobody was told meanwhile"

    book = AtTheEnd(wait)
    conducting = conducted(book)

    draft = up_to_closing(conducting).report
    closed_by_then = book.closed
    heard.set()
    last = next(conducting)
    with pytest.raises(StopIteration) as ended:
        next(conducting)

    assert (closed_by_then, book.closed) == (0, 1)
    assert isinstance(last, Progress)
    assert last.line.endswith("] run succeeded")
    assert ended.value.value == draft
    assert draft.status is RunStatus.SUCCEEDED


def test_a_ledger_that_goes_away_then_fails_the_run() -> None:
    """Although everything has been said: what is not on record must not look as if it were."""

    def gone() -> None:
        raise LedgerUnavailable("away")

    hosts = Hosts()
    conducting = conducted(AtTheEnd(gone), hosts)
    up_to_closing(conducting)

    with pytest.raises(LedgerUnavailable, match="away"):
        next(conducting)
    assert hosts.taken(team("a")["a"].host) == 0


def test_a_run_that_is_somebody_elses_by_then_fails() -> None:
    """Its new owner tells how it ended."""

    class TakenOver(Book):
        def exchange(self, ask: Exchange) -> ExchangeAnswer:
            answer = super().exchange(ask)
            run = answer.run.model_copy(update={"role": Role.SUPERSEDED})
            return answer if ask.close is None else answer.model_copy(update={"run": run})

    conducting = conducted(TakenOver())
    up_to_closing(conducting)

    with pytest.raises(RunTakenOver):
        next(conducting)


def test_whoever_stops_listening_then_leaves_no_run_open() -> None:
    """The end of the telling is waited for: another call with the run's key finds it whole."""
    book = AtTheEnd(lambda: time.sleep(0.05))
    conducting = conducted(book)
    up_to_closing(conducting)

    conducting.close()

    assert book.closed == 1


def test_lines_say_whether_more_comes_at_once() -> None:
    """So that three agents that start together are three lines of one message."""
    events = play(side_by_side("a", "b", "c"), team("a", "b", "c")).events
    started = [event for event in events if isinstance(event, Progress) and "started" in event.line]

    assert [event.more for event in started[:2]] == [True, True]
    assert not any(
        one.more for one, other in pairwise(events) if isinstance(one, Progress) and isinstance(other, Closing)
    )
    assert not any(event.more for event in events[-1:] if isinstance(event, Progress))


def test_work_beside_is_waited_for_however_the_block_ends() -> None:
    """And what it raises is for whoever asks for its result, not for the block."""
    done = []

    def work() -> None:
        time.sleep(0.02)
        done.append("it")
        raise ValueError("of the work")

    with pytest.raises(KeyError), Beside(ThreadRunner(), "work", work) as beside:
        raise KeyError
    assert done == ["it"]
    with pytest.raises(ValueError, match="of the work"):
        beside.result()
    with pytest.raises(ValueError, match="of the work"):
        beside.result()
