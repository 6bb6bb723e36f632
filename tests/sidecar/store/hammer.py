"""A process that calls, pays and takes slots without end, until it is killed: ``hammer.py <store url> <tenant> <seed>``.

Once it has done all of it, it says so in a line.
"""

from __future__ import annotations

import random
import sys
import uuid

from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.budgets import ReservationAsk, ReservationNews
from ensemble.contract.exchange import AdmissionAsk, Decision, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.guarding import CallAsk, CallNews
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.rules.records import Defaults
from sidecar.breakers.service import Breakers
from sidecar.budgets.service import Budgets
from sidecar.errors import Contended, StoreUnavailable
from sidecar.runs.service import Runs
from sidecar.store.connection import connect
from sidecar.store.store import Store

LEASE_MS = 300
HOST, IDENTITY, GUARDED = "http://dify.example", "app:market", "http:weather"
POLICY = BreakerPolicy(failure_threshold=2, recovery_timeout=1, success_threshold=1, failure_rate_threshold=60)


def hammer(url: str, tenant: str, chance: random.Random) -> None:
    """Do one thing after another, each of which may be the last."""
    begun = False
    store = Store(connect(url))
    runs, breakers, budgets = Runs(store, Defaults(lease_ms=LEASE_MS)), Breakers(store), Budgets(store)
    while True:
        try:
            _guarded(breakers, tenant, chance)
            _paid(budgets, tenant, chance)
            _run(runs, tenant, chance)
        except (Contended, StoreUnavailable):
            continue  # Its caller would ask again.
        if not begun:
            begun = True
            print("at work", flush=True)


def _guarded(breakers: Breakers, tenant: str, chance: random.Random) -> None:
    told = breakers.admit(tenant, CallAsk(identity=GUARDED, breaker=POLICY, lease_s=1))
    if told.admitted:
        outcome = chance.choice([Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.UNAVAILABLE])
        breakers.settle(tenant, CallNews(identity=GUARDED, ticket=told.ticket, outcome=outcome))


def _paid(budgets: Budgets, tenant: str, chance: random.Random) -> None:
    told = budgets.reserve(tenant, ReservationAsk(budgets=("a", "b"), tokens=10, lease_s=1))
    if told.admitted:
        budgets.settle(tenant, ReservationNews(ticket=told.ticket, tokens=chance.randrange(11)))


def _run(runs: Runs, tenant: str, chance: random.Random) -> None:
    run_id, owner, ticket = (uuid.UUID(int=chance.getrandbits(128)).hex for _ in range(3))
    step = PlannedStep(id="s", agent="market", identity=IDENTITY)
    opened = OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id="t", steps=(step,), budgets=("a",))
    ask = AdmissionAsk(
        ticket=ticket,
        step="s",
        agent="market",
        identity=IDENTITY,
        timeout_ms=1,
        max_tokens=10,
        host=HOST,
        host_parallel=2,
    )
    (told,) = runs.exchange(tenant, Exchange(run_id=run_id, owner=owner, open=opened, admit=(ask,))).admissions
    if told.decision is Decision.ADMITTED:
        news = Settlement(ticket=ticket, step="s", outcome=Outcome.SUCCEEDED, usage=Usage(tokens=9), took_ms=1)
        runs.exchange(tenant, Exchange(run_id=run_id, owner=owner, epoch=1, settle=(news,)))


if __name__ == "__main__":
    hammer(sys.argv[1], sys.argv[2], random.Random(int(sys.argv[3])))
