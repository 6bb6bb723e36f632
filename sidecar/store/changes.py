"""Snapshots and changes as the two scripts understand them: which keys, which arguments, what the answer means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.rules.snapshot import EVERY, Address, Changes, Snapshot
from sidecar.store.keys import full_key

__all__ = ["Reading", "commit_arguments", "grouped", "is_written", "parse_reading", "read_arguments"]

MOST_FIELDS = 1000
"""Fields read of one hash by one command; Lua can't pass more than some 8,000 values at once."""

type Groups = list[list[Address]]
"""Addresses by key, in the order in which they are read."""
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


def grouped(addresses: Iterable[Address]) -> Groups:
    """Group *addresses* by key; a whole hash stands alone, a long list is cut."""
    by_key: dict[str, list[Address]] = {}
    for address in addresses:
        by_key.setdefault(address.key, []).append(address)
    groups: Groups = []
    for key, found in by_key.items():
        whole = Address(key, EVERY)
        if whole in found:
            groups.append([whole])
        elif len(found) <= MOST_FIELDS:
            groups.append(found)
        else:
            groups += (found[start : start + MOST_FIELDS] for start in range(0, len(found), MOST_FIELDS))
    return groups


def read_arguments(tenant: str, groups: Groups) -> Arguments:
    """Return keys and arguments of ``read.lua`` for *groups* of addresses."""
    args: list[str | int] = []
    for group in groups:
        if group[0].field == EVERY:
            args.append(EVERY)
        else:
            args.append(len(group))
            args += [address.field for address in group]
    return [full_key(tenant, group[0].key) for group in groups], args


def parse_reading(groups: Groups, answer: list[Any]) -> Reading:
    """Understand the *answer* of ``read.lua`` for *groups*."""
    now_us = int(answer[0]) * 1_000_000 + int(answer[1])
    values: dict[Address, str | None] = {}
    versions: dict[Address, str] = {}
    for group, found in zip(groups, answer[2:], strict=True):
        whole = group[0]
        if whole.field == EVERY:
            values[whole] = None
            # HGETALL answers field, value, field, value, ...
            group, found = [Address(whole.key, name) for name in found[::2]], found[1::2]  # noqa: PLW2901 -- as above
        for address, raw in zip(group, found, strict=True):
            if raw and "\n" in raw:
                versions[address], _, values[address] = raw.partition("\n")
            else:
                values[address] = raw  # A counter, or nothing: only documents have a version.
    return Reading(Snapshot(now_us // 1000, values), versions, now_us)


def commit_arguments(tenant: str, reading: Reading, changes: Changes) -> Arguments:
    """Return keys and arguments of ``commit.lua`` for *changes* decided on *reading*: its parts, in their order."""
    numbers: dict[str, int] = {}
    versions = reading.versions

    def number(key: str) -> int:
        return numbers.setdefault(key, len(numbers) + 1)

    args: list[str | int] = [len(changes.checks)]
    for key, field in changes.checks:
        args += number(key), field, versions.get(Address(key, field), "0")
    args.append(len(changes.guards))
    for guard in changes.guards:
        args += guard.at_most, guard.delta, len(guard.addresses)
        for key, field in guard.addresses:
            args += number(key), field
    args.append(len(changes.puts))
    for address, text in changes.puts.items():
        before = versions.get(address, "0")
        args += number(address.key), address.field, before, f"{_next_version(reading, address)}\n{text}"
    args.append(len(changes.increments))
    for (key, field), delta in changes.increments.items():
        args += number(key), field, delta
    # Redis out of memory refuses what grows before it has written anything; what shrinks comes after that.
    ranks = [(address, score) for address, score in changes.index.items() if score is not None]
    args.append(len(ranks))
    for (key, member), score in ranks:
        args += number(key), member, score
    args.append(len(changes.deletes))
    for address in changes.deletes:
        args += number(address.key), address.field, versions.get(address, "0")
    unranked = [address for address, score in changes.index.items() if score is None]
    args.append(len(unranked))
    for key, member in unranked:
        args += number(key), member
    args.append(len(changes.expiries))
    for key, ms in changes.expiries.items():
        args += number(key), ms
    return [full_key(tenant, key) for key in numbers], args


def is_written(reading: Reading, changes: Changes, later: Reading) -> bool:
    """Return whether a commit of *changes* decided on *reading*, whose answer was lost, is what a *later* reading found.

    A document it put tells by its version, as long as nobody has written it since.
    """
    return any(later.versions.get(address) == str(_next_version(reading, address)) for address in changes.puts)


def _next_version(reading: Reading, address: Address) -> int:
    """Return the version a document gets: none it had before, also where it was deleted meanwhile."""
    return max(reading.now_us, int(reading.versions.get(address, "0")) + 1)
