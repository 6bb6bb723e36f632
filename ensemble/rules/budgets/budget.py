"""What may be spent: an estimate is reserved at admission, and booked as what was really used at settlement.

Admitted is only what fits: committed + reserved + estimate stays within every limit of every account. What would fit
once open reservations settle waits; what would not fit even then is refused. A settlement is booked in full, so that
*committed* may pass a limit by what the attempts under way used beyond their reservations; then nothing more is admitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ensemble.contract.budgets import BudgetView, Limits
from ensemble.contract.exchange import OnLost
from ensemble.rules.agents.statistics import GUESS_TOKENS
from ensemble.rules.budgets.fitting import Account, Budget, Verdict, Wish, fit
from ensemble.rules.records import Amounts, Booking

__all__ = [
    "COUNTERS",
    "RETRY_MS",
    "Account",
    "Budget",
    "Spent",
    "Verdict",
    "Wish",
    "admit",
    "book",
    "booking_of",
    "budget_view",
    "correct",
    "correct_to",
    "lose",
    "lost_booking",
    "reserve",
    "reserve_amounts",
    "revive",
    "settle",
    "wish_for",
]

RETRY_MS = 200
"""When to ask again for what may fit once others have settled, milliseconds."""

COUNTERS = tuple(field.name for field in fields(Budget))
"""The names of the counters, as fields of a run's hash."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt says it has used; None is unknown, which is not zero."""

    tokens: int | None
    ms: int
    nano: int | None = None
    currency: str | None = None
    calls: int | None = None


def wish_for(
    limits: Limits,
    max_parallel: int,
    *,
    max_tokens: int | None,
    timeout_ms: int,
    usual_tokens: int | None = None,
    usual_nano: Mapping[str, int] | None = None,
) -> Wish:
    """Return what an attempt of a run asks for.

    Tokens: *max_tokens* as declared, else what its agent's calls usually use, else a guess; what is not declared
    leaves room for *max_parallel* attempts. Calls: one. Time: *timeout_ms*. Money: what its agent's calls usually cost.
    """
    guess = GUESS_TOKENS if usual_tokens is None else usual_tokens
    if limits.tokens is not None:
        guess = min(guess, max(1, limits.tokens // max_parallel))
    return Wish(
        tokens=guess if max_tokens is None else max_tokens,
        tokens_declared=max_tokens is not None,
        ms=timeout_ms,
        nano=usual_nano or {},
    )


def admit(
    before: Budget,
    limits: Limits,
    max_parallel: int,
    *,
    max_tokens: int | None,
    timeout_ms: int,
    usual_tokens: int | None = None,
    usual_nano: Mapping[str, int] | None = None,
) -> tuple[Budget, Verdict]:
    """Return a run's own budget after one ask for admission, and the verdict with what was reserved."""
    wish = wish_for(
        limits,
        max_parallel,
        max_tokens=max_tokens,
        timeout_ms=timeout_ms,
        usual_tokens=usual_tokens,
        usual_nano=usual_nano,
    )
    verdict = fit((Account(before, limits),), wish)
    return (before if verdict.reserved is None else reserve_amounts(before, verdict.share(limits))), verdict


def book(before: Budget, reserved: Amounts, *, tokens: int | None, took_ms: int) -> tuple[Budget, Booking]:
    """Return the budget after an attempt has ended: its reservation given back, what it used committed.

    *tokens* None is unknown, which is not zero: they are booked as reserved and flagged.
    """
    return settle(before, reserved, Spent(tokens, took_ms))


def settle(before: Budget, reserved: Amounts, spent: Spent) -> tuple[Budget, Booking]:
    """Return the budget after an attempt has ended, and what was booked; the unknown is booked as reserved."""
    booking = booking_of(reserved, spent)
    return _settled(before, reserved, booking), booking


def lose(before: Budget, reserved: Amounts, on_lost: OnLost) -> tuple[Budget, Booking]:
    """Return the budget after an attempt's owner is gone: all but time charged or released, time released."""
    booking = lost_booking(reserved, on_lost)
    return _settled(before, reserved, booking), booking


def correct(
    before: Budget, booked: Booking, reserved: Amounts, *, tokens: int | None, took_ms: int
) -> tuple[Budget, Booking]:
    """Return the budget after late news of a lost attempt: what it used stands in place of what was *booked*."""
    return correct_to(before, booked, reserved, Spent(tokens, took_ms))


def correct_to(before: Budget, booked: Booking, reserved: Amounts, spent: Spent) -> tuple[Budget, Booking]:
    """Return the budget with what was *spent* in place of what was *booked*."""
    booking = booking_of(reserved, spent)
    return _commit(_commit(before, booked, -1), booking, 1), booking


def reserve(before: Budget, *, max_tokens: int | None, timeout_ms: int) -> tuple[Budget, Amounts]:
    """Return the budget after an attempt went out that nobody could ask about, and what is reserved for it."""
    reserved = Amounts(tokens=GUESS_TOKENS if max_tokens is None else max_tokens, calls=1, ms=timeout_ms)
    return reserve_amounts(before, reserved), reserved


def revive(before: Budget, booked: Booking, reserved: Amounts) -> Budget:
    """Return the budget after a lost attempt turned out to be under way still."""
    return reserve_amounts(_commit(before, booked, -1), reserved)


def booking_of(reserved: Amounts, spent: Spent) -> Booking:
    """Return what is booked for *spent*: what is unknown, or in another currency, as it was reserved.

    Money is counted only where there is a limit to it, in that limit's currency.
    """
    counts_money = reserved.currency is not None
    priced = counts_money and spent.nano is not None and reserved.currency == spent.currency
    return Booking(
        spent=Amounts(
            tokens=reserved.tokens if spent.tokens is None else spent.tokens,
            calls=reserved.calls if spent.calls is None else spent.calls,
            ms=spent.ms,
            nano=(spent.nano or 0) if priced else reserved.nano,
            currency=reserved.currency,
        ),
        estimated=spent.tokens is None or (counts_money and not priced),
    )


def lost_booking(reserved: Amounts, on_lost: OnLost) -> Booking:
    """Return what is booked for an attempt whose owner is gone."""
    charged = on_lost is OnLost.CHARGE
    return Booking(spent=reserved.model_copy(update={"ms": 0}) if charged else Amounts(), estimated=charged)


def reserve_amounts(before: Budget, reserved: Amounts) -> Budget:
    """Return the budget with *reserved* set apart."""
    return _moved(before, reserved=reserved)


def release_amounts(before: Budget, reserved: Amounts) -> Budget:
    """Return the budget with *reserved* given back."""
    return _moved(before, reserved=reserved, reserved_sign=-1)


def _commit(before: Budget, booking: Booking, sign: int) -> Budget:
    return _moved(before, committed=booking.spent, sign=sign, estimated=sign * booking.estimated)


def _settled(before: Budget, reserved: Amounts, booking: Booking) -> Budget:
    return _moved(
        before, reserved=reserved, reserved_sign=-1, committed=booking.spent, estimated=int(booking.estimated)
    )


_NOTHING = Amounts()


def _moved(
    before: Budget,
    *,
    reserved: Amounts = _NOTHING,
    reserved_sign: int = 1,
    committed: Amounts = _NOTHING,
    sign: int = 1,
    estimated: int = 0,
) -> Budget:
    """Return the budget with amounts added or taken away; `dataclasses.replace` takes three times as long."""
    return Budget(
        tokens_committed=before.tokens_committed + sign * committed.tokens,
        tokens_reserved=before.tokens_reserved + reserved_sign * reserved.tokens,
        calls_committed=before.calls_committed + sign * committed.calls,
        calls_reserved=before.calls_reserved + reserved_sign * reserved.calls,
        ms_committed=before.ms_committed + sign * committed.ms,
        ms_reserved=before.ms_reserved + reserved_sign * reserved.ms,
        nano_committed=before.nano_committed + sign * committed.nano,
        nano_reserved=before.nano_reserved + reserved_sign * reserved.nano,
        estimated=before.estimated + estimated,
    )


def budget_view(budget: Budget) -> BudgetView:
    """Return what was spent and what is reserved, as it is shown."""
    return BudgetView(**{**asdict(budget), "estimated": budget.estimated > 0})
