"""Guarded calls over windows, and named budgets, on random walks beside models a child could check; time is virtual."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ensemble.contract.breakers import BreakerForce, BreakerPolicy, BreakerState, Forced
from ensemble.contract.budgets import BudgetDefinition, BudgetWindow, Limits, ReservationAsk, ReservationNews
from ensemble.contract.guarding import CallAdmission, CallAsk, CallNews
from ensemble.contract.outcomes import Outcome
from ensemble.rules.addresses import breaker_at
from ensemble.rules.guarding import admit_call, force, settle_call
from ensemble.rules.periods import slot_at, slots_of
from ensemble.rules.records import Breaker, Defaults
from ensemble.rules.reserving import budget_state, define, lapse, reserve, settle
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot
from ensemble.rules.window import ring_of
from tests.ensemble.rules.store import StrictStore

CHANCE = st.randoms(use_true_random=False)
DEFAULTS = Defaults()
START_MS = 1_774_000_000_000
"""A few days before clocks change in Europe, and before a month ends."""
RATES: dict[str, Any] = {
    "failure_threshold": 1000, "recovery_timeout": 5, "success_threshold": 1, "minimum_number_of_calls": 3,
    "failure_rate_threshold": 60, "slow_call_rate_threshold": 75, "slow_call_duration_threshold": 1,
}  # fmt: skip


class Virtual(RuleBasedStateMachine):
    """Decisions over a store, at a time of our own."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StrictStore(START_MS)
        self.now_ms = START_MS
        self.number = 0

    def apply[T](self, decision: Callable[[Snapshot], tuple[T, Changes]], addresses: Iterable[Address] = ()) -> T:
        """Decide and commit."""
        self.store.now_ms = self.now_ms
        return self.store.apply(decision, addresses)

    def look[T](self, look: Callable[[Snapshot], T]) -> T:
        """Return what is seen."""
        return self.apply(lambda snapshot: (look(snapshot), Changes()))

    def ticket(self) -> str:
        """Return a new one."""
        self.number += 1
        return f"{self.number:032x}"


class Guarded(Virtual):
    """The model keeps every call heard in the present generation and counts those in the window anew each time."""

    policy = BreakerPolicy(sliding_window_size=10, **RATES)

    def __init__(self) -> None:
        super().__init__()
        self.out: dict[str, int] = {}
        self.calls: list[tuple[int, str, bool]] = []
        self.life = 0

    @rule(ms=st.sampled_from([1, 900, 1_999, 2_000, 7_000, 60_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    def breaker(self) -> Breaker:
        text = self.look(lambda snapshot: snapshot.text(breaker_at("x")))
        return Breaker() if text is None else Breaker.model_validate_json(text)

    @staticmethod
    def _admit(ask: CallAsk, snapshot: Snapshot) -> tuple[CallAdmission, Changes]:
        return admit_call(ask, ask.ticket or "", snapshot, DEFAULTS)

    @rule(many=st.integers(1, 9))
    def ask(self, many: int) -> None:
        for _ in range(many):
            ticket = self.ticket()
            ask = CallAsk(identity="x", ticket=ticket, breaker=self.policy)
            if self.apply(partial(self._admit, ask)).admitted:
                self.out[ticket] = self.breaker().generation

    @rule(
        chance=CHANCE,
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.TIMED_OUT, Outcome.REJECTED]),
        slow=st.booleans(),
    )
    def news(self, chance: Any, outcome: Outcome, *, slow: bool) -> None:
        for _ in range(chance.randrange(1, 5)):
            self.one(chance, outcome, slow=slow)

    def one(self, chance: Any, outcome: Outcome, *, slow: bool) -> None:
        if not self.out:
            return
        before = self.breaker()
        ticket = chance.choice(sorted(self.out))
        generation = self.out.pop(ticket)
        told = CallNews(identity="x", ticket=ticket, outcome=outcome, took_ms=1_500 if slow else 10)
        for _ in range(2):
            self.apply(lambda snapshot: settle_call(told, snapshot, DEFAULTS))
        after = self.breaker()
        if generation != before.generation or before.state is not BreakerState.CLOSED or before.forced:
            return
        if self.life != generation:
            self.life, self.calls = generation, []
        if outcome is Outcome.REJECTED:
            assert after.state is BreakerState.CLOSED
            return
        self.calls.append((self.now_ms, outcome, slow))
        inside = self.inside()
        assert self.look(self.counted) == len(inside)
        enough = len(inside) >= 3
        bad = 100 * sum(each[1] == Outcome.TIMED_OUT for each in inside) >= 60 * len(inside)
        late = 100 * sum(each[2] for each in inside) >= 75 * len(inside)
        assert (after.state is BreakerState.OPEN) is (enough and (bad or late))

    def counted(self, snapshot: Snapshot) -> int:
        """Return how many calls the window in the store holds now."""
        draft, ring = Draft(snapshot), ring_of("x", self.policy)
        slot = ring.head(draft, self.life)
        assert slot is not None
        return ring.total(draft, "calls", slot, self.life)

    @rule(chance=CHANCE, many=st.integers(3, 9))
    def a_good_stretch(self, chance: Any, many: int) -> None:
        for _ in range(many):
            self.now_ms += chance.randrange(1_500)
            self.ask(1)
            self.one(chance, Outcome.SUCCEEDED, slow=False)

    def inside(self) -> list[tuple[int, str, bool]]:
        """The last ten calls."""
        return self.calls[-10:]

    @rule(state=st.sampled_from([None, None, Forced.OPEN, Forced.CLOSED, Forced.DISABLED]), chance=CHANCE)
    def an_operator_interferes(self, state: Forced | None, chance: Any) -> None:
        if chance.randrange(3):
            return
        self.apply(partial(force, "x", BreakerForce(state=state)))
        assert (self.breaker().forced is None) is (state is None)


class GuardedByTime(Guarded):
    """The same over the last twenty seconds, in slots of two."""

    policy = BreakerPolicy(sliding_window_type="time_based", sliding_window_size=20, **RATES)

    def inside(self) -> list[tuple[int, str, bool]]:
        return [each for each in self.calls if self.now_ms // 2_000 - each[0] // 2_000 < 10]


class Named(Virtual):
    """The model keeps one line per reservation and adds up those whose window is the present one."""

    windows = (
        BudgetWindow(),
        BudgetWindow(kind="rolling", seconds=100),
        BudgetWindow(kind="day", timezone="Europe/Berlin"),
        BudgetWindow(kind="month"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, tuple[tuple[str, ...], int, int]] = {}
        self.lapsed: dict[str, tuple[tuple[str, ...], int, int]] = {}
        self.spent: list[tuple[str, int, int]] = []
        for number, window in enumerate(self.windows):
            definition = BudgetDefinition(limits=Limits(tokens=1_000, calls=6), window=window)
            self.apply(partial(define, f"b{number}", definition))

    @rule(ms=st.sampled_from([1, 4_999, 5_000, 60_000, 105_000, 3_600_000, 23 * 3_600_000, 8 * 24 * 3_600_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(
        names=st.sets(st.sampled_from(["b0", "b1", "b2", "b3"]), min_size=1).map(sorted),
        tokens=st.sampled_from([None, 0, 90, 400, 1_001]),
    )
    def ask(self, names: list[str], tokens: int | None) -> None:
        ticket = self.ticket()
        ask = ReservationAsk(budgets=tuple(names), ticket=ticket, tokens=tokens, lease_s=600)
        before = {name: self.model(name) for name in names}
        told = [self.apply(partial(reserve, ask, ticket)) for _ in range(2)]
        assert told[0] == told[1] or not told[0].admitted
        fits = all(
            spent_calls + calls + 1 <= 6
            and (spent < 1_000 and spent + held < 1_000 if tokens is None else spent + held + tokens <= 1_000)
            for spent, held, spent_calls, calls in before.values()
        )
        assert told[0].admitted is fits
        if told[0].reserved is not None:
            self.open[ticket] = (tuple(names), told[0].reserved.tokens, self.now_ms + 600_000)

    @rule(chance=CHANCE, tokens=st.sampled_from([None, 0, 80, 2_000]))
    def ends(self, chance: Any, tokens: int | None) -> None:
        if self.open:
            ticket = chance.choice(sorted(self.open))
            names, held, _ = self.open.pop(ticket)
            for _ in range(2):
                self.apply(partial(settle, ReservationNews(ticket=ticket, tokens=tokens)))
            self.spend(names, held if tokens is None else tokens, 1)

    @rule()
    def the_sweep_comes(self) -> None:
        for ticket, (names, held, until_ms) in list(self.open.items()):
            ended = self.apply(partial(lapse, ticket))
            assert ended is (self.now_ms >= until_ms)
            if ended:
                del self.open[ticket]
                self.lapsed[ticket] = names, held, self.now_ms
                self.spend(names, held, 1)

    @rule(chance=CHANCE)
    def late_news(self, chance: Any) -> None:
        if self.lapsed:
            ticket = chance.choice(sorted(self.lapsed))
            names, held, at_ms = self.lapsed.pop(ticket)
            self.apply(partial(settle, ReservationNews(ticket=ticket, tokens=7)))
            self.spend(names, -held, -1, at_ms)
            self.spend(names, 7, 1)

    def spend(self, names: tuple[str, ...], tokens: int, calls: int, at_ms: int | None = None) -> None:
        at_ms = self.now_ms if at_ms is None else at_ms
        self.spent += [(name, at_ms, tokens) for name in names]
        self.spent += [(f"{name} calls", at_ms, calls) for name in names]

    def model(self, name: str) -> tuple[int, int, int, int]:
        """Return what is spent and held: tokens, then calls."""
        window = self.windows[int(name[1:])]
        oldest = slot_at(window, self.now_ms) - slots_of(window)
        spent = [
            sum(amount for who, at, amount in self.spent if who == kind and slot_at(window, at) > oldest)
            for kind in (name, f"{name} calls")
        ]
        held = [held for names, held, _ in self.open.values() if name in names]
        return spent[0], sum(held), spent[1], len(held)

    @invariant()
    def it_adds_up(self) -> None:
        """No drift and no leak, whatever windows did meanwhile."""
        for number in range(len(self.windows)):
            state = self.look(partial(budget_state, f"b{number}"))
            assert state is not None
            used = state.used
            found = (used.tokens_committed, used.tokens_reserved, used.calls_committed, used.calls_reserved)
            assert found == self.model(f"b{number}")


QUICK = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestGuarded = Guarded.TestCase
TestGuarded.settings = QUICK
TestGuardedByTime = GuardedByTime.TestCase
TestGuardedByTime.settings = QUICK
TestNamed = Named.TestCase
TestNamed.settings = QUICK
