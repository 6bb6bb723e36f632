"""The book of local mode: raced by threads, and forgetting what is old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Decision, Exchange, ExchangeAnswer, Parent, Role
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.engine.ledger.book import Book
from ensemble.rules.runs.exchange import UnknownRun
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, opening, settlement

THREADS = 16
ROUNDS = 30


def at_once(asks: list[Callable[[], ExchangeAnswer]]) -> list[ExchangeAnswer]:
    """Let every ask go at the same instant."""
    barrier = threading.Barrier(len(asks))

    def go(ask: Callable[[], ExchangeAnswer]) -> ExchangeAnswer:
        barrier.wait()
        return ask()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(go, asks))


def each(book: Book, asks: list[Exchange]) -> list[ExchangeAnswer]:
    """Send all *asks* at the same instant."""
    return at_once([lambda ask=ask: book.exchange(ask) for ask in asks])  # type: ignore[misc] # a default binds


def test_one_of_many_callers_of_a_key_owns_the_run() -> None:
    for _ in range(ROUNDS):
        answers = each(Book(), [first(n, 100 + n) for n in range(1, THREADS + 1)])
        roles = sorted(answer.run.role for answer in answers)
        assert roles == [Role.FOLLOWER] * (THREADS - 1) + [Role.OWNER]
        assert len({answer.run.run_id for answer in answers}) == 1


def test_an_exchange_sent_many_times_at_once_reserves_once() -> None:
    for _ in range(ROUNDS):
        book = Book()
        answers = each(book, [first(1, 2, admit=(admission(1), admission(2, "three")))] * THREADS)
        assert {told.decision for answer in answers for told in answer.admissions} == {Decision.ADMITTED}
        assert book.run(hex_id(1)).budget.calls_reserved == 2


def test_no_more_is_admitted_than_the_limit() -> None:
    for _ in range(ROUNDS):
        book = Book()
        book.exchange(first(1, 2, limits=Limits(calls=5)))
        answers = each(book, [later(1, 2, admit=(admission(n),)) for n in range(1, THREADS + 1)])
        decided = [answer.admissions[0].decision for answer in answers]
        assert decided.count(Decision.ADMITTED) == 5
        assert decided.count(Decision.WAIT) == THREADS - 5


def test_one_probe_among_many_runs() -> None:
    for _ in range(ROUNDS):
        now = [1_000_000]
        book = Book(clock=lambda now=now: now[0])  # type: ignore[misc] # a default binds
        failing = (admission(901), admission(902))
        book.exchange(first(900, 900, "failing", admit=failing))
        book.exchange(
            later(900, 900, settle=tuple(settlement(ask, Outcome.UNAVAILABLE, ends=False) for ask in failing))
        )
        now[0] += 10_000
        asks = [first(n, 100 + n, f"key {n}", admit=(admission(n),)) for n in range(1, THREADS + 1)]
        decided = [answer.admissions[0].decision for answer in each(book, asks)]
        assert decided.count(Decision.ADMITTED) == 1
        assert decided.count(Decision.REFUSED) == THREADS - 1


def test_a_book_does_not_outlive_its_process() -> None:
    assert Book().durable is False


def test_a_closed_run_answers_its_key_until_newer_ones_push_it_out() -> None:
    book = Book(closed_kept=2)
    for number in (1, 2, 3):
        book.exchange(first(number, number, f"key {number}", close=closing()))
    with pytest.raises(UnknownRun):
        book.run(hex_id(1))
    assert book.exchange(first(8, 8, "key 2")).run.role is Role.FINISHED
    assert book.exchange(first(9, 9, "key 1")).run.role is Role.OWNER


def test_a_reopened_run_is_not_forgotten_while_it_runs() -> None:
    book = Book(closed_kept=1)
    book.exchange(first(1, 1, "again", close=closing(RunStatus.FAILED)))
    assert book.exchange(first(2, 2, "again")).run.epoch == 2
    for number in (3, 4):
        book.exchange(first(number, number, f"key {number}", close=closing()))
    assert book.run(hex_id(1)).status is RunStatus.RUNNING


def test_what_has_outlived_its_time_is_dropped() -> None:
    now = [1_000_000]
    book = Book(clock=lambda: now[0])
    book.exchange(first(1, 1, "old"))
    now[0] += 8 * 24 * 3_600_000
    book.exchange(first(2, 2, "new"))
    with pytest.raises(UnknownRun):
        book.run(hex_id(1))
    assert [message.task_id for message in book.log(hex_id(2))] == [hex_id(2)]


def test_a_book_cancels_the_runs_inside_a_run_too() -> None:
    """As the sidecar does."""
    book = Book()
    book.exchange(first(1, 2, admit=(admission(10),)))
    inside = opening("inside", parent=Parent(run_id=hex_id(1), ticket=hex_id(10)))
    book.exchange(Exchange(run_id=hex_id(3), owner=hex_id(4), open=inside))

    book.cancel(hex_id(1))

    assert book.exchange(later(3, 4)).run.cancelled
