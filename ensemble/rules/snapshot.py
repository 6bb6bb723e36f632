"""What a decision reads and what it changes: a snapshot of documents and counters in, a set of changes out.

A *document* is a JSON text in one field of a hash; a *counter* is an integer in one field of a hash. Keys are relative:
the store puts the tenant in front. A store works in a loop: read what :class:`NotRead` names, decide, commit all changes
or none. What a commit checks: every document put, deleted or listed in ``checks`` still has the version it was read in,
and every guard holds; if not, nothing is written and the decision is taken anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ensemble.rules.happenings import Happening

__all__ = ["AT_ONCE", "EVERY", "Address", "Changes", "Draft", "Guard", "NotRead", "Snapshot"]

EVERY = "*"
"""As the field of an address that is read: all fields of that hash."""
AT_ONCE = -1
"""As the time a key lives: it goes with the commit."""


class Address(NamedTuple):
    """Where a document or a counter stands; in an index: the sorted set and its member."""

    key: str
    """The hash (or sorted set), without the tenant's prefix."""
    field: str
    """The field (or member); :data:`EVERY` asks for the whole hash."""


class NotRead(Exception):  # noqa: N818 - an answer to the store, not a failure
    """The decision needs addresses the snapshot does not hold: read them too and decide again."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        """Name the *addresses* to read beside those read before."""
        self.addresses = tuple(addresses)
        super().__init__(f"not read yet: {self.addresses}")


class Snapshot:
    """Documents and counters as they stood at one moment by the store's clock."""

    def __init__(self, now_ms: int, values: Mapping[Address, str | None]) -> None:
        """Hold what was read.

        Args:
            now_ms: The store's clock, unix milliseconds, at the moment of reading.
            values: The text of each address read: a document's JSON, a counter's decimal digits, None where there is
                nothing. A hash read whole appears as each of its fields, plus ``Address(key, EVERY)`` with any value.

        """
        self.now_ms = now_ms
        self._values = values
        self._hashes: dict[str, dict[str, str]] | None = None

    def text(self, address: Address) -> str | None:
        """Return the document at *address*, None where there is none. Raises NotRead."""
        try:
            return self._values[address]
        except KeyError:
            if Address(address.key, EVERY) in self._values:
                return None
            raise NotRead((address,)) from None

    def counter(self, address: Address) -> int:
        """Return the counter at *address*, 0 where there is none. Raises NotRead."""
        return int(self.text(address) or 0)

    def fields(self, key: str) -> dict[str, str]:
        """Return every field of the hash *key*. Raises NotRead for ``Address(key, EVERY)``."""
        if Address(key, EVERY) not in self._values:
            raise NotRead((Address(key, EVERY),))
        if self._hashes is None:
            self._hashes = {}
            for address, text in self._values.items():
                if text is not None and address.field != EVERY:
                    self._hashes.setdefault(address.key, {})[address.field] = text
        return dict(self._hashes.get(key, {}))

    def has(self, address: Address) -> bool:
        """Return whether *address* was read."""
        return address in self._values or Address(address.key, EVERY) in self._values

    def require(self, addresses: Iterable[Address]) -> None:
        """Raise NotRead for all of *addresses* that were not read, so that they are read in one go."""
        values = self._values
        missing = [a for a in addresses if a not in values and Address(a.key, EVERY) not in values]
        if missing:
            raise NotRead(missing)


class Guard(NamedTuple):
    """A bound on counters: their sum as it stands at commit, plus *delta*, must be at most *at_most*."""

    addresses: tuple[Address, ...]
    delta: int
    """What this commit adds to them in all, already part of ``increments``."""
    at_most: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What one decision writes, all of it or nothing."""

    puts: Mapping[Address, str] = field(default_factory=dict)
    """Documents to write; their version as read is checked."""
    deletes: tuple[Address, ...] = ()
    """Documents to remove; their version as read is checked."""
    increments: Mapping[Address, int] = field(default_factory=dict)
    """What to add to counters; never 0."""
    guards: tuple[Guard, ...] = ()
    index: Mapping[Address, int | None] = field(default_factory=dict)
    """Members of sorted sets and their score; None removes the member."""
    expiries: Mapping[str, int] = field(default_factory=dict)
    """How many milliseconds a key lives from now; 0: for good; :data:`AT_ONCE`: not at all."""
    checks: tuple[Address, ...] = ()
    """Documents not written whose version as read is checked all the same."""
    news: tuple[Happening, ...] = ()
    """What will have happened once all of it is written; nothing that is written itself."""

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.puts or self.deletes or self.increments or self.index or self.expiries)


class Draft:
    """A snapshot one can write on: later reads see earlier writes, and :meth:`changes` gathers them."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Begin with *snapshot*, which stays as it is."""
        self.snapshot = snapshot
        self.now_ms = snapshot.now_ms
        self._written: dict[Address, str | None] = {}
        self._increments: dict[Address, int] = {}
        self._bounds: dict[tuple[Address, ...], int] = {}
        self._index: dict[Address, int | None] = {}
        self._expiries: dict[str, int] = {}
        self._checks: dict[Address, None] = {}
        self._news: list[Happening] = []

    def text(self, address: Address) -> str | None:
        """Return the document at *address* as it will stand. Raises NotRead."""
        if address in self._written:
            return self._written[address]
        return self.snapshot.text(address)

    def counter(self, address: Address) -> int:
        """Return the counter at *address* as it will stand. Raises NotRead."""
        return self.snapshot.counter(address) + self._increments.get(address, 0)

    def fields(self, key: str) -> dict[str, str]:
        """Return every document and counter of the hash *key*, documents as they will stand. Raises NotRead."""
        fields: dict[str, str | None] = {**self.snapshot.fields(key)}
        fields.update({address.field: text for address, text in self._written.items() if address.key == key})
        return {field: text for field, text in fields.items() if text is not None}

    def put(self, address: Address, text: str | None) -> None:
        """Write the document at *address*; None deletes it. Raises NotRead: only what was read can be checked."""
        if self.snapshot.text(address) == text:
            self._written.pop(address, None)
        else:
            self._written[address] = text

    def add(self, address: Address, delta: int) -> None:
        """Add *delta* to the counter at *address*."""
        self._increments[address] = self._increments.get(address, 0) + delta

    def bound(self, addresses: tuple[Address, ...], at_most: int) -> None:
        """Let the commit fail if the counters' sum after it would pass *at_most*."""
        self._bounds[addresses] = at_most

    def is_bound(self, key: str) -> bool:
        """Return whether counters of the hash *key* are bound already."""
        return any(address.key == key for addresses in self._bounds for address in addresses)

    def rank(self, key: str, member: str, score: int | None) -> None:
        """Set the score of *member* in the sorted set *key*; None removes it."""
        self._index[Address(key, member)] = score

    def expire(self, key: str, ms: int) -> None:
        """Let *key* live *ms* milliseconds from now; 0: for good; :data:`AT_ONCE`: not at all."""
        self._expiries[key] = ms

    def check(self, address: Address) -> None:
        """Let the commit fail if the document at *address* has changed since it was read, written or not."""
        self.snapshot.text(address)
        self._checks[address] = None

    def tell(self, news: Happening) -> None:
        """Let those who listen hear of *news* once everything is written."""
        self._news.append(news)

    def changes(self) -> Changes:
        """Return everything written, as one set of changes."""
        increments = {address: delta for address, delta in self._increments.items() if delta}
        return Changes(
            puts={address: text for address, text in self._written.items() if text is not None},
            deletes=tuple(address for address, text in self._written.items() if text is None),
            increments=increments,
            guards=tuple(
                Guard(addresses, sum(increments.get(address, 0) for address in addresses), at_most)
                for addresses, at_most in self._bounds.items()
            ),
            index=self._index,
            expiries=self._expiries,
            checks=tuple(address for address in self._checks if address not in self._written),
            news=tuple(self._news),
        )
