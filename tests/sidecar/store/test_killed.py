"""Processes that call, pay and take slots are killed at any moment: limits hold meanwhile, and nothing stays taken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ensemble.contract.breakers import BreakerParams
from ensemble.contract.budgets import BudgetDefinition, BudgetParams, BudgetWindow, Limits
from sidecar.breakers.service import Breakers
from sidecar.budgets.service import Budgets
from sidecar.errors import NotFound
from sidecar.runs.sweep import Sweeper
from sidecar.slots.service import Slots
from sidecar.store import connection
from sidecar.store.store import Store
from tests.sidecar.store.hammer import GUARDED, HOST, LEASE_MS

ROOT = Path(__file__).resolve().parents[3]
SECONDS = float(os.environ.get("ENSEMBLE_TESTS_SECONDS", "4"))
"""How long it goes on; more finds more."""
PROCESSES = 3
LEAST_KILLED = 2
RETURNED_S = 20.0
"""How long it may take until all is given back: a lease of a second, and what a busy machine adds."""


@pytest.mark.timeout(180)
def test_killed_processes_leave_nothing_taken(valkey: Any, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at a time; each is killed after a random while of work and replaced."""
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 30.0)  # who looks on may have to wait for the processor
    store, chance = Store(connection.connect(valkey.url)), random.Random(3)
    breakers, budgets, slots = Breakers(store), Budgets(store), Slots(store)
    limits = {"a": 1_000_000, "b": 50_000}
    for name, calls in limits.items():
        window = BudgetWindow(kind="rolling", seconds=20) if name == "b" else BudgetWindow()
        budgets.define(
            tenant, BudgetParams(name=name), BudgetDefinition(limits=Limits(tokens=10**9, calls=calls), window=window)
        )
    running: list[subprocess.Popen[str]] = []
    killed = 0
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until or killed < LEAST_KILLED:
            while len(running) < PROCESSES:
                running.append(_start(valkey.url, tenant, chance.randrange(2**32)))
            victim = running[chance.randrange(PROCESSES)]
            _wait_until_it_works(victim)
            time.sleep(chance.uniform(0.2, 0.6))
            _limits_hold(breakers, budgets, slots, tenant, limits)
            assert victim.poll() is None, "it ended by itself"
            running.remove(victim)
            _end(victim)
            killed += 1
    finally:
        for process in running:
            _end(process)
    for name in limits:
        assert budgets.get(tenant, BudgetParams(name=name)).used.calls_committed > PROCESSES, "they did something"
    sweeper, deadline = Sweeper(store, [tenant], LEASE_MS), time.monotonic() + RETURNED_S
    while _taken(budgets, slots, tenant, limits) and time.monotonic() < deadline:
        sweeper.sweep()
    assert not _taken(budgets, slots, tenant, limits)
    assert slots.get(tenant).used.hosts == {HOST: 0}


def _start(url: str, tenant: str, seed: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "tests.sidecar.store.hammer", url, tenant, str(seed)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _wait_until_it_works(process: subprocess.Popen[str]) -> None:
    """One that is killed before it does anything leaves nothing to find."""
    assert process.stdout
    assert process.stdout.readline() == "at work\n", "it ended by itself"


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _taken(budgets: Budgets, slots: Slots, tenant: str, limits: Iterable[str]) -> list[int]:
    """Return what is reserved or out, as far as it is not nothing."""
    found = [sum(slots.get(tenant).used.hosts.values())]
    for name in limits:
        used = budgets.get(tenant, BudgetParams(name=name)).used
        found += (used.tokens_reserved, used.calls_reserved, used.ms_reserved)
    return [number for number in found if number]


def _limits_hold(breakers: Breakers, budgets: Budgets, slots: Slots, tenant: str, limits: dict[str, int]) -> None:
    assert slots.get(tenant).used.hosts.get(HOST, 0) in range(3)
    for name, calls in limits.items():
        used = budgets.get(tenant, BudgetParams(name=name)).used
        assert used.calls_reserved >= 0
        assert used.calls_committed + used.calls_reserved <= calls
    try:
        assert breakers.get(tenant, BreakerParams(identity=GUARDED)).probes <= 1
    except NotFound:
        return
