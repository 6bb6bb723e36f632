"""Four simulated days over a change of clocks and a month's end: agents that fail and recover, budgets that end; nothing drifts, nothing leaks."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime
from functools import partial

from ensemble.contract.breakers import BreakerCause, BreakerPolicy
from ensemble.contract.budgets import BudgetDefinition, BudgetWindow, Limits, ReservationAsk, ReservationNews
from ensemble.contract.guarding import CallAsk, CallNews
from ensemble.contract.outcomes import Outcome
from ensemble.rules.addresses import breaker_at, budget_hash
from ensemble.rules.breakers.guarding import admit_call, settle_call
from ensemble.rules.budgets.reserving import define, lapse, reserve, settle
from ensemble.rules.records import Breaker, Defaults
from tests.ensemble.rules.store import StrictStore

BEGIN_MS = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
DAYS = 4
STEP_MS = 120_000
POLICY = BreakerPolicy(
    failure_threshold=1000,
    recovery_timeout=60,
    sliding_window_type="time_based",
    sliding_window_size=1800,
    minimum_number_of_calls=5,
    failure_rate_threshold=50,
    exponential_backoff_multiplier=2,
    exponential_max_wait_duration_in_open_state=600,
    randomized_wait_factor=0.2,
)
DEFAULTS = Defaults(breaker=POLICY)
WINDOWS = {
    "hour": (BudgetWindow(kind="hour"), 20),
    "berlin": (BudgetWindow(kind="day", timezone="Europe/Berlin"), 350),
    "month": (BudgetWindow(kind="month"), 1_500),
    "rolling": (BudgetWindow(kind="rolling", seconds=7_200), 40),
}


class Day:
    """A call every other minute; every fourth hour, from its tenth minute on, the agent fails for twenty minutes."""

    def __init__(self) -> None:
        self.store = StrictStore(BEGIN_MS)
        self.chance = random.Random(7)
        self.spent: list[tuple[int, str]] = []
        self.refused: Counter[str] = Counter()
        self.open: dict[str, int] = {}
        self.minutes_isolated: set[int] = set()
        for name, (window, calls) in WINDOWS.items():
            self.store.apply(partial(define, name, BudgetDefinition(limits=Limits(calls=calls), window=window)), ())

    def run(self) -> None:
        for minute in range(0, DAYS * 24 * 60, 2):
            self.store.now_ms = BEGIN_MS + minute * STEP_MS // 2 + self.chance.randrange(1_000)
            self.call(minute)
            self.pay(minute)

    def call(self, minute: int) -> None:
        ask = CallAsk(identity="x", ticket=f"c{minute}")
        told = self.store.apply(lambda snapshot: admit_call(ask, f"c{minute}", snapshot, DEFAULTS), ())
        if not told.admitted:
            self.minutes_isolated.add(minute)
            return
        sick = minute % 240 in range(10, 30)
        self.store.now_ms += self.chance.randrange(20_000)
        news = CallNews(identity="x", ticket=f"c{minute}", outcome=Outcome.AGENT_FAILED if sick else Outcome.SUCCEEDED)
        self.store.apply(lambda snapshot: settle_call(news, snapshot, DEFAULTS), ())

    def pay(self, minute: int) -> None:
        for name in WINDOWS:
            ticket = f"{name}{minute}"
            ask = ReservationAsk(budgets=(name,), ticket=ticket, lease_s=60)
            told = self.store.apply(partial(reserve, ask, ticket), ())
            if not told.admitted:
                self.refused[name] += 1
                continue
            if self.chance.random() < 0.1:
                self.open[ticket] = self.store.now_ms  # its caller dies; the sweep finds it later
            else:
                self.store.apply(partial(settle, ReservationNews(ticket=ticket, tokens=5)), ())
                self.spent.append((self.store.now_ms, name))
        for ticket, since_ms in list(self.open.items()):
            if self.store.now_ms - since_ms >= 60_000:
                assert self.store.apply(partial(lapse, ticket), ())
                del self.open[ticket]
                self.spent.append((self.store.now_ms, ticket.rstrip("0123456789")))


def test_days_of_traffic() -> None:
    """It trips in each bad time, is back soon after, and budgets allow as much in each window as they say."""
    day = Day()
    day.run()

    changes = Breaker.model_validate_json(day.store.hashes[breaker_at("x").key]["breaker"])
    assert changes.state == "closed"
    assert changes.trips == 0
    assert changes.cause is BreakerCause.HEALED
    bad_times = DAYS * 6
    assert len({minute // 240 for minute in day.minutes_isolated}) == bad_times
    assert all(minute % 240 in range(10, 30 + 11) for minute in day.minutes_isolated), "back within the longest pause"
    rings = [key for key in day.store.hashes if key.startswith("window:")]
    assert len(rings) == 1
    assert len(day.store.hashes[rings[0]]) <= 31, "ten slots of three counters, and the head"

    by_name = {name: sorted(at for at, who in day.spent if who == name) for name in WINDOWS}

    def spent(name: str, begin: float, end: float) -> int:
        times = by_name[name]
        return bisect_left(times, end) - bisect_left(times, begin)

    for hour in range(DAYS * 24):
        begin = BEGIN_MS + hour * HOUR_MS
        assert 18 <= spent("hour", begin, begin + HOUR_MS) <= 20 + 1, "all of it, and at most what ended over the edge"
    # Clocks change in the night to the 29th, so that day of Berlin has 23 hours: from 23:00 to 22:00 UTC.
    for begin, hours in ((11, 23), (34, 24), (58, 24)):
        start = BEGIN_MS + begin * HOUR_MS
        assert 345 <= spent("berlin", start, start + hours * HOUR_MS) <= 351
    march_ends = BEGIN_MS + (3 * 24 + 12) * HOUR_MS
    assert 1_495 <= spent("month", BEGIN_MS, march_ends) <= 1_500
    assert 340 <= spent("month", march_ends, BEGIN_MS + DAYS * 24 * HOUR_MS) <= 361, "April begins anew"
    for begin in range(0, DAYS * 24 * 60 - 120, 7):
        start = BEGIN_MS + begin * STEP_MS // 2
        assert spent("rolling", start, start + 2 * HOUR_MS) <= 40 + 1
    for name in WINDOWS:
        fields = day.store.hashes[budget_hash(name)]
        left = sum(who.rstrip("0123456789") == name for who in day.open)
        assert int(fields["reserved.calls"]) == left, "nothing stays reserved"
        assert len(fields) <= 21 * 5 + 7
    assert all(day.refused[name] for name in WINDOWS)
