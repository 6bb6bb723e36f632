"""A run goes on when the sidecar is away, with nothing called twice and nobody's run taken."""

from __future__ import annotations

import pytest

from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Decision,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    PlannedStep,
    Role,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.problems import ProblemCode
from ensemble.contract.results import StepResult
from ensemble.contract.runs import RunView
from ensemble.engine.book import Book
from ensemble.engine.ports import Ledger
from ensemble.rules.problems import Conflict, UnknownRun
from plugin.adapters.fallback import AWAY_S, Absence, FallbackLedger
from plugin.errors import BadCredentials, SidecarRefused, SidecarUnavailable

RUN, OWNER = "a" * 32, "b" * 32
STEPS = ("one", "two")


class Sidecar:
    """A ledger as the sidecar is one, with an off switch."""

    durable = True

    def __init__(self) -> None:
        """Be there."""
        self.kept = Book()
        self.away: Exception | None = None
        self.asked = 0

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Answer, unless away."""
        self.asked += 1
        if self.away is not None:
            raise self.away
        try:
            return self.kept.exchange(ask)
        except UnknownRun as error:
            raise SidecarRefused(str(error), ProblemCode.NOT_FOUND) from None
        except Conflict as error:
            raise SidecarRefused(str(error), ProblemCode.CONFLICT) from None

    def forget(self) -> None:
        """Lose everything, as a store does whose disk was not written."""
        self.kept = Book()

    def run(self, run_id: str) -> RunView:
        """Answer, unless away."""
        if self.away is not None:
            raise self.away
        return self.kept.run(run_id)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def sidecar() -> Sidecar:
    """Return a sidecar that answers."""
    return Sidecar()


@pytest.fixture
def book() -> Book:
    """Return this process's book."""
    return Book()


@pytest.fixture
def handed_in() -> list[Exchange]:
    """Return what is handed in later, in order."""
    return []


@pytest.fixture
def ledger(sidecar: Sidecar, book: Book, handed_in: list[Exchange]) -> FallbackLedger:
    """Return one run's ledger."""
    return FallbackLedger(sidecar, book, Absence(Clock()), hand_in=lambda _, ask: handed_in.append(ask))


def one_more(sidecar: Sidecar, book: Book, absence: Absence | None = None) -> FallbackLedger:
    """Return another run's ledger."""
    return FallbackLedger(sidecar, book, absence or Absence(Clock()), hand_in=lambda *_: None)


def opening(*tickets: AdmissionAsk, run_id: str = RUN, owner: str = OWNER, run_key: str = "key") -> Exchange:
    """Return the ask that opens a run of two steps."""
    steps = tuple(PlannedStep(id=step, agent=step, identity=f"app:{step}") for step in STEPS)
    opened = OpenRun(run_key=run_key, fingerprint="f" * 64, trace_id="t", steps=steps)
    return Exchange(run_id=run_id, owner=owner, open=opened, admit=tickets)


def wish(step: str, ticket: str) -> AdmissionAsk:
    """Return the ask for an attempt at *step*."""
    return AdmissionAsk(ticket=ticket * 32, step=step, agent=step, identity=f"app:{step}", timeout_ms=1000)


def news(step: str, ticket: str) -> Settlement:
    """Return the settlement of a succeeded attempt."""
    result = StepResult(
        step=step, agent=step, status=StepStatus.SUCCEEDED, text=f"{step} done", source=Source.AGENT, attempts=1
    )
    return Settlement(ticket=ticket * 32, step=step, outcome=Outcome.SUCCEEDED, took_ms=5, result=result)


def going_on(epoch: int, **parts: object) -> Exchange:
    """Return a later exchange of the same run."""
    return Exchange.model_validate({"run_id": RUN, "owner": OWNER, "epoch": epoch, **parts})


CLOSE = CloseRun(status=RunStatus.SUCCEEDED, answer="all done")


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
        sidecar, book, Absence(Clock()), hand_in=lambda _, ask: handed_in.append(ask), fail_open=False
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
        sidecar, book, Absence(Clock()), hand_in=lambda _, ask: handed_in.append(ask), fail_open=False
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
