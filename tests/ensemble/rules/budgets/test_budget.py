"""The budget's rules as tables: what is admitted, waits or is refused, and what is booked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ensemble.contract.budgets import NANO, Limits, Money
from ensemble.contract.exchange import Decision, OnLost
from ensemble.rules.budgets import budget as rules
from ensemble.rules.budgets.budget import Account, Budget, Wish
from ensemble.rules.budgets.fitting import fit
from ensemble.rules.records import Amounts, Booking
from tests.ensemble.rules.tables import cases, holds, table

YES, WAIT, NO = Decision.ADMITTED, Decision.WAIT, Decision.REFUSED
TIMEOUT_MS = 5_000


@pytest.mark.parametrize(
    ("limit", "committed", "reserved", "max_tokens", "decision", "tokens"),
    [
        pytest.param(None, 10**9, 0, None, YES, 4_000, id="no limit: counted at the guess"),
        pytest.param(None, 0, 0, 123, YES, 123, id="no limit: counted as declared"),
        pytest.param(100_000, 0, 0, None, YES, 4_000, id="the guess"),
        pytest.param(10_000, 0, 0, None, YES, 2_500, id="the guess is a fair share"),
        pytest.param(3, 0, 0, None, YES, 1, id="and at least one"),
        pytest.param(10_000, 0, 8_000, None, YES, 2_000, id="the guess is cut to what is left"),
        pytest.param(10_000, 9_999, 0, None, YES, 1, id="down to the last token"),
        pytest.param(10_000, 2_000, 8_000, None, WAIT, None, id="all reserved: wait"),
        pytest.param(10_000, 10_000, 0, None, NO, None, id="all spent: refused"),
        pytest.param(10_000, 12_000, 500, None, NO, None, id="overspent: refused"),
        pytest.param(0, 0, 0, None, NO, None, id="nothing allowed"),
        pytest.param(10_000, 0, 0, 10_000, YES, 10_000, id="declared: exactly fits"),
        pytest.param(10_000, 0, 0, 10_001, NO, None, id="declared: never fits"),
        pytest.param(10_000, 4_000, 0, 6_001, NO, None, id="declared: fits no more"),
        pytest.param(10_000, 4_000, 1, 6_000, WAIT, None, id="declared: fits once others settle"),
    ],
)
def test_tokens(  # noqa: PLR0917 - columns
    limit: int | None, committed: int, reserved: int, max_tokens: int | None, decision: Decision, tokens: int | None
) -> None:
    before = Budget(tokens_committed=committed, tokens_reserved=reserved)
    after, verdict = rules.admit(before, Limits(tokens=limit), 4, max_tokens=max_tokens, timeout_ms=TIMEOUT_MS)
    assert verdict.decision is decision
    if tokens is None:
        assert (after, verdict.reserved) == (before, None)
        assert verdict.detail
    else:
        assert verdict.reserved == Amounts(tokens=tokens, calls=1, ms=TIMEOUT_MS)
        assert after == Budget(
            tokens_committed=committed, tokens_reserved=reserved + tokens, calls_reserved=1, ms_reserved=TIMEOUT_MS
        )


@pytest.mark.parametrize(
    ("limits", "before", "decision", "ms"),
    [
        pytest.param(Limits(calls=3), Budget(calls_committed=2), YES, TIMEOUT_MS, id="the last call"),
        pytest.param(Limits(calls=3), Budget(calls_committed=2, calls_reserved=1), WAIT, None, id="it is reserved"),
        pytest.param(Limits(calls=3), Budget(calls_committed=3), NO, None, id="it is spent"),
        pytest.param(Limits(seconds=9), Budget(ms_committed=3_000), YES, TIMEOUT_MS, id="the timeout"),
        pytest.param(Limits(seconds=9), Budget(ms_committed=6_000), YES, 3_000, id="cut to what is left"),
        pytest.param(Limits(seconds=9), Budget(ms_committed=1, ms_reserved=8_999), WAIT, None, id="time is reserved"),
        pytest.param(Limits(seconds=9), Budget(ms_committed=9_000), NO, None, id="time is spent"),
        pytest.param(
            Limits(calls=1, tokens=5), Budget(calls_reserved=1, tokens_committed=5), NO, None, id="no beats wait"
        ),
    ],
)
def test_calls_and_time(limits: Limits, before: Budget, decision: Decision, ms: int | None) -> None:
    after, verdict = rules.admit(before, limits, 4, max_tokens=None, timeout_ms=TIMEOUT_MS)
    assert verdict.decision is decision
    assert (None if verdict.reserved is None else verdict.reserved.ms) == ms
    assert (after == before) is (decision is not YES)


def test_a_refusal_says_what_is_left() -> None:
    _, verdict = rules.admit(Budget(tokens_committed=400), Limits(tokens=1000), 1, max_tokens=700, timeout_ms=1)
    assert verdict.detail == "700 tokens are needed, 600 of the run's 1000 are left"


HELD = Amounts(tokens=400, calls=1, ms=5_000)
ONE_OPEN = Budget(tokens_committed=100, tokens_reserved=400, calls_reserved=1, ms_reserved=5_000)


@pytest.mark.parametrize(
    ("tokens", "committed", "estimated"), [(250, 350, 0), (9_000, 9_100, 0), (0, 100, 0), (None, 500, 1)]
)
def test_a_settlement_books_what_was_used_and_unknown_is_not_zero(
    tokens: int | None, committed: int, estimated: int
) -> None:
    after, booking = rules.book(ONE_OPEN, HELD, tokens=tokens, took_ms=700)
    assert after == Budget(tokens_committed=committed, calls_committed=1, ms_committed=700, estimated=estimated)
    assert booking == Booking(spent=Amounts(tokens=committed - 100, calls=1, ms=700), estimated=bool(estimated))


@pytest.mark.parametrize(
    ("on_lost", "after"),
    [
        (OnLost.CHARGE, Budget(tokens_committed=500, calls_committed=1, estimated=1)),
        (OnLost.RELEASE, Budget(tokens_committed=100)),
    ],
)
def test_a_lost_attempt_is_charged_or_released_but_its_time_always_released(on_lost: OnLost, after: Budget) -> None:
    assert rules.lose(ONE_OPEN, HELD, on_lost)[0] == after


@pytest.mark.parametrize("tokens", [0, 250, None])
@pytest.mark.parametrize("on_lost", OnLost)
def test_late_news_leaves_the_budget_as_timely_news_would(on_lost: OnLost, tokens: int | None) -> None:
    lost, booked = rules.lose(ONE_OPEN, HELD, on_lost)
    late = rules.correct(lost, booked, HELD, tokens=tokens, took_ms=700)
    assert late == rules.book(ONE_OPEN, HELD, tokens=tokens, took_ms=700)


# --- several accounts

RUN = Account(Budget(tokens_committed=100), Limits(tokens=1_000))
SHARED = Account(Budget(tokens_committed=900, tokens_reserved=50), Limits(tokens=1_000), "budget 'x''s", 7_000)
EUR = Account(
    Budget(nano_committed=NANO), Limits(money=Money(amount=Decimal("2.5"), currency="EUR")), "budget 'y''s", 9_000
)


def wish(tokens: int, *, declared: bool = False, **more: Any) -> Wish:
    return Wish(tokens=tokens, tokens_declared=declared, ms=0, **more)


@pytest.mark.parametrize(
    ("accounts", "asked", "verdict"),
    [
        pytest.param((RUN, SHARED), wish(400), (YES, 50, {}, None), id="a guess is cut to the tightest"),
        pytest.param((SHARED, RUN), wish(400), (YES, 50, {}, None), id="in any order"),
        pytest.param((RUN, SHARED), wish(51, declared=True), (WAIT, None, {}, None), id="wait for the tightest"),
        pytest.param(
            (RUN, SHARED), wish(101, declared=True), (NO, None, {}, 7_000), id="refused until its window ends"
        ),
        pytest.param((RUN, SHARED), wish(901, declared=True), (NO, None, {}, None), id="refused by both, one for good"),
        pytest.param((RUN,), wish(901, declared=True), (NO, None, {}, None), id="a run's own limit has no end"),
        pytest.param((RUN, EUR), wish(9, nano={"EUR": 2 * NANO}), (YES, 9, {"EUR": 1_500_000_000}, None), id="money"),
        pytest.param(
            (RUN, EUR), wish(9, nano={"USD": NANO}), (YES, 9, {"EUR": 0}, None), id="another currency is no money"
        ),
        pytest.param(
            (EUR,), wish(9, nano={"EUR": 2 * NANO}, nano_declared=True), (NO, None, {}, 9_000), id="declared money"
        ),
    ],
)
def test_the_same_is_reserved_in_all_accounts_or_in_none(
    accounts: tuple[Account, ...], asked: Wish, verdict: tuple[Decision, int | None, dict[str, int], int | None]
) -> None:
    found = fit(accounts, asked)
    tokens = None if found.reserved is None else found.reserved.tokens
    assert (found.decision, tokens, dict(found.money), found.retry_after_ms) == verdict


def test_a_share_counts_money_only_in_its_own_currency() -> None:
    found = fit((RUN, EUR), wish(9, nano={"EUR": NANO}))
    assert found.share(RUN.limits) == Amounts(tokens=9, calls=1)
    assert found.share(EUR.limits) == Amounts(tokens=9, calls=1, nano=NANO, currency="EUR")


PRICED = Amounts(tokens=9, calls=1, nano=500, currency="EUR")


@pytest.mark.parametrize(
    ("reserved", "nano", "currency", "booked", "estimated"),
    [
        (PRICED, 700, "EUR", 700, False),
        (PRICED, None, None, 500, True),
        (PRICED, 700, "USD", 500, True),
        (HELD, 700, "EUR", 0, False),
    ],
)
def test_unknown_or_foreign_money_is_booked_as_reserved(
    reserved: Amounts, nano: int | None, currency: str | None, booked: int, *, estimated: bool
) -> None:
    booking = rules.booking_of(reserved, rules.Spent(1, 1, nano, currency))
    assert (booking.spent.nano, booking.estimated) == (booked, estimated)


# --- the page shows these tables


def number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def test_the_page_shows_what_becomes_of_an_ask() -> None:
    """The first table, and the one of several accounts."""
    tokens = [
        (
            param.id,
            "none" if values[0] is None else number(values[0]),
            *map(number, values[1:4]),
            values[4],
            number(values[5]),
        )
        for param in cases(test_tokens)
        for values in [param.values]
    ]
    holds("budgets.md", table(("tokens", "limit", "spent", "reserved", "declared", "answer", "reserves"), tokens))
    several = [
        (param.id, decision, number(reserved), f"{ends / 1000:g} s" if ends else "")
        for param in cases(test_the_same_is_reserved_in_all_accounts_or_in_none)
        for decision, reserved, _, ends in [param.values[2]]
    ]
    holds("budgets.md", table(("several budgets", "answer", "tokens reserved", "retry after"), several))
