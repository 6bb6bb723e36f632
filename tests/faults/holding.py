"""A world of real processes in which many runs are held, each at a point of its own, so that something can happen to them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from tests.faults.judging import STEPS, Count, judge, team
from tests.processes import WAIT_S, until
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation, PluginDied
from tests.standin.service_api import ROOT, StandIn, process
from tests.standin.world import SidecarProcess, World

__all__ = ["LEASE_MS", "POINTS", "STORES", "Holding", "holding", "sidecar_env", "wait_for"]

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
STORES = ("everysec", "strict")
LEASE_MS = 1_000


class Holding:
    """A world in which runs can be held at points of their life."""

    def __init__(self, folder: Path, sidecar: SidecarProcess, dify: StandIn) -> None:
        """Begin with a plugin of its own; *folder* is where the held and who holds them tell each other."""
        self._folder = folder
        self.sidecar = sidecar
        self._dify = dify
        self.plugin = self.started_plugin()
        self.ledger = SidecarLedger(sidecar.url, sidecar.token, connections())
        self.rounds = 0

    def close(self) -> None:
        """End the plugin."""
        self.plugin.__exit__(None, None, None)

    def begun(self) -> tuple[dict[str, Invocation], dict[str, int]]:
        """Hold a run at each point; return the calls by their mark, and the process that holds each run."""
        self.rounds += 1
        self._dify.reset()
        calls = {mark: self.call(mark) for mark in (f"round {self.rounds} hold={point}" for point in POINTS)}
        held = self._all_held(len(POINTS))
        self.release(self._held_at("call after admit"))
        time.sleep(0.05)  # so that these calls are out
        return calls, held

    def ended(self, held: dict[str, int], count: Count) -> Count:
        """Judge a round whose calls have all come back."""
        store_url = f"unix://{self.sidecar.folder / 'store' / 'valkey.sock'}"
        judge(list(held), self.ledger, self._dify, store_url, count)
        for path in self._folder.glob("*.*"):
            path.unlink()
        return count

    def new_plugin(self) -> None:
        """Go on with another process of the plugin."""
        self.plugin.__exit__(None, None, None)
        self.plugin = self.started_plugin()

    def started_plugin(self) -> PluginProcess:
        """Return a process of the plugin that holds what is to be held."""
        env = {"ENSEMBLE_TEST_HOLD": str(self._folder), "PYTHONPATH": str(Path(__file__).parent / "inside")}
        return PluginProcess(ROOT, env=env).__enter__()

    def call(self, mark: str, plugin: PluginProcess | None = None) -> Invocation:
        """Call the tool in this plugin, or another one."""
        world = World(self.sidecar, plugin or self.plugin, self._dify, {app.name: app for app in team()})
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

    def release(self, run_ids: list[str]) -> None:
        """Let runs go on."""
        for run_id in run_ids:
            (self._folder / f"{run_id}.go").touch()


def wait_for(calls: dict[str, Invocation], count: Count, *, expected: str = "") -> None:
    """Wait for all calls; one that fails has halted, unless by the error that is *expected*."""
    for mark, call in calls.items():
        try:
            error = call.result(WAIT_S).error
        except PluginDied as died:
            count.halted += 1
            count.seen.append(f"{mark}: {died}")
            continue
        if error is not None and error.error_type != expected:
            count.halted += 1
            count.seen.append(f"{mark}: {error.error_type}: {error.message}")


def sidecar_env(store: str) -> dict[str, str]:
    """Return the settings of a sidecar that is to be killed: short leases, on a store of this durability."""
    return {
        "ENSEMBLE_LEASE_MS": str(LEASE_MS),
        "ENSEMBLE_DURABILITY": store,
        "ENSEMBLE_THREADS": "32",
        "ENSEMBLE_LOG_LEVEL": "error",
    }


@contextlib.contextmanager
def holding(store: str = "everysec") -> Iterator[Holding]:
    """Start such a world on a store of this durability, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="ens-") as folder,
        tempfile.TemporaryDirectory(prefix="ens-hold-") as holds,
        contextlib.ExitStack() as stack,
    ):
        env = sidecar_env(store) | {
            "ENSEMBLE_TEST_HOLD": holds,
            "PYTHONPATH": str(Path(__file__).parent / "inside"),
        }
        log = Path(folder) / "sidecar.log"
        sidecar = stack.enter_context(SidecarProcess(Path(folder), env=env, log=log))
        dify = stack.enter_context(process(*team()))
        world = Holding(Path(holds), sidecar, dify)
        stack.callback(world.close)
        yield world
