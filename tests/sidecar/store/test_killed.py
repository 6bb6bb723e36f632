"""Processes that call, pay and take slots are killed at any moment: limits hold meanwhile, and nothing stays taken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ensemble.contract.breakers import BreakerParams
from ensemble.contract.budgets import BudgetDefinition, BudgetParams, BudgetWindow, Limits
from sidecar.breakers.service import Breakers
from sidecar.budgets.service import Budgets
from sidecar.errors import NotFound
from sidecar.runs.sweep import Sweeper
from sidecar.slots.service import Slots
from sidecar.store.connection import connect
from sidecar.store.store import Store
from tests.sidecar.store.hammer import GUARDED, HOST, LEASE_MS

ROOT = Path(__file__).resolve().parents[3]
SECONDS = float(os.environ.get("ENSEMBLE_TESTS_SECONDS", "4"))
"""How long it goes on; more finds more."""
PROCESSES = 3


def test_killed_processes_leave_nothing_taken(valkey: Any, tenant: str) -> None:
    """Three at a time; each is killed after a random while and replaced."""
    store, chance = Store(connect(valkey.url)), random.Random(3)
    breakers, budgets, slots = Breakers(store), Budgets(store), Slots(store)
    limits = {"a": 1_000_000, "b": 50_000}
    for name, calls in limits.items():
        window = BudgetWindow(kind="rolling", seconds=20) if name == "b" else BudgetWindow()
        budgets.define(
            tenant, BudgetParams(name=name), BudgetDefinition(limits=Limits(tokens=10**9, calls=calls), window=window)
        )
    running: list[subprocess.Popen[bytes]] = []
    killed = 0
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            while len(running) < PROCESSES:
                running.append(_start(valkey.url, tenant, chance.randrange(2**32)))
            time.sleep(chance.uniform(0.3, 0.9))
            _limits_hold(breakers, budgets, slots, tenant, limits)
            victim = running.pop(chance.randrange(len(running)))
            assert victim.poll() is None, "it ended by itself"
            victim.kill()
            victim.wait()
            killed += 1
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert killed >= SECONDS / 2
    time.sleep(1 + LEASE_MS / 1000)  # the leases of the dead end
    while Sweeper(store, [tenant], LEASE_MS).sweep():
        pass  # a round takes so many at a time
    assert slots.get(tenant).used.hosts == {HOST: 0}
    for name in limits:
        used = budgets.get(tenant, BudgetParams(name=name)).used
        assert (used.tokens_reserved, used.calls_reserved, used.ms_reserved) == (0, 0, 0)
        assert used.calls_committed > PROCESSES, "they did something"


def _start(url: str, tenant: str, seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.sidecar.store.hammer", url, tenant, str(seed)], cwd=ROOT)


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
