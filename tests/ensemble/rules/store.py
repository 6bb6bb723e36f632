"""A store as strict as the sidecar's: reads only what it is asked for, checks every version and every guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.rules.happenings import Happening
from ensemble.rules.runs.exchange import Defaults, decide, wanted
from ensemble.rules.snapshot import AT_ONCE, EVERY, Address, Changes, NotRead, Snapshot


class StrictStore:
    """Hashes in memory; each document with a version that no later one repeats."""

    def __init__(self, now_ms: int = 1_000_000, defaults: Defaults | None = None) -> None:
        self.now_ms = now_ms
        self.defaults = defaults or Defaults()
        self.hashes: dict[str, dict[str, str]] = {}
        self.versions: dict[Address, int] = {}
        self.index: dict[Address, int] = {}
        self.reads = 0
        self.lost_races = 0
        self.changes = Changes()
        self.news: list[Happening] = []
        """What was told so far."""
        self._version = 0

    def exchange(self, ask: Exchange, meanwhile: Callable[[], object] | None = None) -> ExchangeAnswer:
        """Decide and commit; *meanwhile* happens once, between the first decision and its commit."""
        return self.apply(lambda snapshot: decide(ask, snapshot, self.defaults), wanted(ask), meanwhile)

    def apply[T](
        self,
        decision: Callable[[Snapshot], tuple[T, Changes]],
        addresses: Iterable[Address],
        meanwhile: Callable[[], object] | None = None,
    ) -> T:
        """Decide anything and commit, as :meth:`exchange` does."""
        for _ in range(16):
            answer, changes, versions = self._decide(decision, addresses)
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
            if self._commit(changes, versions):
                self.changes = changes
                self.news += changes.news
                return answer
            self.lost_races += 1
        raise AssertionError("no decision in 16 rounds")

    def _decide[T](
        self, decision: Callable[[Snapshot], tuple[T, Changes]], addresses: Iterable[Address]
    ) -> tuple[T, Changes, dict[Address, int]]:
        values, versions = self._read(addresses)
        while True:
            try:
                return *decision(Snapshot(self.now_ms, values)), versions
            except NotRead as more:
                missing = set(more.addresses) - set(values)
            assert missing, "asked again for what was read"
            values, versions = self._read([*values, *missing])

    def counter(self, key: str, field: str) -> int:
        """Return a counter."""
        return int(self.hashes.get(key, {}).get(field, 0))

    def _read(self, addresses: Iterable[Address]) -> tuple[dict[Address, str | None], dict[Address, int]]:
        self.reads += 1
        values: dict[Address, str | None] = {}
        for address in addresses:
            fields = self.hashes.get(address.key, {})
            values[address] = fields.get(address.field)
            if address.field == EVERY:
                values.update({Address(address.key, field): text for field, text in fields.items()})
        return values, {address: self.versions.get(address, 0) for address in values}

    def _commit(self, changes: Changes, versions: dict[Address, int]) -> bool:
        whole = {address.key for address in versions if address.field == EVERY}
        for address in (*changes.puts, *changes.deletes, *changes.checks):
            assert address in versions or address.key in whole, f"{address} is written but was never read"
            if self.versions.get(address, 0) != versions.get(address, 0):
                return False
        for guard in changes.guards:
            if sum(self.counter(*address) for address in guard.addresses) + guard.delta > guard.at_most:
                return False
        for address, text in changes.puts.items():
            self._version += 1
            self.versions[address] = self._version
            self.hashes.setdefault(address.key, {})[address.field] = text
        for address in changes.deletes:
            self.versions.pop(address, None)
            self.hashes.get(address.key, {}).pop(address.field, None)
        for (key, field), delta in changes.increments.items():
            self.hashes.setdefault(key, {})[field] = str(self.counter(key, field) + delta)
        for key in (key for key, ms in changes.expiries.items() if ms == AT_ONCE):
            fields = self.hashes.pop(key, {})
            for field in fields:
                self.versions.pop(Address(key, field), None)
        for address, score in changes.index.items():
            if score is None:
                self.index.pop(address, None)
            else:
                self.index[address] = score
        return True
