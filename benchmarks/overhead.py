"""What an engine adds to its agents' time: the wall clock of a run less its critical path, ours beside others'.

Ours is the whole way: a tool call over the plugin's stdio protocol, the sidecar with its store on disk, ledger, breakers
and a budget. The others' clocks run inside their process, around the calls alone. Everybody calls the same agents. An
engine's turn begins with a run on agents that answer at once, which opens its connections and is not counted; turns go
round, so that a slow minute of the machine is everybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.peers.process import Peer, peer, peers_installed
from benchmarks.results import Entry, median, table
from benchmarks.shapes import SHAPES, TASK, WIDEST, Shape
from tests.standin.apps import App, Usage
from tests.standin.parameters import variable
from tests.standin.world import World, world

__all__ = ["OURS", "measure"]

OURS = "ensemble"
THREADS = "threads + requests"
LIMITS = "max_parallel: 64, max_tokens: 10000000, max_calls: 1000"
ANSWER = "Nothing of note: revenue, churn and the number of open tickets stand where they stood. " * 3

type Engine = Callable[[Shape, str], float]
"""Runs a shape on the agents whose names begin like this; returns seconds."""


def measure(rounds: int, *, per_turn: int = 3, latency_s: float = 0.2) -> list[Entry]:
    """Measure every shape, print the tables, return the entries.

    Args:
        rounds: How often everybody gets a turn.
        per_turn: How many runs of a turn are counted.
        latency_s: How long an agent takes.

    """
    with _engines(latency_s) as engines:
        slow = {shape.name: _rounds(engines, shape, "slow", rounds, per_turn) for shape in SHAPES.values()}
        quick = {shape.name: _rounds(engines, shape, "quick", rounds, per_turn) for shape in SHAPES.values()}
    beyond = {
        name: {engine: (s - SHAPES[name].depth * latency_s) * 1000 for engine, s in times.items()}
        for name, times in slow.items()
    }
    ratios = {name: {engine: ms / times[THREADS] for engine, ms in times.items()} for name, times in beyond.items()}
    at_once = {name: {engine: s * 1000 for engine, s in times.items()} for name, times in quick.items()}
    _show(f"Overhead, ms beyond the critical path (agents of {latency_s * 1000:.0f} ms)", beyond, ".1f")
    _show("The same as a ratio to bare threads", ratios, ".2f")
    _show("Whole runs of agents that answer at once, ms", at_once, ".1f")
    return [
        *_entries("overhead", "ms", beyond),
        *_entries("ratio", "x", ratios),
        *_entries("overhead0", "ms", at_once),
    ]


@contextmanager
def _engines(latency_s: float) -> Iterator[Mapping[str, Engine]]:
    """Start everybody."""
    paces = {"slow": latency_s, "quick": 0.0}
    usage = Usage(prompt_tokens=300, completion_tokens=60)
    apps = [
        App(name=f"{pace}{number}", answer=ANSWER, latency_s=seconds, usage=usage)
        for pace, seconds in paces.items()
        for number in range(WIDEST)
    ]
    with ExitStack() as stack:
        scene = stack.enter_context(world(*apps))
        engines: dict[str, Engine] = {OURS: _ours(scene)}
        engines[THREADS] = _theirs(scene, stack.enter_context(peer("threads")))
        engines["greenlets + urllib3"] = _theirs(scene, stack.enter_context(peer("greenlets")))
        if peers_installed():
            engines["LangGraph"] = _theirs(scene, stack.enter_context(peer("graphs", foreign=True)))
            engines["LangGraph + SQLite"] = _theirs(
                scene, stack.enter_context(peer("graphs", "--sqlite", foreign=True))
            )
        yield engines


def plan_of(shape: Shape, agents: str) -> dict[str, Any]:
    """Return the plan of *shape* as a builder would write it."""
    steps = []
    for number, node in enumerate(shape.nodes):
        query = "\n".join(["{{ task }}", *(f"{{{{ {name}.output }}}}" for name in node.after)])
        steps.append({"id": node.id, "agent": f"{agents}{number}", "query": query})
    return {"steps": steps}


def _ours(scene: World) -> Engine:
    def run(shape: Shape, agents: str) -> float:
        plan = variable(plan_of(shape, agents))
        # The others are told the keys of the agents they call, too.
        keys = "\n".join(f"{agents}{n} = {scene.apps[f'{agents}{n}'].key}" for n in range(len(shape.nodes)))
        credentials = scene.credentials(host_parallel="64", max_parallel="64", app_keys=keys)
        result = scene.orchestrate(TASK, credentials=credentials, plan=plan, limits=LIMITS).result()
        answered = [each for each in result.variables.get("results", ()) if each["status"] == "succeeded"]
        _check(OURS, len(answered), shape, str(result.error and result.error.message))
        return result.took_s

    return run


def _theirs(scene: World, worker: Peer) -> Engine:
    def run(shape: Shape, agents: str) -> float:
        keys = [scene.apps[f"{agents}{number}"].key for number in range(len(shape.nodes))]
        answer = worker.ask(shape=shape.name, url=scene.dify.url, keys=keys)
        _check("a peer", answer["answered"], shape)
        return float(answer["took_s"])

    return run


def _check(who: str, answered: int, shape: Shape, why: str = "") -> None:
    if answered != len(shape.nodes):
        raise RuntimeError(f"{who} brought {answered} of {len(shape.nodes)} answers of {shape.name}: {why}")


def _rounds(engines: Mapping[str, Engine], shape: Shape, agents: str, rounds: int, per_turn: int) -> dict[str, float]:
    """Return each engine's median time in seconds."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, run in engines.items():
            run(shape, "quick")
            times[name] += [run(shape, agents) for _ in range(per_turn)]
    return {name: median(taken) for name, taken in times.items()}


def _show(title: str, figures: Mapping[str, Mapping[str, float]], form: str) -> None:
    engines = list(next(iter(figures.values())))
    rows = [[engine, *(format(times[engine], form) for times in figures.values())] for engine in engines]
    print(f"\n{title}\n\n{table(('engine', *figures), rows)}")


def _entries(group: str, unit: str, figures: Mapping[str, Mapping[str, float]]) -> list[Entry]:
    return [
        Entry(f"{group}.{shape}", times[OURS], unit, {name: v for name, v in times.items() if name != OURS})
        for shape, times in figures.items()
    ]
