"""A window that moves by slots: counters anybody may add to, and one small document that says which slot is the newest.

The counters stand in one hash. Adding to them collides with nobody; only whoever moves the window on writes its head,
and whoever counts makes sure that the head is still the one it counted by, so that no count is lost or lands in a slot
that means another time by now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ensemble.rules.snapshot import EVERY, Address, Draft

__all__ = ["Ring"]

HEAD = "head"
"""Field of the newest slot's number and the window's life, as a JSON list."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A window of *slots* in the hash *key*; each slot holds one counter of every name."""

    key: str
    slots: int
    names: tuple[str, ...]

    def head(self, draft: Draft, life: int) -> int | None:
        """Return the newest slot of this *life*, None if it has none yet. Raises NotRead."""
        draft.snapshot.require((Address(self.key, EVERY),))
        text = draft.text(Address(self.key, HEAD))
        if text is None:
            return None
        slot, alive = json.loads(text)
        return int(slot) if alive == life else None

    def turn(self, draft: Draft, slot: int, life: int = 0) -> int:
        """Make *slot* the newest unless a later one is, forget what is not in the window any more; return the newest.

        Another *life* forgets everything. From now on the commit fails if somebody else turns the window.
        """
        before = self.head(draft, life)
        first = slot - self.slots + 1
        stale = range(first if before is None else max(before + 1, first), slot + 1)
        for each in stale:
            for name in self.names:
                draft.add(self._at(each, name), -draft.counter(self._at(each, name)))
        newest = slot if before is None else max(before, slot)
        draft.put(Address(self.key, HEAD), json.dumps([newest, life]))
        draft.check(Address(self.key, HEAD))
        return newest

    def add(self, draft: Draft, slot: int, name: str, amount: int) -> None:
        """Add to one counter of a slot that is in the window."""
        draft.add(self._at(slot, name), amount)

    def at(self, draft: Draft, slot: int, name: str) -> int:
        """Return one counter of a slot that is in the window."""
        return draft.counter(self._at(slot, name))

    def total(self, draft: Draft, name: str, slot: int, life: int = 0) -> int:
        """Return the sum over what is in the window at *slot*, whether or not it was turned there. Raises NotRead."""
        head = self.head(draft, life)
        if head is None:
            return 0
        inside = range(max(slot, head) - self.slots + 1, head + 1)
        return sum(draft.counter(self._at(each, name)) for each in inside)

    def addresses(self, name: str) -> tuple[Address, ...]:
        """Return the counters of this name, all of which are in the window once it is turned."""
        return tuple(self._at(slot, name) for slot in range(self.slots))

    def freeze(self, draft: Draft, name: str) -> None:
        """Let the commit fail if anybody else adds to this counter meanwhile."""
        counters = self.addresses(name)
        draft.bound(counters, sum(draft.counter(address) for address in counters))

    def _at(self, slot: int, name: str) -> Address:
        return Address(self.key, f"{slot % self.slots}.{name}")
