"""What a run has told its ledger, however much that is: handed in part by part, it is as if it had been told at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.client import journal as module
from ensemble.client.journal import MOST_AT_ONCE, MOST_BYTES, Journal
from ensemble.contract.exchange import Decision, Exchange, Role
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import StepResult
from ensemble.contract.runs import RunView
from ensemble.engine.ledger.book import Book
from tests.ensemble.rules.asks import STEPS, admission, closing, first, hex_id, later, settlement

RUN, OWNER = 1, 2
NOW = 1_763_827_200_000


def told(attempts: int, *, settled: int | None = None, longest: str = "") -> tuple[Journal, Exchange]:
    """Return the journal of a run that a book has kept, and the last it was asked; *settled*: how many have ended."""
    journal, book = Journal(), Book()
    wishes = [admission(10 + n, STEPS[n % 3], content=longest) for n in range(attempts)]
    ended = [settlement(wish, Outcome.UNAVAILABLE, ends=False) for wish in wishes[:settled]]
    skipped = StepResult(step=STEPS[3], agent="right", status=StepStatus.SKIPPED)
    asks = [first(RUN, OWNER, admit=(wish,)) if not n else later(RUN, OWNER, admit=(wish,)) for n, wish in
            enumerate(wishes)]  # fmt: skip
    asks.append(later(RUN, OWNER, settle=tuple(ended), ended=(skipped,)))
    for ask in asks:
        journal.tell(ask)
        answer = book.exchange(ask)
        assert all(each.decision is Decision.ADMITTED for each in answer.admissions)
        journal.hear(ask, answer)
    return journal, asks[-1]


def shown(book: Book) -> dict[str, Any]:
    """Return what is on record of the run, without the number of each attempt."""
    view: RunView = book.run(hex_id(RUN))
    return view.model_dump() | {"attempts": {each.ticket: each for each in view.attempts}}


def test_a_run_of_more_attempts_than_one_exchange_takes_is_handed_in_in_parts() -> None:
    """Ten thousand items tried twice each: no part is near to a limit, and each can be sent by itself."""
    journal = Journal()
    journal.tell(first(RUN, OWNER))
    for start in range(100, 20_200, 10_050):
        news = [settlement(admission(start + n), ends=False) for n in range(10_050)]
        journal.tell(later(RUN, OWNER, settle=tuple(news)))

    asks = journal.hand_in(closing())

    assert sum(len(ask.settle) for ask in asks) == 20_100
    assert max(len(ask.settle) for ask in asks) == MOST_AT_ONCE
    assert [ask.close for ask in asks] == [None] * (len(asks) - 1) + [closing()]
    assert {ask.open.afterwards for ask in asks if ask.open} == {True}
    assert [Exchange.model_validate_json(ask.model_dump_json()) for ask in asks] == list(asks)


def test_no_part_is_long_and_one_that_is_by_itself_goes_alone() -> None:
    """The store takes so much at once without anybody's noticing."""
    journal = Journal()
    journal.tell(first(RUN, OWNER))
    for number, size in enumerate((MOST_BYTES // 2, MOST_BYTES // 2, MOST_BYTES * 2, 10, 10)):
        news = settlement(admission(10 + number))
        assert news.result is not None
        long = news.model_copy(update={"result": news.result.model_copy(update={"text": "x" * size})})
        journal.tell(later(RUN, OWNER, settle=(long,)))

    assert [len(ask.settle) for ask in journal.hand_in(closing())] == [1, 1, 1, 2]


def test_what_fits_is_told_at_once() -> None:
    """In one exchange."""
    (ask,) = told(3)[0].hand_in(closing())

    assert ask.close == closing()


@given(
    attempts=st.integers(1, 7),
    settled=st.integers(0, 7),
    at_once=st.integers(1, 4),
    twice=st.sets(st.integers(0, 8)),
)
def test_parts_say_what_one_exchange_says(attempts: int, settled: int, at_once: int, twice: set[int]) -> None:
    """However they are cut, and whichever of them are sent twice."""
    journal, _ = told(attempts, settled=settled)
    whole, parts = Book(clock=lambda: NOW), Book(clock=lambda: NOW)
    whole.exchange(*journal.hand_in(closing()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_AT_ONCE", at_once)
        asks = journal.hand_in(closing())
    for number, ask in enumerate(asks):
        for _ in range(1 + (number in twice)):
            assert parts.exchange(ask).run.role is Role.OWNER

    assert shown(parts) == shown(whole)


def test_a_run_of_which_only_some_parts_came_is_found_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died in between: a repeated call takes the run over once its lease has ended, and keeps what came."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    journal = Journal()
    journal.tell(first(RUN, OWNER))
    journal.tell(later(RUN, OWNER, settle=tuple(settlement(admission(10 + n, STEPS[n])) for n in range(2))))
    journal._admitted = {hex_id(10 + n): admission(10 + n, STEPS[n]) for n in range(2)}
    now = [NOW]
    book = Book(clock=lambda: now[0])
    book.exchange(journal.hand_in(closing())[0])
    assert book.exchange(first(3, 4)).run.role is Role.FOLLOWER

    now[0] += 60_000
    heir = book.exchange(first(3, 4))

    assert (heir.run.role, [each.step for each in heir.kept]) == (Role.OWNER, [STEPS[0]])


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.FAILED])
def test_parts_take_a_run_from_nobody(monkeypatch: pytest.MonkeyPatch, status: RunStatus) -> None:
    """Another engine has the run under the same key, has failed, or has not been heard of for long: it stays its own."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    now = [NOW]
    book = Book(clock=lambda: now[0])
    book.exchange(first(3, 4))
    if status is not RunStatus.RUNNING:
        book.exchange(later(3, 4, close=closing(status)))
    now[0] += 60_000

    roles = {book.exchange(ask).run.role for ask in told(3)[0].hand_in(closing())}

    assert roles == {Role.SUPERSEDED}
    assert book.run(hex_id(3)).status is status
    assert len(book.run(hex_id(3)).attempts) == 3


def test_a_ledger_that_has_lost_a_long_run_is_told_it_again_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of them is the ask itself, and the run goes on."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    journal, _ = told(5, settled=4)
    ask = later(RUN, OWNER, admit=(admission(99, STEPS[2]),))
    journal.tell(ask)
    book = Book()

    asks = journal.again(ask)
    answers = [book.exchange(each) for each in asks]

    assert len(asks) == 3
    assert {answer.run.role for answer in answers} == {Role.OWNER}
    assert [each.decision for each in answers[-1].admissions] == [Decision.ADMITTED]
    view = book.run(hex_id(RUN))
    assert (view.status, len(view.attempts)) == (RunStatus.RUNNING, 6)
    assert [each.ticket for each in view.attempts if each.outcome is None] == [hex_id(14), hex_id(99)]


def test_a_close_that_is_told_again_in_parts_takes_a_run_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger had lost the run, and another engine has opened it under its key meanwhile, and failed."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    journal, _ = told(5, settled=5)
    ask = later(RUN, OWNER, close=closing())
    journal.tell(ask)
    book = Book()
    book.exchange(first(3, 4))
    book.exchange(later(3, 4, close=closing(RunStatus.FAILED)))

    roles = {book.exchange(each).run.role for each in journal.again(ask)}

    assert roles == {Role.SUPERSEDED}
    assert book.run(hex_id(3)).status is RunStatus.FAILED


def test_a_part_without_attempts_needs_no_budget_once_the_run_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that has lost the run may have lost the budgets with it; the run goes on all the same."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    journal = Journal()
    journal.tell(first(RUN, OWNER, budgets=("gone",)))
    journal._admitted = {hex_id(10): admission(10, STEPS[0])}
    skipped = tuple(StepResult(step=step, agent="right", status=StepStatus.SKIPPED) for step in STEPS[2:])
    ask = later(RUN, OWNER, ended=skipped)
    journal.tell(ask)
    book = Book()

    asks = journal.again(later(RUN, OWNER))

    assert [len(each.late) for each in asks] == [1, 0]
    assert {book.exchange(each).run.role for each in asks} == {Role.OWNER}
    assert len(book.run(hex_id(RUN)).results) == len(skipped)
