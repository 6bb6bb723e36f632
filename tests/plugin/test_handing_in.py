"""What a run did without its sidecar reaches it afterwards, and a store that has lost something is told it again."""

from __future__ import annotations

import pytest

from ensemble.client import journal
from ensemble.client.fallback import Absence, FallbackLedger
from ensemble.contract.exchange import (
    Exchange,
    Role,
)
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.engine.ledger.book import Book
from plugin.errors import SidecarRefused, SidecarUnavailable
from tests.plugin.ledgers import CLOSE, RUN, Clock, Sidecar, going_on, news, opening, wish


def test_a_run_that_went_on_alone_is_handed_in_whole(
    sidecar: Sidecar, ledger: FallbackLedger, handed_in: list[Exchange]
) -> None:
    """Once, when the call is over; the sidecar's record is complete then, and knows what was late."""
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")
    epoch = ledger.exchange(going_on(epoch, settle=(news("one", "1"),), admit=(wish("two", "2"),))).run.epoch
    ledger.exchange(going_on(epoch, settle=(news("two", "2"),), close=CLOSE))
    ledger.leave()
    ledger.leave()
    sidecar.away = None

    (ask,) = handed_in
    assert [sidecar.exchange(ask).run.role for _ in range(2)] == [Role.OWNER, Role.OWNER]
    view = sidecar.run(RUN)
    assert (view.status, view.answer) == (RunStatus.SUCCEEDED, "all done")
    assert [(each.step, each.outcome, each.late) for each in view.attempts] == [
        ("one", Outcome.SUCCEEDED, False),
        ("two", Outcome.SUCCEEDED, True),
    ]
    assert (view.budget.calls_committed, view.budget.calls_reserved) == (2, 0)


def test_a_run_the_sidecar_never_heard_of_is_handed_in_too(
    sidecar: Sidecar, ledger: FallbackLedger, handed_in: list[Exchange]
) -> None:
    """It was away from the first exchange on."""
    sidecar.away = SidecarUnavailable("gone")
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    ledger.exchange(going_on(epoch, settle=(news("one", "1"),), close=CLOSE))
    ledger.leave()
    sidecar.away = None

    sidecar.exchange(handed_in[0])
    assert [result.text for result in sidecar.run(RUN).results] == ["one done"]


def test_a_call_cut_short_hands_in_what_it_has(
    sidecar: Sidecar, ledger: FallbackLedger, handed_in: list[Exchange]
) -> None:
    """As a failed run, which a repeated call reopens; what was out is booked at its estimate."""
    epoch = ledger.exchange(opening(wish("one", "1"), wish("two", "2"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")
    ledger.exchange(going_on(epoch, settle=(news("one", "1"),)))
    ledger.leave()
    sidecar.away = None

    sidecar.exchange(handed_in[0])
    view = sidecar.run(RUN)
    assert view.status is RunStatus.FAILED
    assert [each.outcome for each in view.attempts] == [Outcome.SUCCEEDED, Outcome.UNCERTAIN]


def test_fail_closed_fails_and_still_hands_in_what_was_paid_for(
    sidecar: Sidecar, book: Book, handed_in: list[Exchange]
) -> None:
    """The news that found nobody is not lost: a repeated call does not pay for it again."""
    ledger = FallbackLedger(
        sidecar, book, Absence(Clock()), hand_in=lambda _, asks: handed_in.extend(asks), fail_open=False
    )
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    sidecar.away = SidecarUnavailable("gone")
    with pytest.raises(SidecarUnavailable):
        ledger.exchange(going_on(epoch, settle=(news("one", "1"),), admit=(wish("two", "2"),)))
    ledger.leave()
    sidecar.away = None

    sidecar.exchange(handed_in[0])
    again = sidecar.exchange(opening(owner="c" * 32, run_id="d" * 32))
    assert [result.step for result in again.kept] == ["one"]


def test_fail_closed_starts_nothing_without_a_sidecar(sidecar: Sidecar, book: Book, handed_in: list[Exchange]) -> None:
    """And there is nothing to hand in."""
    ledger = FallbackLedger(
        sidecar, book, Absence(Clock()), hand_in=lambda _, asks: handed_in.extend(asks), fail_open=False
    )
    sidecar.away = SidecarUnavailable("gone")
    with pytest.raises(SidecarUnavailable):
        ledger.exchange(opening(wish("one", "1")))
    ledger.leave()

    assert handed_in == []


def test_a_store_that_lost_its_last_second_is_told_again(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """The run goes on where it was; nothing is called twice, and the builder is told."""
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    ledger.exchange(going_on(epoch, settle=(news("one", "1"),), admit=(wish("two", "2"),)))
    sidecar.forget()

    answer = ledger.exchange(going_on(epoch, settle=(news("two", "2"),), close=CLOSE))

    assert answer.run.role is Role.OWNER
    assert ledger.durable
    assert [result.step for result in sidecar.run(RUN).results] == ["one", "two"]
    assert "lost a part" in ledger.warnings[0]


def test_a_long_run_is_told_again_in_parts(
    sidecar: Sidecar, ledger: FallbackLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is longer for it than the sidecar takes, and the run goes on all the same."""
    monkeypatch.setattr(journal, "MOST_AT_ONCE", 1)
    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    ledger.exchange(going_on(epoch, settle=(news("one", "1"),), admit=(wish("two", "2"),)))
    sidecar.forget()
    before = sidecar.asked

    ledger.exchange(going_on(epoch, settle=(news("two", "2"),), close=CLOSE))

    assert sidecar.asked == before + 3  # refused once, then two parts
    assert (sidecar.run(RUN).status, len(sidecar.run(RUN).attempts)) == (RunStatus.SUCCEEDED, 2)


def test_a_real_contradiction_stays_one(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """Being told everything once more does not heal it."""
    epoch = ledger.exchange(opening()).run.epoch

    with pytest.raises(SidecarRefused):
        ledger.exchange(going_on(epoch, settle=(news("one", "9"),)))


def test_who_follows_never_goes_over_to_the_book(sidecar: Sidecar, ledger: FallbackLedger) -> None:
    """Also where it asks to open the run again: the owner may be alive, and only the sidecar knows."""
    sidecar.exchange(opening(run_id="d" * 32, owner="e" * 32))
    assert ledger.exchange(opening()).run.role is Role.FOLLOWER
    sidecar.away = SidecarUnavailable("gone")

    for _ in range(2):
        with pytest.raises(SidecarUnavailable):
            ledger.exchange(opening())
    assert ledger.durable
