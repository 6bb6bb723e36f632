"""What attempts of a run cost: held against its own limits, those of the runs above and every named budget, in all or none."""

from __future__ import annotations

from typing import Any

from ensemble.contract.budgets import NANO, Limits
from ensemble.contract.exchange import AdmissionAsk, Decision, Settlement
from ensemble.rules.addresses import run_hash
from ensemble.rules.budgets import budget
from ensemble.rules.budgets.budget import Account, Spent, Verdict
from ensemble.rules.budgets.fitting import fit, limits_in_units
from ensemble.rules.records import Amounts, Attempt, Charge, Share
from ensemble.rules.runs import under_way
from ensemble.rules.runs.working import Working
from ensemble.rules.snapshot import Address

__all__ = ["afford", "book", "lose", "reserve", "reserve_late", "revive"]


def afford(work: Working, ask: AdmissionAsk) -> Verdict:
    """Return whether an attempt can be paid for. Raises NotRead."""
    run, accounts = work.run, [Account(work.budget, work.run.limits)]
    max_tokens = ask.max_tokens or work.agents.max_tokens(ask.identity)
    work.named.require(run.budgets)
    work.above.require(run.above)
    accounts += [account for run_id in run.above if (account := work.above.account(run_id)) is not None]
    tightest = min((a.limits.tokens for a in accounts if a.limits.tokens is not None), default=None)
    for name in run.budgets:
        account = work.named.account(name)
        if account is None:
            return Verdict(Decision.REFUSED, detail=f"budget {name!r} is not defined any more")
        accounts.append(account)
    wish = budget.wish_for(
        run.limits.model_copy(update={"tokens": tightest}),
        run.max_parallel,
        max_tokens=max_tokens,
        timeout_ms=ask.timeout_ms,
        usual_tokens=work.agents.usual_tokens(ask.identity),
        usual_nano=work.agents.usual_nano(ask.identity, max_tokens),
    )
    return fit(accounts, wish)


def reserve(work: Working, verdict: Verdict) -> tuple[Amounts, tuple[Share, ...], tuple[Charge, ...]]:
    """Set apart what was found to fit, and let the commit fail if others have spent it meanwhile."""
    limits = work.run.limits
    reserved = verdict.share(limits)
    work.budget = budget.reserve_amounts(work.budget, reserved)
    key = run_hash(work.run_id)
    for dimension, limit in limits_in_units(limits):
        work.draft.bound((Address(key, f"{dimension}_committed"), Address(key, f"{dimension}_reserved")), limit)
    shares = []
    for name in work.run.budgets:
        definition = work.named.definition(name)
        if definition is not None:
            shares.append(work.named.reserve(name, verdict.share(definition.limits), bounded=True))
    charges = []
    for run_id in work.run.above:
        run = work.above.run(run_id)
        if run is not None:
            charges.append(work.above.reserve(run_id, verdict.share(run.limits), bounded=True))
    return reserved, tuple(shares), tuple(charges)


def reserve_late(work: Working, ask: AdmissionAsk) -> tuple[Amounts, tuple[Share, ...], tuple[Charge, ...]]:
    """Set apart what an attempt may use that went out without being asked for, whatever the limits say.

    Of money nothing, but each account's share says in which currency it is booked once it is known.
    """
    work.budget, reserved = budget.reserve(work.budget, max_tokens=ask.max_tokens, timeout_ms=ask.timeout_ms)
    work.named.require(work.run.budgets)
    work.above.require(work.run.above)
    shares = []
    for name in work.run.budgets:
        definition = work.named.definition(name)
        share = reserved if definition is None else _counted_in(definition.limits, reserved)
        shares.append(work.named.reserve(name, share, bounded=False))
    charges = []
    for run_id in work.run.above:
        run = work.above.run(run_id)
        share = reserved if run is None else _counted_in(run.limits, reserved)
        charges.append(work.above.reserve(run_id, share, bounded=False))
    return _counted_in(work.run.limits, reserved), tuple(shares), tuple(charges)


def _counted_in(limits: Limits, reserved: Amounts) -> Amounts:
    """Return *reserved* as an account with these *limits* counts it: with its currency, if it counts money."""
    return reserved if limits.money is None else reserved.model_copy(update={"currency": limits.money.currency})


def book(work: Working, attempt: Attempt, news: Settlement) -> dict[str, Any]:
    """Book what an attempt has used, in place of its reservation or of what was booked for it when it was lost.

    Returns what is new of the attempt's record.
    """
    usage = news.usage
    nano = None if usage.price is None else int(usage.price * NANO)
    spent = Spent(usage.tokens, news.took_ms, nano, usage.currency)
    if attempt.booking is None:
        work.budget, booking = budget.settle(work.budget, attempt.reserved, spent)
    else:
        work.budget, booking = budget.correct_to(work.budget, attempt.booking, attempt.reserved, spent)
    work.named.require(share.name for share in attempt.shares)
    work.above.require(charge.run_id for charge in attempt.charges)
    shares = tuple(work.named.book(share, budget.booking_of(share.reserved, spent)) for share in attempt.shares)
    charges = tuple(work.above.book(each, budget.booking_of(each.reserved, spent)) for each in attempt.charges)
    _leave(work, attempt)
    return {"booking": booking, "shares": shares, "charges": charges}


def lose(work: Working, attempt: Attempt) -> dict[str, Any]:
    """Book an attempt whose owner is gone as the run wishes; return what is new of its record."""
    on_lost = work.run.on_lost
    work.budget, booking = budget.lose(work.budget, attempt.reserved, on_lost)
    work.named.require(share.name for share in attempt.shares)
    work.above.require(charge.run_id for charge in attempt.charges)
    shares = tuple(work.named.book(share, budget.lost_booking(share.reserved, on_lost)) for share in attempt.shares)
    charges = tuple(work.above.book(each, budget.lost_booking(each.reserved, on_lost)) for each in attempt.charges)
    _leave(work, attempt)
    return {"booking": booking, "shares": shares, "charges": charges}


def revive(work: Working, attempt: Attempt) -> dict[str, Any]:
    """Take back what was booked for an attempt that is under way after all; return what is new of its record."""
    if attempt.booking is not None:
        work.budget = budget.revive(work.budget, attempt.booking, attempt.reserved)
        work.slots.take_again(attempt.slots)
        under_way.reenter(work, attempt)
        if attempt.nests:
            work.above.hold(work.run_id, attempt)
    work.named.require(share.name for share in attempt.shares)
    work.above.require(charge.run_id for charge in attempt.charges)
    return {
        "booking": None,
        "shares": tuple(work.named.revive(share) for share in attempt.shares),
        "charges": tuple(work.above.revive(charge) for charge in attempt.charges),
    }


def _leave(work: Working, attempt: Attempt) -> None:
    """Give back what an attempt holds that is booked for the first time, or again after it was revived."""
    if attempt.booking is None:
        work.slots.leave(attempt.slots)
        under_way.leave(work.draft, attempt)
        if attempt.nests:
            work.above.hold(work.run_id, attempt, -1)
