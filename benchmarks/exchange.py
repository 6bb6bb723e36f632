"""The sidecar's throughput and tail: exchanges a second beside a bare route, and how long the slowest take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.load import Measured, load
from benchmarks.results import Entry, median, table
from benchmarks.scripted import bodies
from tests.standin.world import SidecarProcess

__all__ = ["measure"]

ROUTES = {"exchange": "/v1/exchange", "bare route": "/bare/", "empty route": "/empty/"}
CLIENTS = (1, 16, 64)
AT_FULL_LOAD = 16


def measure(rounds: int, seconds: float) -> list[Entry]:
    """Load each route for *seconds* in each of *rounds* rounds, print the table, return the entries."""
    taken: dict[str, dict[int, list[Measured]]] = {name: {clients: [] for clients in CLIENTS} for name in ROUTES}
    with (
        tempfile.TemporaryDirectory(prefix="ensemble-") as folder,
        SidecarProcess(Path(folder), module="benchmarks.bare") as sidecar,
    ):
        parts = urlsplit(sidecar.url)
        address = (str(parts.hostname), int(parts.port or 0))
        headers = {"Authorization": f"Bearer {sidecar.token}"}
        fresh = 0
        for _ in range(rounds):
            for clients in CLIENTS:
                for name, path in ROUTES.items():
                    streams: list[Iterator[bytes]] = [bodies(fresh + number) for number in range(clients)]
                    fresh += clients
                    taken[name][clients].append(load(address, path, headers, streams, seconds))
    _show(taken)
    rps = {name: median(each.per_second for each in by[AT_FULL_LOAD]) for name, by in taken.items()}
    others = {name: value for name, value in rps.items() if name != "exchange"}
    return [
        Entry("exchange.rps", rps["exchange"], "1/s", others),
        Entry("exchange.ratio", rps["exchange"] / rps["bare route"], "x"),
        *(
            Entry(
                f"exchange.p99_ms.{clients}",
                median(each.quantile_ms(0.99) for each in taken["exchange"][clients]),
                "ms",
                {
                    name: median(e.quantile_ms(0.99) for e in by[clients])
                    for name, by in taken.items()
                    if name in others
                },
            )
            for clients in CLIENTS
        ),
    ]


def _show(taken: dict[str, dict[int, list[Measured]]]) -> None:
    rows = []
    for name, by in taken.items():
        cells = [name]
        for each in by.values():
            cells.append(f"{median(m.per_second for m in each):.0f}")
            cells.append(" / ".join(f"{median(m.quantile_ms(q) for m in each):.1f}" for q in (0.5, 0.99)))
        rows.append(cells)
    head = ["route", *(text for clients in CLIENTS for text in (f"{clients} clients, 1/s", "p50 / p99 ms"))]
    print(f"\nThe sidecar, two processes of eight threads, store on disk\n\n{table(head, rows)}")
