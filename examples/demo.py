"""One task, four ways: one agent alone, four in sequence, three side by side and a synthesis, four side by side.

After that an agent dies and comes back (examples/failing.py).

Everything is real but Dify: the sidecar on its own Valkey, the plugin's process driven over its stdio protocol, HTTP
between them and to a stand-in that answers as a recorded Dify does. Every number printed is measured in this run.
"""

from __future__ import annotations

import concurrent.futures
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from textwrap import indent
from typing import Any

from examples.failing import show_failing
from examples.picture import table, timeline
from tests.standin.apps import App, Usage
from tests.standin.failures import sometimes
from tests.standin.invocation import Result
from tests.standin.world import World, world

TASK = "Analyze our company's Q3 2024 business performance and suggest improvements"
ANSWERS = {
    "data_analysis": "Revenue grew 12 % to 4.1 M; margin fell two points to 31 %; support cost per customer rose 9 %.",
    "competitor_research": "Two rivals cut prices by 8 % in August; neither has our integrations; one lost its sales lead.",
    "improvement_suggestion": "Raise list prices for integrations, move support to self-service, renew contracts early.",
    "synthesis": "Q3 grew, at a price. Keep the integrations dear, make support cheap, and renew before the rivals call.",
    "generalist": "Revenue is up 12 %, margin is down; cut support cost and defend prices.",
}
TEAM = "data_analysis, competitor_research, improvement_suggestion"
RUNS = 100
AT_ONCE = 10
FAILURE_RATE = 0.05


@dataclass(frozen=True)
class Way:
    """One way to do the task: what the node's fields hold."""

    title: str
    fields: Mapping[str, Any]


WAYS = (
    Way("one agent alone", {"agents": "generalist", "pattern": "sequential"}),
    Way("four in sequence", {"agents": f"{TEAM}, synthesis", "pattern": "sequential"}),
    Way("three in parallel, then synthesis", {"agents": TEAM, "pattern": "parallel", "synthesizer": "synthesis"}),
    Way("four in parallel", {"agents": f"{TEAM}, synthesis", "pattern": "parallel"}),
)


def apps(latency_s: float, failure_rate: float = 0.0) -> list[App]:
    """Return the team as Dify serves it: chatflows that take *latency_s* and fail by a seeded chance."""
    return [
        App(
            name=name,
            answer=answer,
            latency_s=latency_s,
            usage=Usage(prompt_tokens=400 + 90 * number, completion_tokens=150, total_price=Decimal("0.0021")),
            failures=sometimes(failure_rate, seed=2024 + number, kind="node_failed"),
        )
        for number, (name, answer) in enumerate(ANSWERS.items(), start=1)
    ]


def show(scene: World, way: Way) -> Result:
    """Do the task one way, telling what happens while it happens."""
    print(f"\n── {way.title} " + "─" * (70 - len(way.title)))
    call = scene.orchestrate(TASK, **way.fields)
    for message in call:
        if message.type == "variable" and message.content.get("variable_name") == "progress":
            print(indent(str(message.content["variable_value"]).rstrip(), "  "))
    result = call.result()
    if result.error is not None:
        sys.exit(f"The tool failed: {result.error.message}")
    print(f"\n{timeline(result.variables['results'], result.took_s * 1000)}\n\n{_indented(result.text)}")
    return result


def error_rate(scene: World, way: Way) -> tuple[int, int]:
    """Run one way RUNS times with agents that fail; return how many answers were incomplete, and how many missing."""

    def once(_: int) -> str:
        result = scene.orchestrate(TASK, **way.fields).result()
        return "none" if result.error is not None else str(result.variables["status"])

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(once, range(RUNS)))
    return statuses.count("partial"), statuses.count("none")


def main() -> None:
    """Play the demo; exit status 0 when it came to its end."""
    begun = time.monotonic()
    with world(*apps(latency_s=1.0)) as scene:
        print(
            f"Ensemble: one task, four ways\n\n  Task    {TASK}\n  Sidecar {scene.sidecar.url}\n  Dify    {scene.dify.url} (stand-in)"
        )
        shown = [show(scene, way) for way in WAYS]
        print(
            f"\n── {RUNS} runs of each way with agents of 20 ms, every call failing with p = {FAILURE_RATE} " + "─" * 4
        )
        rates = []
        for way in WAYS:
            scene.dify.put(*apps(latency_s=0.02, failure_rate=FAILURE_RATE))
            rates.append(error_rate(scene, way))
        show_failing(scene, TASK, apps(latency_s=0.3))
    print(
        "\n"
        + table(
            ("way", "time", "tokens", "cost", "partial answers", "no answer"),
            [_row(way, result, rate) for way, result, rate in zip(WAYS, shown, rates, strict=True)],
        )
    )
    print(
        f"\n  Side by side, a dead agent costs its own part; in sequence it costs everything after it.\n  Done in {time.monotonic() - begun:.0f} s."
    )


def _row(way: Way, result: Result, rate: tuple[int, int]) -> tuple[str, ...]:
    usage: Mapping[str, Any] = result.variables["usage"]
    partial, none = rate
    return (
        way.title,
        f"{result.took_s:.2f} s",
        str(usage["tokens"]),
        f"{usage['price']} {usage['currency']}",
        f"{partial / RUNS:.0%}",
        f"{none / RUNS:.0%}",
    )


def _indented(text: str) -> str:
    return "\n".join(f"  > {line}" if line else "  >" for line in text.splitlines())


if __name__ == "__main__":
    main()
