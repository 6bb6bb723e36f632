"""A run goes on when the sidecar is away, with nothing called twice and nobody's run taken."""

from __future__ import annotations

import pytest

from ensemble.client.fallback import AWAY_S, Absence, FallbackLedger
from ensemble.contract.caching import CacheOrder
from ensemble.contract.exchange import (
    CloseRun,
    Decision,
    Exchange,
    Role,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.problems import ProblemCode
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import Ledger
from ensemble.rules.problems import UnknownRun
from plugin.errors import BadCredentials, SidecarRefused, SidecarUnavailable
from tests.plugin.ledgers import CLOSE, RUN, Clock, Sidecar, going_on, news, opening, wish


def one_more(sidecar: Sidecar, book: Book, absence: Absence | None = None) -> FallbackLedger:
    """Return another run's ledger."""
    return FallbackLedger(sidecar, book, absence or Absence(Clock()), hand_in=lambda *_: None)


def test_as_long_as_the_sidecar_answers_the_book_stays_empty(
    sidecar: Sidecar, book: Book, ledger: FallbackLedger
) -> None:
    """And the run is durable."""
    wanted: Ledger = ledger
    answer = wanted.exchange(opening(wish("one", "1")))

    assert answer.run.role is Role.OWNER
    assert ledger.durable
    assert ledger.warnings == []
    assert ledger.run(RUN).run_id == RUN
    with pytest.raises(UnknownRun):
        book.run(RUN)


def test_away_at_the_first_exchange(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """The run begins with the book, admissions and all, and says so once."""
    sidecar.away = SidecarUnavailable("gone")

    answer = ledger.exchange(opening(wish("one", "1")))
    closed = ledger.exchange(going_on(answer.run.epoch, settle=(news("one", "1"),), close=CLOSE))

    assert [each.decision for each in answer.admissions] == [Decision.ADMITTED]
    assert closed.run.role is Role.OWNER
    assert not ledger.durable
    assert len(ledger.warnings) == 1
    assert "gone" in ledger.warnings[0]


def test_away_in_the_middle_of_a_run(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """What is out goes over to the book, so that its news is taken there; the next step is admitted there."""
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")

    answer = ledger.exchange(going_on(epoch, settle=(news("one", "1"),), admit=(wish("two", "2"),)))
    closed = ledger.exchange(going_on(answer.run.epoch, settle=(news("two", "2"),), close=CLOSE))

    assert (answer.run.run_id, answer.run.role) == (RUN, Role.OWNER)
    assert [each.decision for each in answer.admissions] == [Decision.ADMITTED]
    assert closed.run.role is Role.OWNER
    assert ledger.run(RUN).answer == "all done"
    assert {result.step for result in ledger.run(RUN).results} == {"one", "two"}
    assert len(ledger.warnings) == 1


def test_a_reopened_run_goes_over_with_what_was_kept(sidecar: Sidecar, book: Book) -> None:
    """In the book it is a run of its own, in its first epoch; what an earlier call paid for is part of it."""
    first = one_more(sidecar, book)
    begun = first.exchange(opening(wish("one", "1")))
    failed = CloseRun(status=RunStatus.FAILED, answer="")
    first.exchange(going_on(begun.run.epoch, settle=(news("one", "1"),), close=failed))
    ledger = one_more(sidecar, book)
    epoch = ledger.exchange(opening(wish("two", "2"), owner="c" * 32)).run.epoch
    assert epoch == 2
    sidecar.away = SidecarUnavailable("gone")

    ask = going_on(epoch, settle=(news("two", "2"),), close=CLOSE).model_copy(update={"owner": "c" * 32})
    answer = ledger.exchange(ask)

    assert (answer.run.epoch, answer.run.role) == (1, Role.OWNER)
    assert [result.step for result in ledger.run(RUN).results] == ["one", "two"]


def test_another_run_of_the_same_key_is_not_mixed_up(sidecar: Sidecar, book: Book, ledger: FallbackLedger) -> None:
    """The book may hold an older run by this key; the one that goes over is found by its own id."""
    old = book.exchange(opening(run_id="d" * 32, owner="e" * 32))
    book.exchange(
        Exchange(run_id="d" * 32, owner="e" * 32, epoch=old.run.epoch, close=CLOSE.model_copy(update={"answer": "old"}))
    )
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")

    answer = ledger.exchange(going_on(epoch, settle=(news("one", "1"),), close=CLOSE))

    assert (answer.run.role, answer.run.run_id) == (Role.OWNER, RUN)
    assert ledger.run(RUN).answer == "all done"


def test_an_attempt_the_book_would_refuse_still_delivers(sidecar: Sidecar, book: Book, ledger: FallbackLedger) -> None:
    """It is out already; its result is taken, though the book's breaker for that agent stands open."""
    broken = opening(run_id="d" * 32, owner="e" * 32, run_key="other")
    epoch = book.exchange(broken).run.epoch
    for number in range(5):
        ticket = f"{number:032x}"
        bad = Settlement(ticket=ticket, step="one", outcome=Outcome.UNAVAILABLE, took_ms=1)
        base = {"run_id": "d" * 32, "owner": "e" * 32, "epoch": epoch}
        ask = wish("one", "0").model_copy(update={"ticket": ticket, "attempt": number + 1})
        book.exchange(Exchange.model_validate({**base, "admit": (ask,)}))
        book.exchange(Exchange.model_validate({**base, "settle": (bad,)}))
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")

    epoch = ledger.exchange(going_on(epoch, holding=("1" * 32,))).run.epoch
    answer = ledger.exchange(going_on(epoch, settle=(news("one", "1"),), close=CLOSE))

    assert answer.run.role is Role.OWNER
    assert [result.text for result in ledger.run(RUN).results] == ["one done"]


def test_a_run_stays_with_the_book(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """Also when the sidecar is back: it is not asked again in this run."""
    epoch = ledger.exchange(opening()).run.epoch
    sidecar.away = SidecarUnavailable("gone")
    epoch = ledger.exchange(going_on(epoch)).run.epoch
    sidecar.away = None
    asked = sidecar.asked

    ledger.exchange(going_on(epoch))

    assert sidecar.asked == asked


def test_a_sidecar_away_is_left_alone_for_a_while(sidecar: Sidecar, book: Book) -> None:
    """Other runs begin with the book at once, and go back to the sidecar after five seconds."""
    clock = Clock()
    absence = Absence(clock)
    sidecar.away = SidecarUnavailable("gone")
    one_more(sidecar, book, absence).exchange(opening())
    sidecar.away = None

    soon = one_more(sidecar, book, absence)
    soon.exchange(opening(run_id="d" * 32, run_key="d" * 32))
    assert sidecar.asked == 1
    assert not soon.durable
    keyed = one_more(sidecar, book, absence)
    keyed.exchange(opening(run_id="f" * 32, run_key="k3"))
    assert keyed.durable, "it may be on record there, and asking costs less than paying twice"

    clock.now += AWAY_S
    later = one_more(sidecar, book, absence)
    later.exchange(opening(run_id="e" * 32, run_key="e" * 32))
    assert sidecar.asked == 3
    assert later.durable


def test_a_refusal_is_no_absence(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """A wrong token has to be put right, not worked around."""
    sidecar.away = BadCredentials("wrong token")

    with pytest.raises(BadCredentials):
        ledger.exchange(opening())

    assert ledger.durable


def test_who_follows_another_call_is_told_that_nobody_knows(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """Running the steps once more would call every agent twice."""
    other = opening(run_id="d" * 32, owner="e" * 32)
    sidecar.exchange(other)
    assert ledger.exchange(opening()).run.role is Role.FOLLOWER
    sidecar.away = SidecarUnavailable("gone")

    with pytest.raises(SidecarUnavailable):
        ledger.run("d" * 32)


KEY = "c" * 64


def keeping(step: str, ticket: str) -> Settlement:
    """Return the settlement of a succeeded attempt whose answer is to be kept."""
    return news(step, ticket).model_copy(update={"cache": CacheOrder(key=KEY, keep_ms=60_000)})


def kept_text(ledger: Ledger) -> str | None:
    """Return the kept answer, None where there is none."""
    result = ledger.cached(KEY).result
    return None if result is None else result.text


def test_kept_answers_are_the_sidecars(sidecar: Sidecar, book: Book, ledger: FallbackLedger) -> None:
    """Of all its runs; one that is away has none, and is not asked again for a moment."""
    answer = ledger.exchange(opening(wish("one", "1")))
    ledger.exchange(going_on(answer.run.epoch, settle=(keeping("one", "1"),)))
    clock = Clock()
    other = one_more(sidecar, book, Absence(clock))
    assert kept_text(other) == "one done"

    sidecar.away = SidecarUnavailable("gone")
    assert kept_text(other) is None
    sidecar.away = None
    assert kept_text(other) is None
    clock.now += AWAY_S
    assert kept_text(other) == "one done"
    assert other.warnings == []
    assert other.durable


def test_a_run_that_went_over_to_the_book_finds_what_that_kept(
    sidecar: Sidecar, book: Book, ledger: FallbackLedger
) -> None:
    """And does not ask the sidecar any more, even if it is back."""
    sidecar.away = SidecarUnavailable("gone")
    answer = ledger.exchange(opening(wish("one", "1")))
    sidecar.away = None
    ledger.exchange(going_on(answer.run.epoch, settle=(keeping("one", "1"),)))

    assert kept_text(ledger) == kept_text(book) == "one done"
    assert kept_text(sidecar) is None


def test_a_sidecar_that_knows_no_cache_has_none(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """An older one; the run goes on with it."""
    ledger.exchange(opening(wish("one", "1")))
    sidecar.away = SidecarRefused("no such path", ProblemCode.NOT_FOUND)

    assert kept_text(ledger) is None
    assert ledger.durable
