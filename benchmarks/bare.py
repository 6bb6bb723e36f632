"""``python -m benchmarks.bare``: the sidecar, with two tenants whose exchanges show what its ground costs.

Exchanges of the tenant ``bare`` are read with the same models and make the same two trips to the store, with as many
keys, fields and operations and about as many bytes, and are answered with the same model, but nothing is decided. Those
of ``empty`` are read and answered, and the store hears nothing of them. Everything else is the sidecar's own: server,
processes and threads, scripts, and both ways a request can take (see `sidecar.edge.shortcut`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import sidecar.app
from ensemble.contract.exchange import (
    Admission,
    AdmissionAsk,
    Decision,
    Exchange,
    ExchangeAnswer,
    Role,
    RunHead,
    Settlement,
)
from sidecar.__main__ import main
from sidecar.runs.service import Runs
from sidecar.store.connection import Client
from sidecar.store.keys import full_key
from sidecar.store.scripts import Script

__all__ = ["BARE", "EMPTY"]

BARE, EMPTY = "bare", "empty"
"""The tenants."""
_READ = Script("sidecar.store", "read.lua")
_COMMIT = Script("sidecar.store", "commit.lua")
_COUNTERS = [f"{unit}_{state}" for unit in ("tokens", "calls", "ms", "nano") for state in ("committed", "reserved")] + [
    "estimated"
]
_BOUND = [["calls_committed", "calls_reserved"], ["tokens_committed", "tokens_reserved"]]
_ADDED = 7
"""Counters a real exchange adds to."""
_TEXT = "x" * 500
_HOUR_MS = 3_600_000
_ENOUGH = 2**52


class _Runs(Runs):
    """Decides for every tenant but two."""

    def exchange(self, tenant: str, ask: Exchange) -> ExchangeAnswer:
        """Settle, admit, open, renew, close; or only look as if."""
        if tenant not in (BARE, EMPTY):
            return super().exchange(tenant, ask)
        if tenant == BARE:
            _two_trips(self._store.redis, ask)
        return ExchangeAnswer(
            run=RunHead(run_id=ask.run_id, epoch=1, role=Role.OWNER, lease_ms=30_000),
            admissions=tuple(Admission(ticket=each.ticket, decision=Decision.ADMITTED) for each in ask.admit),
        )


def _two_trips(redis: Client, ask: Exchange) -> None:
    """Read what a real exchange reads, and write as much as it does."""
    run = full_key(BARE, f"bare:{ask.run_id}")  # no run's name: the sweep must not take these for runs
    spoken: list[Settlement | AdmissionAsk] = [*ask.settle, *ask.admit]
    documents = ["run", *_names("attempt", (each.ticket for each in spoken)), *_names("step", _steps(ask))]
    # A run's documents and counters are fields of one hash; each agent's breaker and statistics are keys of their own.
    agents = [full_key(BARE, f"breaker:{each.identity}") for each in spoken]
    agents += [full_key(BARE, f"agent:{each.identity}") for each in ask.admit]
    read: list[str | int] = [len(_COUNTERS) + len(documents), *_COUNTERS, *documents]
    for _ in agents:
        read += [1, "breaker"]
    answer = _READ.run(redis, [run, *agents], read)
    before = dict(zip(documents, answer[2][len(_COUNTERS) :], strict=True))
    written = [name for name in documents if name != f"step:{ask.admit[0].step}"] if ask.admit else documents
    _COMMIT.run(
        redis, [run, full_key(BARE, "bare:stats"), full_key(BARE, "bare:leases")], _operations(ask, before, written)
    )


def _names(kind: str, ids: Iterable[str]) -> list[str]:
    return [f"{kind}:{each}" for each in ids]


def _steps(ask: Exchange) -> list[str]:
    return list(dict.fromkeys([*(each.step for each in ask.settle), *(each.step for each in ask.admit)]))


def _operations(ask: Exchange, before: dict[str, str | None], written: Sequence[str]) -> list[str | int]:
    """Return the checks and writes of one exchange."""
    versions = {name: int((before[name] or "0").partition("\n")[0]) for name in written}
    bounds = _BOUND if ask.admit else []
    operations: list[str | int] = [0, len(bounds)]
    for first, second in bounds:
        operations += [_ENOUGH, 1, 2, 1, first, 1, second]
    operations.append(len(versions))
    for name, version in versions.items():
        operations += [1, name, version, f"{version + 1}\n{_TEXT}"]
    operations.append(_ADDED)
    for number, counter in enumerate(_COUNTERS[:_ADDED]):
        operations += [1 + number % 2, counter, 1]
    return [*operations, 1, 3, ask.run_id, 1, 0, 0, 1, 1, _HOUR_MS]


if __name__ == "__main__":
    # The app builds its runs by this name; everything else about the server stays as it is.
    vars(sidecar.app)["Runs"] = _Runs
    sys.exit(main())
