"""Whether an attempt can be paid for: the same wish held against every account it is charged to, in every dimension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ensemble.contract.budgets import NANO, Limits
from ensemble.contract.exchange import Decision
from ensemble.rules.records import Amounts

__all__ = ["Account", "Budget", "Verdict", "Wish", "fit", "limits_in_units"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What was spent and what is reserved; each is a counter of its own in the store."""

    tokens_committed: int = 0
    tokens_reserved: int = 0
    calls_committed: int = 0
    calls_reserved: int = 0
    ms_committed: int = 0
    ms_reserved: int = 0
    nano_committed: int = 0
    nano_reserved: int = 0
    estimated: int = 0
    """How many attempts are booked as reserved, for want of a report."""


@dataclass(frozen=True, slots=True)
class Account:
    """A budget, its limits, and in words whose they are."""

    budget: Budget
    limits: Limits
    whose: str = "the run's"
    retry_after_ms: int | None = None
    """When its window ends or moves on; None: it has no end that anybody waits for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one attempt asks for. What is declared is needed whole; of anything else whatever is left will do."""

    tokens: int
    tokens_declared: bool
    ms: int
    nano: Mapping[str, int] = field(default_factory=dict)
    """Money by currency, in billionths."""
    nano_declared: bool = False
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an attempt may be paid for; if not, in words why."""

    decision: Decision
    reserved: Amounts | None = None
    """With *admitted*: without money, which is counted by account."""
    detail: str = ""
    money: Mapping[str, int] = field(default_factory=dict)
    """With *admitted*: by currency, in billionths."""
    retry_after_ms: int | None = None
    """With *refused*: when a window ends in which it did not fit."""

    def share(self, limits: Limits) -> Amounts:
        """Return what an account with these *limits* reserves: money in its own currency only."""
        reserved = self.reserved or Amounts()
        if limits.money is None:
            return reserved
        currency = limits.money.currency
        return reserved.model_copy(update={"nano": self.money.get(currency, 0), "currency": currency})


@dataclass(frozen=True, slots=True)
class _Fit:
    decision: Decision
    amount: int = 0
    detail: str = ""
    retry_after_ms: int | None = None


def fit(accounts: Iterable[Account], wish: Wish) -> Verdict:
    """Return whether all *accounts* can pay for *wish*, and with what: the same for all, or for none."""
    accounts = tuple(accounts)
    found = {
        "tokens": _narrow(accounts, "tokens", wish.tokens, whole=wish.tokens_declared),
        "calls": _narrow(accounts, "calls", wish.calls, whole=True),
        "ms": _narrow(accounts, "ms", wish.ms, whole=False),
    }
    currencies = dict.fromkeys(a.limits.money.currency for a in accounts if a.limits.money is not None)
    money = {
        currency: _narrow(accounts, currency, wish.nano.get(currency, 0), whole=wish.nano_declared)
        for currency in currencies
    }
    answers = [*found.values(), *money.values()]
    for decision in (Decision.REFUSED, Decision.WAIT):
        said = [answer for answer in answers if answer.decision is decision]
        if said:
            ends = [answer.retry_after_ms for answer in said if answer.retry_after_ms is not None]
            retry_after_ms = max(ends) if len(ends) == len(said) else None
            return Verdict(decision, detail="; ".join(a.detail for a in said), retry_after_ms=retry_after_ms)
    reserved = Amounts(**{dimension: answer.amount for dimension, answer in found.items()})
    return Verdict(Decision.ADMITTED, reserved, money={name: answer.amount for name, answer in money.items()})


def limits_in_units(limits: Limits) -> Iterator[tuple[str, int]]:
    """Yield each limit that is set: the counters' dimension, and the limit in their unit."""
    if limits.tokens is not None:
        yield "tokens", limits.tokens
    if limits.calls is not None:
        yield "calls", limits.calls
    if limits.seconds is not None:
        yield "ms", limits.seconds * 1000
    if limits.money is not None:
        yield "nano", limits.money.nano()


def _narrow(accounts: tuple[Account, ...], dimension: str, amount: int, *, whole: bool) -> _Fit:
    """Judge one dimension, or one currency, over all accounts: a refusal before a wait; else what all can give."""
    said = []
    for account in accounts:
        found = _judge(account, dimension, amount, whole=whole)
        if found is not None and found.decision is Decision.ADMITTED:
            amount = found.amount
        elif found is not None:
            said.append(found)
    refused = [found for found in said if found.decision is Decision.REFUSED]
    if refused:
        ends = [found.retry_after_ms for found in refused if found.retry_after_ms is not None]
        return replace(refused[0], retry_after_ms=max(ends) if len(ends) == len(refused) else None)
    return said[0] if said else _Fit(Decision.ADMITTED, amount)


def _judge(account: Account, dimension: str, amount: int, *, whole: bool) -> _Fit | None:
    """Judge one dimension of one account; None where it has no limit there."""
    budget, limits = account.budget, account.limits
    if dimension == "tokens":
        limit, used = limits.tokens, (budget.tokens_committed, budget.tokens_reserved)
    elif dimension == "calls":
        limit, used = limits.calls, (budget.calls_committed, budget.calls_reserved)
    elif dimension == "ms":
        limit = None if limits.seconds is None else limits.seconds * 1000
        used = (budget.ms_committed, budget.ms_reserved)
    else:
        money = limits.money
        limit = None if money is None or money.currency != dimension else money.nano()
        used = (budget.nano_committed, budget.nano_reserved)
    if limit is None:
        return None
    unit = {"tokens": "tokens", "calls": "calls", "ms": "milliseconds of agents' time"}.get(dimension)
    words = _Words(account.whose, unit or dimension, 1 if unit else NANO)
    judge = _fit_whole if whole else _fit_at_most
    found = judge(amount, *used, limit, words)
    if found.decision is Decision.REFUSED:
        return _Fit(found.decision, detail=found.detail, retry_after_ms=account.retry_after_ms)
    return found


@dataclass(frozen=True, slots=True)
class _Words:
    whose: str
    unit: str
    divisor: int

    def number(self, amount: int) -> str:
        return f"{amount / self.divisor:.6f}".rstrip("0").rstrip(".") if self.divisor > 1 else str(amount)


def _fit_whole(amount: int, committed: int, reserved: int, limit: int, words: _Words) -> _Fit:
    """Judge one dimension in which exactly *amount* is needed."""
    if committed + reserved + amount <= limit:
        return _Fit(Decision.ADMITTED, amount)
    left, n = max(0, limit - committed), words.number
    if amount > left:
        detail = f"{n(amount)} {words.unit} are needed, {n(left)} of {words.whose} {n(limit)} are left"
        return _Fit(Decision.REFUSED, detail=detail)
    return _Fit(Decision.WAIT, detail=f"{n(reserved)} of the {n(left)} {words.unit} that are left are reserved")


def _fit_at_most(amount: int, committed: int, reserved: int, limit: int, words: _Words) -> _Fit:
    """Judge one dimension in which whatever is left will do, up to *amount*."""
    n = words.number
    if committed >= limit:
        return _Fit(Decision.REFUSED, detail=f"all of {words.whose} {n(limit)} {words.unit} are spent")
    free = limit - committed - reserved
    if free <= 0 < amount or free < 0:
        return _Fit(Decision.WAIT, detail=f"all {n(limit - committed)} {words.unit} that are left are reserved")
    return _Fit(Decision.ADMITTED, min(amount, free))
