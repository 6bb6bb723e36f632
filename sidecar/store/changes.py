"""Snapshots and changes as the two scripts understand them: which keys, which arguments, what the answer means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ensemble.rules.snapshot import EVERY, Address, Changes, Snapshot
from sidecar.store.keys import full_key

__all__ = ["Reading", "commit_arguments", "parse_reading", "read_arguments"]

MOST_FIELDS = 1000
"""Fields read of one hash by one command; Lua can't pass more than some 8,000 values at once."""

type Arguments = tuple[list[str], list[str | int]]
"""Keys and arguments of a script."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read gave: the snapshot to decide on, and what a commit has to know beside it."""

    snapshot: Snapshot
    versions: Mapping[Address, str]
    """Of every document that was there; what was not has version ``0``."""
    now_us: int
    """The store's clock, unix microseconds."""


def _grouped(addresses: Iterable[Address]) -> Iterator[tuple[str, list[str]]]:
    """Group *addresses* by key, whole hashes alone, long lists cut."""
    by_key: dict[str, list[str]] = {}
    for key, field in addresses:
        by_key.setdefault(key, []).append(field)
    for key, names in by_key.items():
        if EVERY in names:
            yield key, [EVERY]
            continue
        for start in range(0, len(names), MOST_FIELDS):
            yield key, names[start : start + MOST_FIELDS]


def read_arguments(tenant: str, addresses: Iterable[Address]) -> Arguments:
    """Return keys and arguments of ``read.lua`` for *addresses*."""
    keys: list[str] = []
    args: list[str | int] = []
    for key, names in _grouped(addresses):
        keys.append(full_key(tenant, key))
        if names != [EVERY]:
            args.append(len(names))
        args += names
    return keys, args


def parse_reading(addresses: Iterable[Address], answer: list[str | list[str | None]]) -> Reading:
    """Understand the *answer* of ``read.lua`` to the same *addresses*."""
    seconds, microseconds, *lists = answer
    now_us = int(str(seconds)) * 1_000_000 + int(str(microseconds))
    values: dict[Address, str | None] = {}
    versions: dict[Address, str] = {}
    for (key, names), found in zip(_grouped(addresses), lists, strict=True):
        if names == [EVERY]:
            values[Address(key, EVERY)] = None
            names, found = found[::2], found[1::2]  # type: ignore[assignment] # noqa: PLW2901 -- HGETALL's pairs
        for name, raw in zip(names, found, strict=True):
            address = Address(key, name)
            version, newline, text = (raw or "").partition("\n")
            if newline:
                versions[address] = version
                values[address] = text
            else:
                values[address] = raw  # A counter: only documents have a version.
    return Reading(Snapshot(now_us // 1000, values), versions, now_us)


def commit_arguments(tenant: str, reading: Reading, changes: Changes) -> Arguments:
    """Return keys and arguments of ``commit.lua`` for *changes* decided on *reading*."""
    numbers: dict[str, int] = {}
    args: list[str | int] = []

    def number(key: str) -> int:
        return numbers.setdefault(key, len(numbers) + 1)

    versions = reading.versions
    for address in (*changes.puts, *changes.deletes, *changes.checks):
        args += "check", number(address.key), address.field, versions.get(address, "0")
    for guard in changes.guards:
        args += "bound", guard.at_most, guard.delta, len(guard.addresses)
        for address in guard.addresses:
            args += number(address.key), address.field
    for address, text in changes.puts.items():
        # Never a version this document had before, also where it was deleted meanwhile.
        version = max(reading.now_us, int(versions.get(address, "0")) + 1)
        args += "put", number(address.key), address.field, f"{version}\n{text}"
    for address, delta in changes.increments.items():
        args += "add", number(address.key), address.field, delta
    # Redis out of memory refuses what grows before it has written anything; what shrinks comes after that.
    for address, score in changes.index.items():
        if score is not None:
            args += "rank", number(address.key), address.field, score
    for address in changes.deletes:
        args += "delete", number(address.key), address.field
    for address, score in changes.index.items():
        if score is None:
            args += "unrank", number(address.key), address.field
    for key, ms in changes.expiries.items():
        args += "expire", number(key), ms
    return [full_key(tenant, key) for key in numbers], args
