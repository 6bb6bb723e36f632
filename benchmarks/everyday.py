"""What a builder notices: four agents of a second each, side by side and in sequence, and the memory it all takes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results import Entry, median, table
from examples.demo import TASK, WAYS, apps
from tests.processes import workers_of
from tests.standin.world import World, world

__all__ = ["measure"]

NATIVE = "Dify 1.14.0's own parallel branches"
NATIVE_S = 4.19
"""Measured once on a stock Dify 1.14.0 server, default settings: a workflow with four parallel branches, each an HTTP
call of one second. It can't be measured here, where Dify does not run."""
SEQUENTIAL, TEAM_AND_SYNTHESIS, PARALLEL = WAYS[1:]


def measure(rounds: int, latency_s: float = 1.0) -> list[Entry]:
    """Do the demo's task with agents of *latency_s*, *rounds* times each way; print the table, return the entries."""
    ways = {"sequential": SEQUENTIAL, "parallel": TEAM_AND_SYNTHESIS, "four": PARALLEL}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with world(*apps(latency_s)) as scene:
        for _ in range(rounds):
            for name, way in ways.items():
                result = scene.orchestrate(TASK, **way.fields).result()
                if result.error is not None:
                    raise RuntimeError(result.error.message)
                times[name].append(result.took_s)
        plugin_mb, worker_mb = _memory(scene)
    entries = [
        Entry("parallel4.s", median(times["four"]), "s", {NATIVE: NATIVE_S} if latency_s == 1.0 else {}),
        Entry("demo.sequential_s", median(times["sequential"]), "s"),
        Entry("demo.parallel_s", median(times["parallel"]), "s"),
        Entry("memory.plugin_mb", plugin_mb, "MB"),
        Entry("memory.sidecar_worker_mb", worker_mb, "MB"),
    ]
    rows = [[each.name, f"{each.value:.2f}", each.unit, _versus(each)] for each in entries]
    print(
        f"\nAgents of {latency_s:g} s each, and memory afterwards\n\n{table(('what', 'value', 'unit', 'beside'), rows)}"
    )
    return entries


def _versus(entry: Entry) -> str:
    return ", ".join(f"{name}: {value:g}" for name, value in entry.versus.items())


def _memory(scene: World) -> tuple[float, float]:
    """Return what the plugin's process and the largest of the sidecar's workers hold of memory, in MB."""
    return _resident_mb(scene.plugin.pid), max(map(_resident_mb, workers_of(scene.sidecar.pid)))


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
