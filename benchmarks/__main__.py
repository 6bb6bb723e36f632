"""``python -m benchmarks``: measure everything, print the tables, write ``build/bench.json``; takes some ten minutes.

Loads only servers it has started itself, on the loopback address, and ends by itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import breaker, everyday, exchange, overhead, packing, routing, state
from benchmarks.peers.process import peers_installed
from benchmarks.results import Entry, write

REPORT = Path(__file__).parent.parent / "build" / "bench.json"

FULL: Mapping[str, Callable[[], list[Entry]]] = {
    "overhead": lambda: overhead.measure(rounds=10),
    "exchange": lambda: exchange.measure(rounds=5, seconds=1.2),
    "breaker": lambda: breaker.measure(rounds=15, calls=20_000),
    "everyday": lambda: everyday.measure(rounds=3),
    "packing": lambda: packing.measure(rounds=9, megabytes=8, needles=30),
    "routing": routing.measure,
    "state": lambda: state.measure(rounds=5, seconds=2.0),
}
QUICK: Mapping[str, Callable[[], list[Entry]]] = {
    "overhead": lambda: overhead.measure(rounds=1, per_turn=1, latency_s=0.02),
    "exchange": lambda: exchange.measure(rounds=1, seconds=0.1),
    "breaker": lambda: breaker.measure(rounds=3, calls=500),
    "everyday": lambda: everyday.measure(rounds=1, latency_s=0.05),
    "packing": lambda: packing.measure(rounds=1, megabytes=0.4, needles=1),
    "routing": lambda: routing.measure(every=20),
    "state": lambda: state.measure(rounds=1, seconds=0.1),
}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Ensemble beside others.")
    parser.add_argument("--quick", action="store_true", help="a round of each: shows that it works, measures nothing")
    parser.add_argument("--only", choices=FULL, action="append", help="one subject; may be given several times")
    parser.add_argument("--output", type=Path, default=REPORT, help="where the figures go, as JSON")
    given = parser.parse_args()
    begun = time.monotonic()
    if not peers_installed():
        print("Other engines are not installed (`make bench` does it): LangGraph and pybreaker are left out.")
    subjects = QUICK if given.quick else FULL
    entries = [entry for name in given.only or subjects for entry in subjects[name]()]
    write(entries, given.output)
    print(f"\n{len(entries)} figures in {given.output}, after {time.monotonic() - begun:.0f} s.")


if __name__ == "__main__":
    main()
