"""Side by side really is side by side, through the plugin's process and the sidecar."""

from __future__ import annotations

import pytest

from tests.standin.apps import App
from tests.standin.world import World
from tests.together.team import team

PARALLEL_S = 1.15
SEQUENCE_S = 4.25
TRIES = 3


def test_four_agents_of_one_second(scene: World, capsys: pytest.CaptureFixture[str]) -> None:
    """In parallel within 1.15 s, in sequence within 4.25 s.

    The one timed test: a shared machine has bad seconds, so the best of up to three tries counts.
    """
    four = team(scene, *(App(name=name, answer=f"{name}: {{query}}", latency_s=1) for name in "abcd"))
    # The apps' modes and forms are asked for once and then known, as in any workflow but the very first.
    four.run("warm up", pattern="parallel")
    took_s = {"parallel": float("inf"), "sequential": float("inf")}
    for number in range(TRIES):
        for pattern, best_s in took_s.items():
            result = four.run(f"try {number}", pattern=pattern)
            assert result.error is None
            assert result.variables["status"] == "succeeded"
            took_s[pattern] = min(best_s, result.took_s)
        if took_s["parallel"] <= PARALLEL_S and took_s["sequential"] <= SEQUENCE_S:
            break
    with capsys.disabled():
        print(f"\nfour agents of 1 s: parallel {took_s['parallel']:.3f} s | in sequence {took_s['sequential']:.3f} s")

    assert took_s["parallel"] <= PARALLEL_S
    assert took_s["sequential"] <= SEQUENCE_S
