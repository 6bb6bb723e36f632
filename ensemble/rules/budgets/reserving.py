"""Named budgets by themselves: defined by an operator, reserved from and settled by calls of no run."""

from __future__ import annotations

from ensemble.contract.budgets import (
    Account as Amount,
)
from ensemble.contract.budgets import (
    BudgetDefinition,
    BudgetState,
    Reservation,
    ReservationAsk,
    ReservationNews,
    ReservationSettled,
    ReserveOutcome,
)
from ensemble.contract.exchange import Decision, OnLost
from ensemble.rules.addresses import BUDGETS, RESERVATIONS, budget_definition_at, budget_hash, reservation_at
from ensemble.rules.agents.drafted import DraftedAgents
from ensemble.rules.agents.statistics import GUESS_TOKENS
from ensemble.rules.budgets import budget
from ensemble.rules.budgets.budget import RETRY_MS, Account, Spent, Verdict, Wish
from ensemble.rules.budgets.drafted import DraftedBudgets
from ensemble.rules.budgets.fitting import fit
from ensemble.rules.problems import Conflict, UnknownBudget, UnknownCall
from ensemble.rules.records import Amounts, NamedBudget, Reserved
from ensemble.rules.snapshot import AT_ONCE, EVERY, Address, Changes, Draft, Snapshot

__all__ = ["budget_state", "define", "forget", "lapse", "reserve", "reserving_wants", "settle"]

KEPT_MS = 24 * 3_600_000
"""How long a reservation is kept beyond its lease, so that late news still books what was used, milliseconds."""


def reserving_wants(ask: ReservationAsk, ticket: str) -> tuple[Address, ...]:
    """Return what to read before the first decision of :func:`reserve`."""
    return reservation_at(ticket), *(Address(budget_hash(name), EVERY) for name in ask.budgets)


def budget_state(name: str, snapshot: Snapshot) -> BudgetState | None:
    """Return a named budget as it stands, None if nobody defined it. Raises NotRead."""
    return DraftedBudgets(Draft(snapshot)).state(name)


def define(name: str, definition: BudgetDefinition, snapshot: Snapshot) -> tuple[BudgetState, Changes]:
    """Let a named budget allow this from now on. Another window, or currency, forgets what was spent before.

    Raises:
        NotRead: as any look at the records.

    """
    draft = Draft(snapshot)
    snapshot.require((Address(budget_hash(name), EVERY),))
    text = draft.text(budget_definition_at(name))
    before = None if text is None else NamedBudget.model_validate_json(text)
    same = before is not None and _terms(before.definition) == _terms(definition)
    if before is None:
        after = NamedBudget(definition=definition, life=draft.now_ms, born=draft.now_ms)
    else:
        life = before.life if same else max(draft.now_ms, before.life + 1)
        after = before.model_copy(update={"definition": definition, "life": life})
    draft.put(budget_definition_at(name), after.model_dump_json())
    draft.expire(budget_hash(name), 0)
    draft.rank(BUDGETS, name, draft.now_ms)
    state = DraftedBudgets(draft).state(name)
    assert state is not None  # noqa: S101 -- it was defined above
    return state, draft.changes()


def forget(name: str, snapshot: Snapshot) -> tuple[BudgetState, Changes]:
    """Forget a named budget, what was spent and what is reserved; return it as it stood.

    At once: one that is defined anew under its name must find nothing of it.

    Raises:
        NotRead: as any look at the records.
        UnknownBudget: nobody defined it.

    """
    draft = Draft(snapshot)
    state = DraftedBudgets(draft).state(name)
    if state is None:
        raise UnknownBudget(name)
    draft.put(budget_definition_at(name), None)
    draft.expire(budget_hash(name), AT_ONCE)
    draft.rank(BUDGETS, name, None)
    return state, draft.changes()


def reserve(ask: ReservationAsk, ticket: str, snapshot: Snapshot) -> tuple[Reservation, Changes]:
    """Reserve in all the budgets asked for, or in none.

    Raises:
        NotRead: as any look at the records.
        Conflict: the ticket is known with another body.
        UnknownBudget: one of them is not defined.

    """
    draft = Draft(snapshot)
    snapshot.require(reserving_wants(ask, ticket))
    text = draft.text(reservation_at(ticket))
    if text is not None:
        known = Reserved.model_validate_json(text)
        if known.ask != ask:
            raise Conflict("ticket", f"{ticket} has reserved with another body", "take a new ticket")
        return known.told, draft.changes()
    drafted, accounts = DraftedBudgets(draft), []
    names = tuple(dict.fromkeys(ask.budgets))
    for name in names:
        account = drafted.account(name)
        if account is None:
            raise UnknownBudget(name)
        accounts.append(account)
    verdict = fit(accounts, _wish(ask, draft))
    if verdict.reserved is None:
        return _no(ticket, verdict), Changes()
    shares = tuple(
        drafted.reserve(name, verdict.share(account.limits), bounded=True)
        for name, account in zip(names, accounts, strict=True)
    )
    warnings = tuple(line for name in names for line in drafted.warnings(name))
    told = Reservation(
        ticket=ticket,
        admitted=True,
        outcome=ReserveOutcome.WARN if warnings else ReserveOutcome.ADMITTED,
        reserved=_shown(_largest(verdict, accounts)),
        warnings=warnings,
    )
    until_ms = draft.now_ms + int(ask.lease_s * 1000)
    _keep(draft, ticket, Reserved(ask=ask, told=told, shares=shares, until_ms=until_ms))
    draft.rank(RESERVATIONS, ticket, until_ms)
    return told, draft.changes()


def settle(news: ReservationNews, snapshot: Snapshot) -> tuple[ReservationSettled, Changes]:
    """Book what a call has really used; also where its lease had ended, in place of what was booked then.

    Raises:
        NotRead: as any look at the records.
        UnknownCall: nothing was reserved under this ticket, or long ago.

    """
    draft = Draft(snapshot)
    text = draft.text(reservation_at(news.ticket))
    if text is None:
        raise UnknownCall(news.ticket)
    known, drafted = Reserved.model_validate_json(text), DraftedBudgets(draft)
    if known.settled is not None:
        return known.settled, draft.changes()
    drafted.require(share.name for share in known.shares)
    money = news.money
    spent = Spent(
        news.tokens,
        news.took_ms,
        None if money is None else money.nano(),
        None if money is None else money.currency,
        news.calls,
    )
    bookings = [budget.booking_of(share.reserved, spent) for share in known.shares]
    shares = tuple(drafted.book(share, booking) for share, booking in zip(known.shares, bookings, strict=True))
    priced = next((b.spent for b in bookings if b.spent.currency is not None), bookings[0].spent)
    settled = ReservationSettled(
        ticket=news.ticket, spent=_shown(priced), estimated=any(booking.estimated for booking in bookings)
    )
    _keep(draft, news.ticket, known.model_copy(update={"shares": shares, "settled": settled}))
    draft.rank(RESERVATIONS, news.ticket, None)
    return settled, draft.changes()


def lapse(ticket: str, snapshot: Snapshot) -> tuple[bool, Changes]:
    """Book a reservation whose lease has ended as it was reserved; return whether it had. Raises NotRead."""
    draft = Draft(snapshot)
    text = draft.text(reservation_at(ticket))
    known = None if text is None else Reserved.model_validate_json(text)
    if known is None or known.settled is not None or draft.now_ms >= known.until_ms:
        draft.rank(RESERVATIONS, ticket, None)
    if known is None or known.settled is not None or draft.now_ms < known.until_ms:
        return False, draft.changes()
    drafted = DraftedBudgets(draft)
    drafted.require(share.name for share in known.shares)
    shares = tuple(
        drafted.book(share, budget.lost_booking(share.reserved, OnLost.CHARGE))
        for share in known.shares
        if share.booking is None
    )
    _keep(draft, ticket, known.model_copy(update={"shares": shares or known.shares}))
    return True, draft.changes()


def _terms(definition: BudgetDefinition) -> tuple[object, object]:
    money = definition.limits.money
    return definition.window, None if money is None else money.currency


def _wish(ask: ReservationAsk, draft: Draft) -> Wish:
    tokens, nano = ask.tokens, {}
    if ask.identity is not None and (tokens is None or ask.money is None):
        agents = DraftedAgents(draft)
        tokens = tokens if tokens is not None else agents.usual_tokens(ask.identity)
        nano = agents.usual_nano(ask.identity, ask.tokens)
    if ask.money is not None:
        nano = {ask.money.currency: ask.money.nano()}
    guess = tokens if tokens is not None else GUESS_TOKENS
    return Wish(
        tokens=guess,
        tokens_declared=ask.tokens is not None,
        ms=int(ask.seconds * 1000),
        nano=nano,
        nano_declared=ask.money is not None,
        calls=ask.calls,
    )


def _no(ticket: str, verdict: Verdict) -> Reservation:
    wait = verdict.decision is Decision.WAIT
    return Reservation(
        ticket=ticket,
        admitted=False,
        outcome=ReserveOutcome.WAIT if wait else ReserveOutcome.REFUSED,
        detail=verdict.detail,
        retry_after_ms=RETRY_MS if wait else verdict.retry_after_ms,
    )


def _largest(verdict: Verdict, accounts: list[Account]) -> Amounts:
    """Return what was reserved, with the money of the first account that counts any."""
    shares = [verdict.share(account.limits) for account in accounts]
    return next((share for share in shares if share.currency is not None), shares[0])


def _shown(amounts: Amounts) -> Amount:
    return Amount(**amounts.model_dump())


def _keep(draft: Draft, ticket: str, reserved: Reserved) -> None:
    at = reservation_at(ticket)
    draft.put(at, reserved.model_dump_json())
    draft.expire(at.key, max(0, reserved.until_ms - draft.now_ms) + KEPT_MS)
