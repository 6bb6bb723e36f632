"""What the breaker's rule costs an attempt: one admission and one settlement of a closed breaker, beside pybreaker.

Both in memory, on a call that succeeds. What holds ours across processes is paid with the exchange, of which this is a
part; pybreaker keeps its state in the process.
"""

from __future__ import annotations

import time

from benchmarks.peers.process import Peer, peer, peers_installed
from benchmarks.results import Entry, median, table
from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.outcomes import Outcome
from ensemble.rules.breakers import breaker
from ensemble.rules.records import Breaker

__all__ = ["measure"]

PYBREAKER = "pybreaker, in memory"


def measure(rounds: int, calls: int) -> list[Entry]:
    """Time *calls* calls in each of *rounds* rounds, print the table, return the entry."""
    theirs: list[float] = []
    if not peers_installed():
        ours = [_ours(calls) for _ in range(rounds)]
    else:
        with peer("breaker", foreign=True) as worker:
            pairs = [(_ours(calls), _theirs(worker, calls)) for _ in range(rounds)]
        ours, theirs = [mine for mine, _ in pairs], [other for _, other in pairs]
    versus = {PYBREAKER: median(theirs)} if theirs else {}
    rows = [["ensemble, the rule alone", f"{median(ours):.2f}"], *([n, f"{us:.2f}"] for n, us in versus.items())]
    print(f"\nA closed breaker around a call that succeeds\n\n{table(('breaker', 'µs a call'), rows)}")
    return [Entry("breaker.us", median(ours), "us", versus)]


def _ours(calls: int) -> float:
    policy, record, ticket, run = BreakerPolicy(), Breaker(), "a" * 32, "b" * 32
    begun = time.perf_counter()
    for now_ms in range(calls):
        record, _ = breaker.admit(record, policy, now_ms, ticket, run)
        record = breaker.settle(
            record, policy, now_ms, ticket=ticket, generation=record.generation, outcome=Outcome.SUCCEEDED
        )
    return (time.perf_counter() - begun) / calls * 1e6


def _theirs(worker: Peer, calls: int) -> float:
    return float(worker.ask(calls=calls)["took_s"]) / calls * 1e6
