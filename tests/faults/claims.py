"""Claims about many at once, each played against real processes and answered with numbers."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import AdmissionAsk, Decision, Exchange, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunsParams, RunView
from ensemble.contract.state import Increment, StateParams
from plugin.errors import EnsembleError
from tests.faults.hammer import POLICY, Hammer, opening, wish
from tests.processes import store_of, until, workers_of
from tests.standin.apps import App
from tests.standin.invocation import Result
from tests.standin.world import SidecarProcess, world

__all__ = ["Slots", "budgets", "increments", "lost_writes", "probes", "slots", "successors", "without_sidecar"]

LEASE_MS = 1_000


@contextmanager
def sidecar(**env: str) -> Iterator[tuple[SidecarProcess, SidecarLedger]]:
    """Start one with short leases."""
    with tempfile.TemporaryDirectory(prefix="ens-") as folder:
        given = {"ENSEMBLE_LEASE_MS": str(LEASE_MS), "ENSEMBLE_LOG_LEVEL": "error", **env}
        with SidecarProcess(Path(folder), env=given, log=Path(folder) / "sidecar.log") as process:
            yield process, SidecarLedger(process.url, process.token, connections())


def probes(rounds: int, processes: int = 8, threads: int = 8) -> list[int]:
    """Return, per round, how many of all asked at one instant were let through a breaker whose time had come."""
    with sidecar(ENSEMBLE_LEASE_MS="30000") as (process, ledger), Hammer(processes, process.url, process.token) as all_:
        for number in range(rounds):
            _open_breaker(ledger, f"app:{number}")
        time.sleep(POLICY.recovery_timeout)
        return [
            sum(said["admitted"] for said in all_.do("probe", identity=f"app:{number}", threads=threads))
            for number in range(rounds)
        ]


def successors(rounds: int) -> list[tuple[int, float]]:
    """Return, per round, how many probes followed one whose owner had died, and after how many seconds the first did."""
    with sidecar() as (_, ledger):
        for number in range(rounds):
            _open_breaker(ledger, f"app:{number}")
        time.sleep(POLICY.recovery_timeout)
        return [_successors(ledger, f"app:{number}") for number in range(rounds)]


def _successors(ledger: SidecarLedger, identity: str) -> tuple[int, float]:
    """Let a probe out that nobody will ever settle, and others ask until one is let through, then a while longer."""
    dead = ledger.exchange(Exchange(run_id=uuid4().hex, owner=uuid4().hex, open=opening(), admit=(wish(identity),)))
    assert dead.admissions[0].decision is Decision.ADMITTED
    begun, found, first_s = time.monotonic(), 0, 0.0
    run_id, owner = uuid4().hex, uuid4().hex
    ledger.exchange(Exchange(run_id=run_id, owner=owner, open=opening()))
    while time.monotonic() - begun < LEASE_MS / 1000 * 1.5:
        answer = ledger.exchange(Exchange(run_id=run_id, owner=owner, epoch=1, admit=(wish(identity),)))
        if answer.admissions[0].decision is Decision.ADMITTED:
            found += 1
            first_s = first_s or time.monotonic() - begun
        time.sleep(0.02)
    return found, first_s


def increments(processes: int = 16, times: int = 1_000) -> int:
    """Return what one number of the shared state is after all have added one so often."""
    with sidecar() as (process, ledger), Hammer(processes, process.url, process.token) as all_:
        all_.do("increment", trace_id="counted", times=times)
        value = ledger.get_state(StateParams(trace_id="counted", namespace="shared", key="n")).value
        assert isinstance(value, int)
        return value


def lost_writes(durability: str, rounds: int, seed: int = 3) -> list[int]:
    """Return, per round, how many acknowledged writes were gone after the store was killed in the middle of them."""
    chance = random.Random(seed)
    params = StateParams(trace_id="written", namespace="shared", key="n")
    lost = []
    with sidecar(ENSEMBLE_DURABILITY=durability) as (process, ledger):
        for _ in range(rounds):
            before = ledger.increment_state(params, Increment(writer="one", by=0)).value
            kill = threading.Timer(chance.uniform(0.1, 0.5), os.kill, (store_of(process.pid), signal.SIGKILL))
            kill.start()
            acknowledged = _increment_until_it_fails(ledger, params)
            until(lambda: _answers(ledger), "the store to be back")
            after = ledger.get_state(params).value
            lost.append(max(0, before + acknowledged - after))
    return lost


def _increment_until_it_fails(ledger: SidecarLedger, params: StateParams) -> int:
    acknowledged = 0
    while True:
        try:
            ledger.increment_state(params, Increment(writer="one", by=1))
        except EnsembleError:
            return acknowledged
        acknowledged += 1


def budgets(rounds: int, calls: int = 40, seed: int = 7) -> list[tuple[int, RunView]]:
    """Return, per round, how many attempts were admitted of a run that may make *calls*, and the run.

    64 threads in 8 processes ask for two attempts each while workers of the sidecar are killed.
    """
    chance = random.Random(seed)
    found = []
    with sidecar(ENSEMBLE_LEASE_MS="30000") as (process, ledger), Hammer(8, process.url, process.token) as all_:
        for _ in range(rounds):
            run_id, owner = uuid4().hex, uuid4().hex
            limits = Limits(calls=calls, tokens=calls * 1000)
            ledger.exchange(Exchange(run_id=run_id, owner=owner, open=opening(limits=limits)))
            over = threading.Event()
            killer = threading.Thread(target=_kill_workers, args=(process.pid, chance, over))
            killer.start()
            all_.begin("admit", run_id=run_id, owner=owner, threads=8, each=2)
            tickets = {ticket for said in all_.end() for ticket in said["tickets"]}
            over.set()
            killer.join()
            until(lambda: _answers(ledger), "the sidecar to answer")
            found.append((len(tickets), ledger.run(run_id)))
    return found


@dataclass(frozen=True, slots=True)
class Slots:
    """What came of many that wanted slots while some of them were killed."""

    out: int
    """The most that were out at one time, by their own notes and the one clock of the machine."""
    held: int
    """How often a slot was held and given back."""
    killed: int
    left: int
    """Slots still taken, and asks still in line, once the leases of the dead had ended."""


def slots(seconds: float, places: int = 4, processes: int = 6, seed: int = 11) -> Slots:
    """Let *processes* of four threads take turns at *places* slots of one host, while they and workers are killed."""
    chance, host = random.Random(seed), "http://dify.example"
    with sidecar() as (process, ledger), tempfile.TemporaryDirectory(prefix="ens-") as folder:
        log = Path(folder) / "notes"
        log.touch()
        dead: dict[int, float] = {}
        over = threading.Event()
        killer = threading.Thread(target=_kill_workers, args=(process.pid, chance, over))
        with Hammer(processes, process.url, process.token) as all_:
            all_.begin("hold", host=host, places=places, log=str(log), seconds=seconds, threads=4)
            killer.start()
            for child in chance.sample(all_.children, processes // 2):
                time.sleep(seconds / processes)
                child.kill()
                child.wait()
                dead[child.pid] = time.monotonic()
            for child in all_.children:
                if child.pid not in dead and child.stdout:
                    child.stdout.readline()
            over.set()
            killer.join()
        until(lambda: _answers(ledger), "the sidecar to answer")
        left = -1
        for _ in range(100):
            view = ledger.get_slots()
            left = view.used.hosts.get(host, 0) + view.waiting
            if not left:
                break
            time.sleep(0.1)  # leases of a second, and a sweep after them
        out, held = _overlap(log.read_text(encoding="utf-8"), dead)
        return Slots(out, held, len(dead), left)


def _overlap(notes: str, dead: Mapping[int, float]) -> tuple[int, int]:
    """Return the most that *notes* say were out at one time, and how many came back."""
    begun: dict[str, tuple[int, float]] = {}
    ends: dict[str, float] = {}
    for line in notes.splitlines():
        pid, ticket, what, at = line.split()
        if what == "from":
            begun[ticket] = int(pid), float(at)
        else:
            ends[ticket] = float(at)
    moments = []
    for ticket, (owner, since) in begun.items():
        moments += [(since, 1), (ends.get(ticket, dead.get(owner, since)), -1)]
    out = most = 0
    for _, change in sorted(moments):
        out += change
        most = max(most, out)
    return most, len(ends)


def without_sidecar(mode: str) -> Mapping[str, Any]:
    """Stop the sidecar in the middle of a run and start it again once the tool has answered; tell what came of it."""
    apps = [App(name=name, latency_s=0.3) for name in ("one", "two", "three")]
    with world(*apps, env={"ENSEMBLE_LOG_LEVEL": "error", "ENSEMBLE_LEASE_MS": str(LEASE_MS)}) as scene:
        port = scene.sidecar.port
        saved = scene.credentials(on_sidecar_loss=mode)
        call = scene.orchestrate(
            "work", credentials=saved, agents="one, two, three", pattern="sequential", run_key="key"
        )
        call.wait_for(lambda message: "two started" in str(message.content.get("variable_value", "")))
        scene.sidecar.kill()
        result = call.result()
        scene.sidecar.stop()
        scene.sidecar.start(port)
        ledger = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())
        until(lambda: _answers(ledger), "the sidecar to answer")
        until(lambda: _first(ledger).status is not RunStatus.RUNNING, "the run to be handed in")
        return {
            "result": result,
            "view": _first(ledger),
            "again": _again(scene, saved),
            "calls": scene.dify.log().counts,
        }


def _again(scene: Any, saved: Mapping[str, Any]) -> Result:
    call = scene.orchestrate("work", credentials=saved, agents="one, two, three", pattern="sequential", run_key="key")
    result: Result = call.result()
    return result


def _first(ledger: SidecarLedger) -> RunView:
    return ledger.run(ledger.list_runs(RunsParams()).runs[0].run_id)


def _answers(ledger: SidecarLedger) -> bool:
    try:
        return ledger.ready().status == "ready"
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
        return False


def _kill_workers(master: int, chance: random.Random, over: threading.Event) -> None:
    while not over.wait(chance.uniform(0.05, 0.3)):
        workers = workers_of(master)
        if len(workers) > 1:
            os.kill(chance.choice(sorted(workers)), signal.SIGKILL)


def _open_breaker(ledger: SidecarLedger, identity: str) -> None:
    """Let one failure open a breaker."""
    run_id, owner, ask = uuid4().hex, uuid4().hex, wish(identity)
    ledger.exchange(Exchange(run_id=run_id, owner=owner, open=opening(), admit=(ask,)))
    ledger.exchange(Exchange(run_id=run_id, owner=owner, epoch=1, settle=(_failed(ask),)))


def _failed(ask: AdmissionAsk) -> Settlement:
    return Settlement(ticket=ask.ticket, step=ask.step, identity=ask.identity, outcome=Outcome.AGENT_FAILED, took_ms=1)
