"""One crash: runs held at every point, one victim killed, everything resumed, everything counted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping

from tests.faults.holding import POINTS, Holding, wait_for
from tests.faults.judging import Count
from tests.processes import alive, store_of, until, workers_of

__all__ = ["VICTIMS", "crash"]

AWAY_S = 1.0
"""How long a killed sidecar stays away: long enough for runs to go on without it."""


def crash(world: Holding, victim: str) -> Count:
    """Hold one run at each point, kill *victim*, let everything come to its end, and count."""
    calls, held = world.begun()
    _KILLS[victim](world, held)
    world.release(list(held))
    if victim == "plugin":
        world.new_plugin()
        calls = {mark: world.call(mark) for mark in calls}
    count = Count(runs=len(POINTS))
    wait_for(calls, count)
    return world.ended(held, count)


def _kill_plugin(world: Holding, _held: dict[str, int]) -> None:
    world.plugin.kill()


def _kill_worker(world: Holding, held: dict[str, int]) -> None:
    """Kill the workers that hold runs, else any."""
    workers = workers_of(world.sidecar.pid)
    for pid in set(held.values()) & workers or {min(workers)}:
        os.kill(pid, signal.SIGKILL)


def _kill_master(world: Holding, held: dict[str, int]) -> None:
    """Kill the launcher only; its workers and its Valkey end by themselves."""
    port, workers = world.sidecar.port, workers_of(world.sidecar.pid)
    os.kill(world.sidecar.pid, signal.SIGKILL)
    world.release(list(held))
    until(lambda: not any(alive(pid) for pid in workers), "the orphaned workers to end")
    world.sidecar.stop()
    world.sidecar.start(port)


def _kill_sidecar(world: Holding, held: dict[str, int]) -> None:
    """Kill launcher and workers, as the end of a container does; its Valkey ends by itself, or is ended by the next one."""
    port = world.sidecar.port
    world.sidecar.kill()
    world.release(list(held))
    time.sleep(AWAY_S)
    world.sidecar.stop()
    world.sidecar.start(port)


def _kill_valkey(world: Holding, _held: dict[str, int]) -> None:
    os.kill(store_of(world.sidecar.pid), signal.SIGKILL)


_KILLS: Mapping[str, Callable[[Holding, dict[str, int]], None]] = {
    "plugin": _kill_plugin,
    "worker": _kill_worker,
    "master": _kill_master,
    "sidecar": _kill_sidecar,
    "valkey": _kill_valkey,
}
VICTIMS = tuple(_KILLS)
"""*master* dies alone, and its workers follow in their own time; *sidecar* is master and workers at once."""
