"""A process of several threads that hammer one sidecar at one instant, told what to do by lines on its stdin.

``python -m tests.faults.hammer URL TOKEN`` answers each line, a JSON object with the name of a function below as *do*
and its arguments, by a line with a JSON object.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.exchange import AdmissionAsk, CloseRun, Decision, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.state import Increment, StateParams
from plugin.errors import SidecarUnavailable
from tests.standin.service_api import ROOT

__all__ = ["POLICY", "Hammer", "opening", "wish"]

POLICY = BreakerPolicy(failure_threshold=1, recovery_timeout=1, success_threshold=1, half_open_probes=1)


def opening(**more: Any) -> OpenRun:
    """Return what opens a run of its own."""
    step = PlannedStep(id="one", agent="one", identity="app:one")
    return OpenRun(run_key=uuid4().hex, fingerprint="f" * 64, trace_id="t", steps=(step,), **more)


def wish(identity: str = "app:one", **more: Any) -> AdmissionAsk:
    """Return an ask for an attempt."""
    given = {"timeout_ms": 60_000, "breaker": POLICY, **more}
    return AdmissionAsk(ticket=uuid4().hex, step="one", agent="one", identity=identity, **given)


def probe(ledger: SidecarLedger, *, identity: str, threads: int) -> dict[str, Any]:
    """Open runs at one instant that all ask for *identity*; return how many were admitted."""

    def ask(_: int) -> bool:
        answer = ledger.exchange(
            Exchange(run_id=uuid4().hex, owner=uuid4().hex, open=opening(), admit=(wish(identity),))
        )
        return answer.admissions[0].decision is Decision.ADMITTED

    return {"admitted": sum(_at_once(ask, threads))}


def admit(ledger: SidecarLedger, *, run_id: str, owner: str, threads: int, each: int) -> dict[str, Any]:
    """Ask for attempts of one run, from several threads, each again until it is answered; return who was admitted."""

    def ask(_: int) -> list[str]:
        admitted = []
        for _ in range(each):
            exchange = Exchange(run_id=run_id, owner=owner, epoch=1, admit=(wish(max_tokens=1000),))
            answer = _insist(partial(ledger.exchange, exchange))
            admitted += [a.ticket for a in answer.admissions if a.decision is Decision.ADMITTED]
        return admitted

    return {"tickets": [ticket for tickets in _at_once(ask, threads) for ticket in tickets]}


def hold(ledger: SidecarLedger, *, host: str, places: int, log: str, seconds: float, threads: int) -> dict[str, Any]:
    """Take a slot at *host*, keep it for a moment, give it back, again and again; note in *log* when it was held."""
    ends = time.monotonic() + seconds

    def take(_: int) -> int:
        held = 0
        with Path(log).open("a", encoding="utf-8", buffering=1) as notes:
            while time.monotonic() < ends:
                run_id, owner = uuid4().hex, uuid4().hex
                ask = wish(host=host, host_parallel=places)
                _insist(partial(ledger.exchange, Exchange(run_id=run_id, owner=owner, open=opening())))
                if not _let_out(ledger, run_id, owner, ask, ends):
                    return held
                notes.write(f"{os.getpid()} {ask.ticket} from {time.monotonic()}\n")
                time.sleep(random.uniform(0.005, 0.03))
                notes.write(f"{os.getpid()} {ask.ticket} to {time.monotonic()}\n")
                held += 1
                news = Settlement(
                    ticket=ask.ticket, step=ask.step, identity=ask.identity, outcome=Outcome.SUCCEEDED, took_ms=1
                )
                close = CloseRun(status=RunStatus.SUCCEEDED, answer="")
                ended = Exchange(run_id=run_id, owner=owner, epoch=1, settle=(news,), close=close)
                _insist(partial(ledger.exchange, ended))
        return held

    return {"held": sum(_at_once(take, threads))}


def _let_out(ledger: SidecarLedger, run_id: str, owner: str, ask: AdmissionAsk, ends: float) -> bool:
    """Ask until the attempt is admitted; give up at *ends*, and close the run."""
    while time.monotonic() < ends:
        asked = Exchange(run_id=run_id, owner=owner, epoch=1, admit=(ask,))
        (told,) = _insist(partial(ledger.exchange, asked)).admissions
        if told.decision is Decision.ADMITTED:
            return True
        time.sleep((told.retry_after_ms or 10) / 1000)
    close = CloseRun(status=RunStatus.FAILED, answer="")
    _insist(partial(ledger.exchange, Exchange(run_id=run_id, owner=owner, epoch=1, close=close)))
    return False


def increment(ledger: SidecarLedger, *, trace_id: str, times: int) -> dict[str, Any]:
    """Add one to a number so many times."""
    params, ask = StateParams(trace_id=trace_id, namespace="shared", key="n"), Increment(writer="one", by=1)
    for _ in range(times):
        ledger.increment_state(params, ask)
    return {}


def _at_once[T](work: Callable[[int], T], threads: int) -> list[T]:
    barrier = threading.Barrier(threads)

    def start(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(start, range(threads)))


def _insist[T](call: Callable[[], T]) -> T:
    """Call until the sidecar answers, at most a minute."""
    until = time.monotonic() + 60
    while True:
        try:
            return call()
        except SidecarUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


class Hammer:
    """Several such processes, told the same at one time."""

    def __init__(self, processes: int, url: str, token: str) -> None:
        """Start them; entering the block waits for them."""
        command = [sys.executable, "-m", "tests.faults.hammer", url, token]
        self.children = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]

    def __enter__(self) -> Self:
        """Wait until all are there."""
        for child in self.children:
            assert child.stdout
            child.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        for child in self.children:
            child.kill()
            child.communicate()

    def do(self, name: str, **given: Any) -> list[dict[str, Any]]:
        """Let all do the same; return what each says."""
        self.begin(name, **given)
        return self.end()

    def begin(self, name: str, **given: Any) -> None:
        """Let all begin."""
        for child in self.children:
            assert child.stdin
            child.stdin.write(json.dumps({"do": name, **given}) + "\n")
            child.stdin.flush()

    def end(self) -> list[dict[str, Any]]:
        """Wait for all; return what each says."""
        answers = []
        for child in self.children:
            assert child.stdout
            answers.append(json.loads(child.stdout.readline()))
        return answers


def main() -> None:
    """Do what the lines say."""
    ledger = SidecarLedger(sys.argv[1], sys.argv[2], connections())
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        work = {"probe": probe, "admit": admit, "increment": increment, "hold": hold}[told.pop("do")]
        print(json.dumps(work(ledger, **told)), flush=True)  # type: ignore[operator]  # each takes its own


if __name__ == "__main__":
    main()
