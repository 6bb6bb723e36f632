"""Plans of 500 steps: they run, and a round costs no more for it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ensemble.agents.port import Agent
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.attempts.hosts import Hosts
from tests.ensemble.engine.kit import Scripted, good, play

STEPS = 500


def shapes() -> dict[str, list[dict[str, Any]]]:
    """The shapes that are hard in different ways."""
    ids = [f"s{n}" for n in range(STEPS)]
    return {
        "a chain": [{"id": i, "agent": "a", "depends_on": ids[max(0, n - 1) : n]} for n, i in enumerate(ids)],
        "a fan": [{"id": i, "agent": "a"} for i in ids[:-1]] + [{"id": ids[-1], "agent": "a", "depends_on": ids[:-1]}],
        "a lattice": [{"id": i, "agent": "a", "depends_on": ids[max(0, n - 4) : n]} for n, i in enumerate(ids)],
    }


@pytest.mark.parametrize("shape", shapes())
def test_five_hundred_steps_run(shape: str) -> None:
    """Each once, in an order their dependencies allow, in seconds: 500 steps are 500 calls and 500 exchanges at most."""
    agent = Scripted("a", [good()])
    agents: dict[str, Agent] = {"a": agent}
    begun = time.monotonic()

    played = play({"steps": shapes()[shape]}, agents, max_parallel=50, host_parallel=50, hosts=Hosts())

    assert (RunStatus.SUCCEEDED, STEPS) == (played.report.status, len(agent.calls))
    assert all(result.attempts == 1 for result in played.report.results)
    assert time.monotonic() - begun < 60
