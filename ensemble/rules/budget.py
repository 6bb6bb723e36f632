"""What a run may spend: an estimate is reserved at admission, and booked as what was really used at settlement.

Admitted is only what fits: committed + reserved + estimate stays within every limit. What would fit once open
reservations settle waits; what would not fit even then is refused. A settlement is booked in full, so that *committed*
may pass a limit by what the attempts under way used beyond their reservations; then nothing more is admitted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Decision, OnLost
from ensemble.rules.records import Amounts, Booking

__all__ = [
    "COUNTERS",
    "GUESS_TOKENS",
    "RETRY_MS",
    "Budget",
    "Verdict",
    "admit",
    "book",
    "correct",
    "lose",
    "reserve",
    "revive",
]

GUESS_TOKENS = 4_000
"""What an attempt that declares nothing is taken to use, tokens."""
RETRY_MS = 200
"""When to ask again for what may fit once others have settled, milliseconds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What was spent and what is reserved; each is a counter of its own in the store."""

    tokens_committed: int = 0
    tokens_reserved: int = 0
    calls_committed: int = 0
    calls_reserved: int = 0
    ms_committed: int = 0
    ms_reserved: int = 0
    estimated: int = 0
    """How many attempts are booked as reserved, for want of a report."""


COUNTERS = tuple(field.name for field in fields(Budget))
"""The names of the counters, as fields of a run's hash."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an attempt may be paid for; if not, in words why."""

    decision: Decision
    reserved: Amounts | None = None
    """With *admitted*."""
    detail: str = ""


def admit(
    before: Budget, limits: Limits, max_parallel: int, *, max_tokens: int | None, timeout_ms: int
) -> tuple[Budget, Verdict]:
    """Return the budget after one ask for admission, and the verdict with what was reserved.

    Tokens: *max_tokens* as declared, else a guess that leaves room for *max_parallel* attempts and is cut to what is
    left. Calls: one. Time: *timeout_ms* cut to what is left.
    """
    limit_ms = None if limits.seconds is None else limits.seconds * 1000
    guess = GUESS_TOKENS if limits.tokens is None else min(GUESS_TOKENS, max(1, limits.tokens // max_parallel))
    tokens_use = (before.tokens_committed, before.tokens_reserved)
    asked = (
        _fit_at_most(guess, *tokens_use, limits.tokens, "tokens")
        if max_tokens is None
        else _fit_whole(max_tokens, *tokens_use, limits.tokens, "tokens"),
        _fit_whole(1, before.calls_committed, before.calls_reserved, limits.calls, "calls"),
        _fit_at_most(timeout_ms, before.ms_committed, before.ms_reserved, limit_ms, "milliseconds of agents' time"),
    )
    for decision in (Decision.REFUSED, Decision.WAIT):
        details = [answer.detail for answer in asked if answer.decision is decision]
        if details:
            return before, Verdict(decision, detail="; ".join(details))
    tokens, calls, ms = (answer.amount for answer in asked)
    reserved = Amounts(tokens=tokens, calls=calls, ms=ms)
    return _reserve(before, reserved), Verdict(Decision.ADMITTED, reserved)


def book(before: Budget, reserved: Amounts, *, tokens: int | None, took_ms: int) -> tuple[Budget, Booking]:
    """Return the budget after an attempt has ended: its reservation given back, what it used committed.

    *tokens* None is unknown, which is not zero: they are booked as reserved and flagged.
    """
    booking = _booking(reserved, tokens, took_ms)
    return _commit(_release(before, reserved), booking, 1), booking


def lose(before: Budget, reserved: Amounts, on_lost: OnLost) -> tuple[Budget, Booking]:
    """Return the budget after an attempt's owner is gone: tokens and calls charged or released, time released."""
    charged = on_lost is OnLost.CHARGE
    spent = Amounts(tokens=reserved.tokens, calls=reserved.calls) if charged else Amounts()
    booking = Booking(spent=spent, estimated=charged)
    return _commit(_release(before, reserved), booking, 1), booking


def correct(
    before: Budget, booked: Booking, reserved: Amounts, *, tokens: int | None, took_ms: int
) -> tuple[Budget, Booking]:
    """Return the budget after late news of a lost attempt: what it used stands in place of what was *booked*."""
    booking = _booking(reserved, tokens, took_ms)
    return _commit(_commit(before, booked, -1), booking, 1), booking


def reserve(before: Budget, *, max_tokens: int | None, timeout_ms: int) -> tuple[Budget, Amounts]:
    """Return the budget after an attempt went out that nobody could ask about, and what is reserved for it."""
    reserved = Amounts(tokens=GUESS_TOKENS if max_tokens is None else max_tokens, calls=1, ms=timeout_ms)
    return _reserve(before, reserved), reserved


def revive(before: Budget, booked: Booking, reserved: Amounts) -> Budget:
    """Return the budget after a lost attempt turned out to be under way still."""
    return _reserve(_commit(before, booked, -1), reserved)


@dataclass(frozen=True, slots=True)
class _Fit:
    decision: Decision
    amount: int = 0
    detail: str = ""


def _fit_whole(amount: int, committed: int, reserved: int, limit: int | None, unit: str) -> _Fit:
    """Judge one dimension in which exactly *amount* is needed."""
    if limit is None or committed + reserved + amount <= limit:
        return _Fit(Decision.ADMITTED, amount)
    left = max(0, limit - committed)
    if amount > left:
        return _Fit(Decision.REFUSED, detail=f"{amount} {unit} are needed, {left} of the run's {limit} are left")
    return _Fit(Decision.WAIT, detail=f"{reserved} of the {left} {unit} that are left are reserved")


def _fit_at_most(amount: int, committed: int, reserved: int, limit: int | None, unit: str) -> _Fit:
    """Judge one dimension in which whatever is left will do, up to *amount*."""
    if limit is None:
        return _Fit(Decision.ADMITTED, amount)
    if committed >= limit:
        return _Fit(Decision.REFUSED, detail=f"all of the run's {limit} {unit} are spent")
    free = limit - committed - reserved
    if free <= 0:
        return _Fit(Decision.WAIT, detail=f"all {limit - committed} {unit} that are left are reserved")
    return _Fit(Decision.ADMITTED, min(amount, free))


def _booking(reserved: Amounts, tokens: int | None, took_ms: int) -> Booking:
    spent = Amounts(tokens=reserved.tokens if tokens is None else tokens, calls=reserved.calls, ms=took_ms)
    return Booking(spent=spent, estimated=tokens is None)


def _reserve(before: Budget, reserved: Amounts) -> Budget:
    return replace(
        before,
        tokens_reserved=before.tokens_reserved + reserved.tokens,
        calls_reserved=before.calls_reserved + reserved.calls,
        ms_reserved=before.ms_reserved + reserved.ms,
    )


def _release(before: Budget, reserved: Amounts) -> Budget:
    return replace(
        before,
        tokens_reserved=before.tokens_reserved - reserved.tokens,
        calls_reserved=before.calls_reserved - reserved.calls,
        ms_reserved=before.ms_reserved - reserved.ms,
    )


def _commit(before: Budget, booking: Booking, sign: int) -> Budget:
    return replace(
        before,
        tokens_committed=before.tokens_committed + sign * booking.spent.tokens,
        calls_committed=before.calls_committed + sign * booking.spent.calls,
        ms_committed=before.ms_committed + sign * booking.spent.ms,
        estimated=before.estimated + sign * booking.estimated,
    )
