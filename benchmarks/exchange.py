"""The sidecar's throughput and tail: exchanges a second beside a bare route, and how long the slowest take.

Exchanges take a short way past gunicorn's parser and Flask. So does the bare route they are compared with, and both are
measured on the long way as well, which an unknown header field sends a request. Processor time is told beside the clock:
on two shared cores it is the steadier figure.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bare import BARE, EMPTY
from benchmarks.load import Measured, load
from benchmarks.results import Entry, median, table
from benchmarks.scripted import bodies
from tests.standin.world import SidecarProcess

__all__ = ["measure"]

OURS = "exchange"
LONG = ", long way"
WAYS: Mapping[str, tuple[str, bool]] = {
    OURS: ("default", True),
    "bare route": (BARE, True),
    "empty route": (EMPTY, True),
    OURS + LONG: ("default", False),
    "bare route" + LONG: (BARE, False),
}
"""Whose token is sent, and whether the request may take the short way."""
CLIENTS = (1, 16, 64)
AT_FULL_LOAD = 16


@dataclass
class _Taken:
    """What was measured of one way, by the number of clients."""

    loads: dict[int, list[Measured]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})
    cpu_ms: dict[int, list[float]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})
    """Of the sidecar and its store, per answer."""

    def per_second(self, clients: int) -> float:
        return median(each.per_second for each in self.loads[clients])

    def quantile_ms(self, clients: int, share: float) -> float:
        return median(each.quantile_ms(share) for each in self.loads[clients])


def measure(rounds: int, seconds: float) -> list[Entry]:
    """Load each way for *seconds* in each of *rounds* rounds, print the table, return the entries."""
    taken = {name: _Taken() for name in WAYS}
    tokens = {tenant: secrets.token_hex(16) for tenant, _ in WAYS.values()}
    env = {"ENSEMBLE_TOKENS": ",".join(f"{tenant}={token}" for tenant, token in tokens.items())}
    with (
        tempfile.TemporaryDirectory(prefix="ensemble-") as folder,
        SidecarProcess(Path(folder), module="benchmarks.bare", env=env) as sidecar,
    ):
        parts = urlsplit(sidecar.url)
        address = (str(parts.hostname), int(parts.port or 0))
        fresh = 0
        for _ in range(rounds):
            for clients in CLIENTS:
                for name, (tenant, short) in WAYS.items():
                    headers = {"Authorization": f"Bearer {tokens[tenant]}"} | ({} if short else {"X-Long-Way": "1"})
                    streams: list[Iterator[bytes]] = [bodies(fresh + number) for number in range(clients)]
                    fresh += clients
                    before = _cpu_s(sidecar.pid)
                    measured = load(address, "/v1/exchange", headers, streams, seconds)
                    while not measured.latencies_s:  # so short a time may pass on a busy machine without one answer
                        measured = load(address, "/v1/exchange", headers, streams, seconds)
                    taken[name].loads[clients].append(measured)
                    spent = _cpu_s(sidecar.pid) - before
                    taken[name].cpu_ms[clients].append(spent * 1000 / len(measured.latencies_s))
    _show(taken)
    return _entries(taken)


def _entries(taken: Mapping[str, _Taken]) -> list[Entry]:
    ours, others = taken[OURS], {name: each for name, each in taken.items() if name != OURS}
    rps = {name: each.per_second(AT_FULL_LOAD) for name, each in others.items()}
    cpu = {name: median(each.cpu_ms[AT_FULL_LOAD]) for name, each in others.items()}
    ratio, long_ratio = (
        taken[OURS + way].per_second(AT_FULL_LOAD) / taken["bare route" + way].per_second(AT_FULL_LOAD)
        for way in ("", LONG)
    )
    return [
        Entry("exchange.rps", ours.per_second(AT_FULL_LOAD), "1/s", rps),
        Entry("exchange.ratio", ratio, "x", {"both on the long way": long_ratio}),
        Entry("exchange.cpu_ms", median(ours.cpu_ms[AT_FULL_LOAD]), "ms", cpu),
        *(
            Entry(
                f"exchange.p99_ms.{clients}",
                ours.quantile_ms(clients, 0.99),
                "ms",
                {name: each.quantile_ms(clients, 0.99) for name, each in others.items()},
            )
            for clients in CLIENTS
        ),
    ]


def _show(taken: Mapping[str, _Taken]) -> None:
    rows = []
    for name, each in taken.items():
        cells = [name]
        for clients in CLIENTS:
            cells.append(f"{each.per_second(clients):.0f}")
            cells.append(" / ".join(f"{each.quantile_ms(clients, share):.1f}" for share in (0.5, 0.99)))
            cells.append(f"{median(each.cpu_ms[clients]):.2f}")
        rows.append(cells)
    head = ["route"]
    for clients in CLIENTS:
        head += [f"{clients} client{'s' if clients > 1 else ''}, 1/s", "p50 / p99 ms", "cpu ms"]
    print(f"\nThe sidecar, two processes of eight threads, store on disk\n\n{table(head, rows)}")


def _cpu_s(launcher: int) -> float:
    """Return the processor time of a launcher's children, which are its workers and its store, seconds."""
    listed = Path(f"/proc/{launcher}/task/{launcher}/children").read_text("utf-8").split()
    # utime and stime are fields 14 and 15; the second one, a name in brackets, may hold anything.
    stats = (Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split() for pid in listed)
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")
