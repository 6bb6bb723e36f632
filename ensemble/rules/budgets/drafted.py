"""The named budgets while something is decided: what they allow in their present window, reserved and booked by adding.

All of one budget stands in one hash: its definition, what is reserved, and a ring of what was spent. Reservations belong
to no window: they weigh on whichever is present until they are settled, and what was spent is booked when it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ensemble.contract.budgets import BudgetDefinition, BudgetState
from ensemble.rules.addresses import budget_definition_at, budget_hash
from ensemble.rules.budgets.budget import budget_view
from ensemble.rules.budgets.fitting import Account, Budget, limits_in_units
from ensemble.rules.budgets.periods import moves_ms, slot_at, slots_of
from ensemble.rules.records import Amounts, Booking, NamedBudget, Share
from ensemble.rules.ring import Ring
from ensemble.rules.snapshot import EVERY, Address, Draft

__all__ = ["DraftedBudgets"]

DIMENSIONS = ("tokens", "calls", "ms", "nano")
SPENT = (*DIMENSIONS, "estimated")
UNITS = {"tokens": "tokens", "calls": "calls", "ms": "milliseconds of agents' time", "nano": "billionths"}


class DraftedBudgets:
    """The named budgets of one decision. Any look at one may raise NotRead."""

    def __init__(self, draft: Draft) -> None:
        """Begin with the budgets as they stand; whatever is done is written on *draft* at once."""
        self._draft = draft
        self._found: dict[str, NamedBudget | None] = {}
        self._spent: dict[str, Mapping[str, int]] = {}
        """What was added up; thousands of attempts may ask for the same sums in one decision."""
        self._bounded: set[str] = set()

    def require(self, names: Iterable[str]) -> None:
        """Raise NotRead for all of *names* that were not read, so that they are read in one go."""
        self._draft.snapshot.require(Address(budget_hash(name), EVERY) for name in names)

    def definition(self, name: str) -> BudgetDefinition | None:
        """Return what a budget allows, None if nobody defined it."""
        found = self._named(name)
        return None if found is None else found.definition

    def account(self, name: str) -> Account | None:
        """Return a budget as it stands in its present window, None if nobody defined it."""
        found = self._named(name)
        if found is None:
            return None
        window, now_ms = found.definition.window, self._draft.now_ms
        ends_ms = moves_ms(window, now_ms)
        return Account(
            budget=self._budget(name, found),
            limits=found.definition.limits,
            whose=f"budget {name!r}'s",
            retry_after_ms=None if ends_ms is None else ends_ms - now_ms,
        )

    def state(self, name: str) -> BudgetState | None:
        """Return a budget as it is shown, None if nobody defined it."""
        found = self._named(name)
        if found is None:
            return None
        return BudgetState(
            name=name,
            definition=found.definition,
            used=budget_view(self._budget(name, found)),
            ends_ms=moves_ms(found.definition.window, self._draft.now_ms),
            warnings=self.warnings(name),
        )

    def warnings(self, name: str) -> tuple[str, ...]:
        """Return in words which limits of a budget are nearly reached."""
        found = self._named(name)
        if found is None:
            return ()
        budget, definition, lines = asdict(self._budget(name, found)), found.definition, []
        for dimension, limit in limits_in_units(definition.limits):
            used = budget[f"{dimension}_committed"] + budget[f"{dimension}_reserved"]
            if limit and 100 * used >= definition.warn_at * limit:
                unit = dimension
                if definition.limits.money is not None and dimension == "nano":
                    unit = definition.limits.money.currency
                lines.append(f"budget {name!r}: {100 * used // limit} % of its {unit} are spent or reserved")
        return tuple(lines)

    def reserve(self, name: str, reserved: Amounts, *, bounded: bool) -> Share:
        """Set *reserved* apart; *bounded*: the commit fails if it does not fit any more."""
        found = self._named(name)
        share = Share(name=name, reserved=reserved, born=None if found is None else found.born)
        self._weigh(share, 1)
        if found is not None and bounded and name not in self._bounded:
            self._bounded.add(name)
            ring = self._ring(name, found)
            ring.turn(self._draft, slot_at(found.definition.window, self._draft.now_ms), found.life)
            for dimension, limit in limits_in_units(found.definition.limits):
                spent = ring.addresses(dimension)
                self._draft.bound((*spent, Address(budget_hash(name), f"reserved.{dimension}")), limit)
        return share

    def book(self, share: Share, booking: Booking) -> Share:
        """Give a reservation back, or take back what was booked for it before, and book what it was really."""
        share = self.revive(share) if share.booking is not None else share
        self._weigh(share, -1)
        found = self._named(share.name)
        if found is None:
            return share.model_copy(update={"booking": booking})
        booking = _in_its_money(booking, found)
        ring = self._ring(share.name, found)
        slot = ring.turn(self._draft, slot_at(found.definition.window, self._draft.now_ms), found.life)
        self._commit(share.name, ring, slot, booking, 1)
        return share.model_copy(update={"booking": booking, "slot": slot, "life": found.life})

    def revive(self, share: Share) -> Share:
        """Take back what was booked, where its window is still the present one, and set the same apart again."""
        found, booking = self._named(share.name), share.booking
        self._weigh(share, 1)
        if found is not None and booking is not None and share.slot is not None and share.life == found.life:
            ring = self._ring(share.name, found)
            newest = ring.turn(self._draft, slot_at(found.definition.window, self._draft.now_ms), found.life)
            if newest - ring.slots < share.slot:
                self._commit(share.name, ring, share.slot, booking, -1)
        return share.model_copy(update={"booking": None, "slot": None})

    def _named(self, name: str) -> NamedBudget | None:
        if name not in self._found:
            self.require((name,))
            text = self._draft.text(budget_definition_at(name))
            self._found[name] = None if text is None else NamedBudget.model_validate_json(text)
        return self._found[name]

    def _budget(self, name: str, found: NamedBudget) -> Budget:
        ring, now = self._ring(name, found), slot_at(found.definition.window, self._draft.now_ms)
        if name not in self._spent:
            self._spent[name] = {kind: ring.total(self._draft, kind, now, found.life) for kind in SPENT}
        spent, key = self._spent[name], budget_hash(name)
        reserved = {
            f"{dimension}_reserved": self._draft.counter(Address(key, f"reserved.{dimension}"))
            for dimension in DIMENSIONS
        }
        return Budget(
            **{f"{dimension}_committed": spent[dimension] for dimension in DIMENSIONS},
            **reserved,
            estimated=spent["estimated"],
        )

    def _ring(self, name: str, found: NamedBudget) -> Ring:
        return Ring(budget_hash(name), slots_of(found.definition.window), SPENT)

    def _weigh(self, share: Share, sign: int) -> None:
        """Set a share apart, or give it back; nothing of a budget that was forgotten since, and maybe defined anew.

        The commit fails if that happens meanwhile: a counter must neither bring back a forgotten budget nor bend a new one.
        """
        found = self._named(share.name)
        if found is None or found.born != share.born:
            return
        self._draft.check(budget_definition_at(share.name))
        for dimension in DIMENSIONS:
            address = Address(budget_hash(share.name), f"reserved.{dimension}")
            self._draft.add(address, sign * int(getattr(share.reserved, dimension)))

    def _commit(self, name: str, ring: Ring, slot: int, booking: Booking, sign: int) -> None:
        self._spent.pop(name, None)
        for dimension in DIMENSIONS:
            ring.add(self._draft, slot, dimension, sign * int(getattr(booking.spent, dimension)))
        ring.add(self._draft, slot, "estimated", sign * int(booking.estimated))


def _in_its_money(booking: Booking, found: NamedBudget) -> Booking:
    """Return *booking* without money of another currency than the budget counts by now; it was unknown before."""
    money = found.definition.limits.money
    if money is None or booking.spent.currency == money.currency:
        return booking
    spent = booking.spent.model_copy(update={"nano": 0, "currency": money.currency})
    return booking.model_copy(update={"spent": spent, "estimated": True})
