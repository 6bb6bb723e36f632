"""One crash: many runs, each held at a point of its own, one victim killed, everything resumed, everything counted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunView
from sidecar.store.connection import connect
from tests.standin.apps import App, Usage
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation, PluginDied
from tests.standin.service_api import ROOT, StandIn, process
from tests.standin.world import SidecarProcess, World

__all__ = ["POINTS", "STORES", "VICTIMS", "Count", "Crashes", "crashes"]

POINTS = (
    "plugin before admit",
    "sidecar before admit",
    "sidecar after admit",
    "plugin after admit",
    "call after admit",
    "plugin before settle",
    "sidecar before settle",
    "sidecar after settle",
    "plugin after settle",
    "plugin before close",
    "sidecar before close",
    "sidecar after close",
    "plugin after close",
)
"""Where the runs of one round are held, in the order of an attempt's life: who, before or after which exchange.

*sidecar before* is after its read, before its commit; *call after admit* is while the agent works.
"""
VICTIMS = ("plugin", "worker", "master", "sidecar", "valkey")
"""*master* dies alone, and its workers follow in their own time; *sidecar* is master and workers at once."""
STORES = ("everysec", "strict")
LEASE_MS = 1_000
STEPS = ("one", "two", "three")
TOKENS = 30
WAIT_S = 30.0
AWAY_S = 1.0
"""How long a killed sidecar stays away: long enough for runs to go on without it."""
_MARK = re.compile(r"round \d+ hold=[a-z ]+")


@dataclass
class Count:
    """What went wrong in how many runs; only *runs* may be anything but zero, and what is said to be harmless."""

    runs: int = 0
    again_unflagged: int = 0
    """Steps called more often than the record admits."""
    finished_again: int = 0
    """Steps with a result on record that were worked on again."""
    stuck: int = 0
    """Runs that are not closed in the end."""
    halted: int = 0
    """Calls of the tool that failed though the plugin lived."""
    wrong_budgets: int = 0
    leases: int = 0
    """Leases left when all runs were over."""
    again: int = 0
    """Harmless, for it is flagged: calls beyond one for each step, because somebody died while the agent worked."""
    seen: list[str] = field(default_factory=list)
    """What to look at."""

    def add(self, other: Count) -> None:
        """Add up."""
        for name in (
            "runs",
            "again_unflagged",
            "finished_again",
            "stuck",
            "halted",
            "wrong_budgets",
            "leases",
            "again",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seen += other.seen

    @property
    def faults(self) -> int:
        """Everything that must be zero."""
        wrong = self.again_unflagged + self.finished_again + self.stuck + self.halted + self.wrong_budgets
        return wrong + self.leases


class Crashes:
    """A world in which runs can be held, and its parts killed."""

    def __init__(self, folder: Path, sidecar: SidecarProcess, dify: StandIn) -> None:
        """Begin with a plugin of its own."""
        self._folder = folder
        self._sidecar = sidecar
        self._dify = dify
        self._apps = {app.name: app for app in team()}
        self._plugin = self._started_plugin()
        self._client = SidecarLedger(sidecar.url, sidecar.token, connections())
        self._round = 0

    def close(self) -> None:
        """End the plugin."""
        self._plugin.__exit__(None, None, None)

    def round(self, victim: str, points: tuple[str, ...] = POINTS) -> Count:
        """Hold one run at each of *points*, kill *victim*, let everything come to its end, and count."""
        self._round += 1
        self._dify.reset()
        marks = {f"round {self._round} hold={point}": point for point in points}
        calls = {mark: self._call(mark) for mark in marks}
        held = self._all_held(len(points))
        for run_id in self._held_at("call after admit"):
            (self._folder / f"{run_id}.go").touch()
        time.sleep(0.05)  # so that these calls are out
        getattr(self, f"_kill_{victim}")(held)
        for run_id in held:
            (self._folder / f"{run_id}.go").touch()
        if victim == "plugin":
            self._plugin.__exit__(None, None, None)
            self._plugin = self._started_plugin()
            calls = {mark: self._call(mark) for mark in marks}
        count = Count(runs=len(points))
        for mark, call in calls.items():
            self._end_of(mark, call, count)
        self._judge(dict.fromkeys(held), count)
        for path in self._folder.glob("*.*"):
            path.unlink()
        return count

    def _started_plugin(self) -> PluginProcess:
        env = {"ENSEMBLE_TEST_HOLD": str(self._folder), "PYTHONPATH": str(Path(__file__).parent / "inside")}
        return PluginProcess(ROOT, env=env).__enter__()

    def _call(self, mark: str) -> Invocation:
        world = World(self._sidecar, self._plugin, self._dify, self._apps)
        saved = world.credentials(host_parallel="64", max_parallel="64")
        return world.orchestrate(mark, credentials=saved, agents=", ".join(STEPS), pattern="sequential", run_key=mark)

    def _all_held(self, wanted: int) -> dict[str, int]:
        """Wait until that many runs are held; return the process that holds each."""

        def look() -> dict[str, int]:
            return {path.stem: int(path.read_text()) for path in self._folder.glob("*.held")}

        until(lambda: len(look()) >= wanted, f"{wanted} runs to be held", look)
        return look()

    def _held_at(self, point: str) -> list[str]:
        return [path.stem for path in self._folder.glob("*.point") if path.read_text() == point]

    def _kill_plugin(self, _held: dict[str, int]) -> None:
        self._plugin.kill()

    def _kill_worker(self, held: dict[str, int]) -> None:
        """Kill the workers that hold runs, else any."""
        workers = children(self._sidecar.pid)
        for pid in set(held.values()) & workers or {min(workers)}:
            os.kill(pid, signal.SIGKILL)

    def _kill_master(self, held: dict[str, int]) -> None:
        """Kill the launcher only; its workers end by themselves, its Valkey is taken over by the next one."""
        port, workers = self._sidecar.port, children(self._sidecar.pid)
        os.kill(self._sidecar.pid, signal.SIGKILL)
        for run_id in held:
            (self._folder / f"{run_id}.go").touch()
        until(lambda: not any(alive(pid) for pid in workers), "the orphaned workers to end")
        self._sidecar.stop()
        self._sidecar.start(port)

    def _kill_sidecar(self, _held: dict[str, int]) -> None:
        """Kill launcher and workers, as the end of a container does; its Valkey is taken over by the next one."""
        port = self._sidecar.port
        self._sidecar.kill()
        for path in self._folder.glob("*.held"):
            path.with_suffix(".go").touch()
        time.sleep(AWAY_S)
        self._sidecar.stop()
        self._sidecar.start(port)

    def _kill_valkey(self, _held: dict[str, int]) -> None:
        os.kill(valkey_of(self._sidecar.pid), signal.SIGKILL)

    def _end_of(self, mark: str, call: Invocation, count: Count) -> None:
        try:
            error = call.result(WAIT_S).error
        except PluginDied as died:
            count.halted += 1
            count.seen.append(f"{mark}: {died}")
            return
        if error is not None:
            count.halted += 1
            count.seen.append(f"{mark}: {error.error_type}: {error.message}")

    def _judge(self, run_ids: dict[str, None], count: Count) -> None:
        called = Counter(
            (mark.group(), call.app) for call in self._dify.log().calls if (mark := _MARK.match(call.query)) is not None
        )
        for run_id in run_ids:
            with contextlib.suppress(TimeoutError):
                until(lambda r=run_id: self._closed(r), "the run to be closed on record")  # type: ignore[misc]  # bound now
            view = self._client.run(run_id)
            name = f"{view.run_key} ({run_id})"
            if view.status is not RunStatus.SUCCEEDED:
                count.stuck += 1
                count.seen.append(f"{name} is {view.status}")
            self._judge_steps(view, called, count)
            self._judge_budget(view, called, count)
        socket = self._sidecar.folder / "store" / "valkey.sock"
        redis = connect(f"unix://{socket}")
        try:
            left = until_zero(lambda: redis.zcard("ens:{default}:leases"))
        finally:
            redis.close()
        count.leases += left

    def _closed(self, run_id: str) -> bool:
        return self._client.run(run_id).status is not RunStatus.RUNNING

    def _judge_steps(self, view: RunView, called: Counter[tuple[str, str]], count: Count) -> None:
        for step in STEPS:
            attempts = [each for each in view.attempts if each.step == step]
            calls, succeeded = called[view.run_key, step], [a for a in attempts if a.outcome is Outcome.SUCCEEDED]
            flagged = [a for a in attempts if a.outcome in (Outcome.UNCERTAIN, Outcome.CANCELLED)]
            count.again += max(0, calls - 1)
            if calls > 1 and calls - 1 > len(flagged):
                count.again_unflagged += 1
                count.seen.append(f"{view.run_key}: {step} was called {calls} times, {len(flagged)} flagged")
            if len(succeeded) > 1:
                count.finished_again += 1
                count.seen.append(f"{view.run_key}: {step} succeeded {len(succeeded)} times")

    def _judge_budget(self, view: RunView, called: Counter[tuple[str, str]], count: Count) -> None:
        """Every call is booked; beyond that only attempts that are flagged, each at its reservation of one call."""
        made = sum(called[view.run_key, step] for step in STEPS)
        flagged = sum(each.outcome is Outcome.UNCERTAIN for each in view.attempts)
        budget = view.budget
        known = sum(each.outcome is Outcome.SUCCEEDED for each in view.attempts) * TOKENS
        exact = made <= budget.calls_committed <= made + flagged and budget.tokens_committed >= known
        if not exact or budget.calls_reserved or budget.tokens_reserved or budget.ms_reserved:
            count.wrong_budgets += 1
            count.seen.append(f"{view.run_key}: {made} calls, {flagged} flagged, {budget!r}")


@contextlib.contextmanager
def crashes(store: str = "everysec") -> Iterator[Crashes]:
    """Start a world to crash in, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="ens-") as folder,
        tempfile.TemporaryDirectory(prefix="ens-hold-") as holds,
        contextlib.ExitStack() as stack,
    ):
        env = {
            "ENSEMBLE_LEASE_MS": str(LEASE_MS),
            "ENSEMBLE_DURABILITY": store,
            "ENSEMBLE_THREADS": "32",
            "ENSEMBLE_LOG_LEVEL": "error",
            "ENSEMBLE_TEST_HOLD": holds,
            "PYTHONPATH": str(Path(__file__).parent / "inside"),
        }
        log = Path(folder) / "sidecar.log"
        sidecar = stack.enter_context(SidecarProcess(Path(folder), env=env, log=log))
        dify = stack.enter_context(process(*team()))
        world = Crashes(Path(holds), sidecar, dify)
        stack.callback(world.close)
        yield world


def team() -> list[App]:
    """Return the agents; the one in the middle takes long enough to be killed at its work."""
    usage = Usage(prompt_tokens=TOKENS - 10, completion_tokens=10)
    latency = {"one": 0.02, "two": 0.2, "three": 0.02}
    return [App(name=name, latency_s=latency[name], answer=f"{name} is done", usage=usage) for name in STEPS]


def children(pid: int) -> set[int]:
    """Return the gunicorn workers of a launcher."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in listed if "valkey" not in command(int(child))}


def valkey_of(pid: int) -> int:
    """Return the store of a launcher."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in listed if "valkey" in command(int(child)))


def command(pid: int) -> str:
    """Return the command line of a process, empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def alive(pid: int) -> bool:
    """Whether a process runs."""
    return command(pid) != ""


def until(done: Callable[[], bool], what: str, tell: Callable[[], Any] = lambda: "") -> None:
    """Look until *done*. Raises TimeoutError."""
    end = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {WAIT_S:g} s for {what}: {tell()}")
        time.sleep(0.01)


def until_zero(number: Callable[[], int]) -> int:
    """Return 0 as soon as *number* is, else what it is in the end."""
    with contextlib.suppress(TimeoutError):
        until(lambda: number() == 0, "nothing to be left")
    return number()
