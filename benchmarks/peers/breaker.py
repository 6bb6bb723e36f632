"""What pybreaker's circuit breaker, in memory, adds to a call that succeeds."""

from __future__ import annotations

import time
from typing import Any

import pybreaker

from benchmarks.peers.lines import serve


def _nothing() -> None:
    """Be the call that is guarded."""


def _timed(question: dict[str, Any]) -> dict[str, Any]:
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    calls = int(question["calls"])
    begun = time.perf_counter()
    for _ in range(calls):
        breaker.call(_nothing)
    return {"took_s": time.perf_counter() - begun}


if __name__ == "__main__":
    serve(_timed)
