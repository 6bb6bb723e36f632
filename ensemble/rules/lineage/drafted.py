"""The runs above one while something is decided: what they allow, reserved and booked with it by adding.

Their records are not written here, only their counters, so that nobody collides with the engines that run them. What
never changes of a run, what it is about, is checked at commit: counters are not added to a run that is not kept any more.

A call of theirs inside which a run was opened ends after that run. What it has reserved is not coming back while that run
waits, so to runs below it counts as spent; its time goes by inside theirs, so that is given back when they begin.
"""

from __future__ import annotations

from collections.abc import Iterable

from ensemble.rules.addresses import ABOUT, run_at, run_hash
from ensemble.rules.budgets.budget import COUNTERS
from ensemble.rules.budgets.fitting import Account, Budget, limits_in_units
from ensemble.rules.records import Amounts, Attempt, Booking, Charge, Run
from ensemble.rules.snapshot import Address, Draft

__all__ = ["RunsAbove", "above_wants"]

DIMENSIONS = ("tokens", "calls", "ms", "nano")


class RunsAbove:
    """The runs inside whose calls others were opened, as accounts. Any look at one may raise NotRead."""

    def __init__(self, draft: Draft) -> None:
        """Begin with the runs as they stand; whatever is done is written on *draft* at once."""
        self._draft = draft
        self._found: dict[str, Run | None] = {}

    def require(self, run_ids: Iterable[str]) -> None:
        """Raise NotRead for all of *run_ids* that were not read, so that they are read in one go."""
        self._draft.snapshot.require(address for run_id in run_ids for address in above_wants(run_id))

    def run(self, run_id: str) -> Run | None:
        """Return a run as it stood when this was read, None if it is not kept any more."""
        if run_id not in self._found:
            self.require((run_id,))
            texts = [self._draft.text(run_at(run_id, field)) for field in ("run", ABOUT)]
            self._found[run_id] = None if None in texts else Run.model_validate_json(texts[0] or "")
        return self._found[run_id]

    def account(self, run_id: str) -> Account | None:
        """Return a run as those below it have to see it; None if it is not kept any more, and limits nobody."""
        run = self.run(run_id)
        if run is None:
            return None
        key = run_hash(run_id)
        stand = {name: self._draft.counter(Address(key, name)) for name in COUNTERS}
        for dimension in DIMENSIONS:
            held = self._draft.counter(_held(run_id, dimension))
            stand[f"{dimension}_committed"] += held
            stand[f"{dimension}_reserved"] -= held
        return Account(Budget(**stand), run.limits, whose="the run above's")

    def reserve(self, run_id: str, reserved: Amounts, *, bounded: bool) -> Charge:
        """Set *reserved* apart; *bounded*: the commit fails if it does not fit any more."""
        run = self.run(run_id)
        if run is not None:
            self._reserve(run_id, reserved, 1)
            for dimension, limit in limits_in_units(run.limits) if bounded else ():
                key = run_hash(run_id)
                self._draft.bound(
                    (Address(key, f"{dimension}_committed"), Address(key, f"{dimension}_reserved")), limit
                )
        return Charge(run_id=run_id, reserved=reserved)

    def book(self, charge: Charge, booking: Booking) -> Charge:
        """Give a reservation back, or take back what was booked for it before, and book what it was really."""
        if self.run(charge.run_id) is not None:
            if charge.booking is None:
                self._reserve(charge.run_id, charge.reserved, -1)
            else:
                self._commit(charge.run_id, charge.booking, -1)
            self._commit(charge.run_id, booking, 1)
        return charge.model_copy(update={"booking": booking})

    def revive(self, charge: Charge) -> Charge:
        """Take back what was booked, and set the same apart again."""
        if self.run(charge.run_id) is not None and charge.booking is not None:
            self._commit(charge.run_id, charge.booking, -1)
            self._reserve(charge.run_id, charge.reserved, 1)
        return charge.model_copy(update={"booking": None})

    def hold(self, run_id: str, attempt: Attempt, sign: int = 1) -> None:
        """Let what an attempt of *run_id* has reserved, there and above, count as spent to runs below; or no longer."""
        for where, reserved in ((run_id, attempt.reserved), *((c.run_id, c.reserved) for c in attempt.charges)):
            if self.run(where) is not None:
                self._mind(where)
                for dimension in DIMENSIONS:
                    self._draft.add(_held(where, dimension), sign * int(getattr(reserved, dimension)))

    def nest(self, run_id: str, attempt: Attempt) -> Attempt:
        """Take note that a run is opened inside an attempt of *run_id*; return the attempt as it is now.

        Its time is not reserved any more: that of the calls inside is, one after the other.
        """
        lent = attempt.reserved.ms
        if self.run(run_id) is not None:
            self._mind(run_id)
            self._draft.add(Address(run_hash(run_id), "ms_reserved"), -lent)
        charges = tuple(self._lend(charge) for charge in attempt.charges)
        after = attempt.model_copy(
            update={"nests": True, "reserved": _without_time(attempt.reserved), "charges": charges}
        )
        self.hold(run_id, after)
        return after

    def _lend(self, charge: Charge) -> Charge:
        if self.run(charge.run_id) is not None:
            self._reserve(charge.run_id, Amounts(ms=charge.reserved.ms), -1)
        return charge.model_copy(update={"reserved": _without_time(charge.reserved)})

    def _reserve(self, run_id: str, reserved: Amounts, sign: int) -> None:
        self._mind(run_id)
        for dimension in DIMENSIONS:
            self._draft.add(
                Address(run_hash(run_id), f"{dimension}_reserved"), sign * int(getattr(reserved, dimension))
            )

    def _commit(self, run_id: str, booking: Booking, sign: int) -> None:
        self._mind(run_id)
        key = run_hash(run_id)
        for dimension in DIMENSIONS:
            self._draft.add(Address(key, f"{dimension}_committed"), sign * int(getattr(booking.spent, dimension)))
        self._draft.add(Address(key, "estimated"), sign * int(booking.estimated))

    def _mind(self, run_id: str) -> None:
        """Let the commit fail if the run is gone by then: a counter must not bring back a piece of it, for ever."""
        self._draft.check(run_at(run_id, ABOUT))


def above_wants(run_id: str) -> tuple[Address, ...]:
    """Return what is read of a run above."""
    key = run_hash(run_id)
    return (
        run_at(run_id),
        run_at(run_id, ABOUT),
        *(Address(key, name) for name in COUNTERS),
        *(_held(run_id, dimension) for dimension in DIMENSIONS),
    )


def _held(run_id: str, dimension: str) -> Address:
    """Return the counter of what calls hold inside which runs were opened."""
    return Address(run_hash(run_id), f"{dimension}_held")


def _without_time(reserved: Amounts) -> Amounts:
    return reserved.model_copy(update={"ms": 0})
