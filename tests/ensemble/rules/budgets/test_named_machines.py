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
from ensemble.rules.breakers.guarding import admit_call, force, settle_call
from ensemble.rules.breakers.window import ring_of
from ensemble.rules.budgets.periods import slot_at, slots_of
from ensemble.rules.budgets.reserving import budget_state, define, forget, lapse, reserve, settle
from ensemble.rules.records import Breaker, Defaults
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot
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


NAMES = st.sampled_from(["b0", "b1", "b2", "b3"])
WINDOWS = (
    BudgetWindow(),
    BudgetWindow(kind="rolling", seconds=100),
    BudgetWindow(kind="day", timezone="Europe/Berlin"),
    BudgetWindow(kind="month"),
)


class Named(Virtual):
    """The model keeps one line per reservation and adds up those whose window is the present one.

    Meanwhile budgets are narrowed, given another window, forgotten and defined anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, tuple[dict[str, int], int, int]] = {}
        """By ticket: the lives of the budgets it reserved in, how much, and until when."""
        self.lapsed: dict[str, tuple[dict[str, int], dict[str, int], int, int]] = {}
        """By ticket: as above, the windows it was booked in when it lapsed, how much, and when."""
        self.spent: list[tuple[str, int, int, int]] = []
        self.stand: dict[str, BudgetDefinition] = {}
        self.born = dict.fromkeys(("b0", "b1", "b2", "b3"), 0)
        """How often each was forgotten."""
        self.windows = dict(self.born)
        """How often what was spent of it was."""
        for name, window in zip(self.born, WINDOWS, strict=True):
            self.an_operator_defines(name, window, 1_000)

    @rule(ms=st.sampled_from([1, 4_999, 5_000, 60_000, 105_000, 3_600_000, 23 * 3_600_000, 8 * 24 * 3_600_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(name=NAMES, window=st.sampled_from(WINDOWS), tokens=st.sampled_from([100, 1_000]))
    def an_operator_defines(self, name: str, window: BudgetWindow, tokens: int) -> None:
        if name in self.stand and self.stand[name].window != window:
            self.windows[name] += 1
        self.stand[name] = BudgetDefinition(limits=Limits(tokens=tokens, calls=6), window=window)
        self.apply(partial(define, name, self.stand[name]))

    @rule(chance=CHANCE, anew=st.booleans())
    def an_operator_forgets(self, chance: Any, *, anew: bool) -> None:
        """One in which something is reserved, if there is any; and maybe defines it anew."""
        held = {name for lives, *_ in self.open.values() for name in lives}
        names = sorted(self.stand.keys() & held) or sorted(self.stand)
        if names:
            name = chance.choice(names)
            window = self.stand[name].window
            self.apply(partial(forget, name))
            self.now_ms += 1  # lives are told apart by milliseconds
            del self.stand[name]
            self.born[name] += 1
            self.windows[name] += 1
            if anew:
                self.an_operator_defines(name, window, 1_000)

    @rule(names=st.sets(NAMES, min_size=1).map(sorted), tokens=st.sampled_from([None, 0, 90, 400, 1_001]))
    def ask(self, names: list[str], tokens: int | None) -> None:
        ticket = self.ticket()
        names = [name for name in names if name in self.stand] or sorted(self.stand)[:1]
        if not names:
            return
        ask = ReservationAsk(budgets=tuple(names), ticket=ticket, tokens=tokens, lease_s=600)
        before = {name: self.model(name) for name in names}
        told = [self.apply(partial(reserve, ask, ticket)) for _ in range(2)]
        assert told[0] == told[1] or not told[0].admitted
        limits = {name: self.stand[name].limits.tokens or 0 for name in names}
        fits = all(
            spent_calls + calls + 1 <= 6
            and (spent + held < limits[name] if tokens is None else spent + held + tokens <= limits[name])
            for name, (spent, held, spent_calls, calls) in before.items()
        )
        assert told[0].admitted is fits
        if told[0].reserved is not None:
            lives = {name: self.born[name] for name in names}
            self.open[ticket] = (lives, told[0].reserved.tokens, self.now_ms + 600_000)

    @rule(chance=CHANCE, tokens=st.sampled_from([None, 0, 80, 2_000]))
    def ends(self, chance: Any, tokens: int | None) -> None:
        if self.open:
            ticket = chance.choice(sorted(self.open))
            names, held, _ = self.open.pop(ticket)
            for _ in range(2):
                self.apply(partial(settle, ReservationNews(ticket=ticket, tokens=tokens)))
            self.spend(names, held if tokens is None else tokens)

    @rule()
    def the_sweep_comes(self) -> None:
        for ticket, (names, held, until_ms) in list(self.open.items()):
            ended = self.apply(partial(lapse, ticket))
            assert ended is (self.now_ms >= until_ms)
            if ended:
                del self.open[ticket]
                booked = {name: self.windows[name] for name in names if name in self.stand}
                self.lapsed[ticket] = names, booked, held, self.now_ms
                self.spend(names, held)

    @rule(chance=CHANCE)
    def late_news(self, chance: Any) -> None:
        if self.lapsed:
            ticket = chance.choice(sorted(self.lapsed))
            names, booked, held, at_ms = self.lapsed.pop(ticket)
            self.apply(partial(settle, ReservationNews(ticket=ticket, tokens=7)))
            for name, window in booked.items():
                self.spent += [(name, at_ms, -held, window), (f"{name} calls", at_ms, -1, window)]
            self.spend(names, 7)

    def spend(self, names: Iterable[str], tokens: int) -> None:
        for name in self.stand.keys() & set(names):
            window = self.windows[name]
            self.spent += [(name, self.now_ms, tokens, window), (f"{name} calls", self.now_ms, 1, window)]

    def model(self, name: str) -> tuple[int, int, int, int]:
        """Return what is spent and held: tokens, then calls."""
        window = self.stand[name].window
        oldest = slot_at(window, self.now_ms) - slots_of(window)
        spent = [
            sum(
                amount
                for who, at_ms, amount, life in self.spent
                if who == kind and life == self.windows[name] and slot_at(window, at_ms) > oldest
            )
            for kind in (name, f"{name} calls")
        ]
        held = [held for lives, held, _ in self.open.values() if lives.get(name) == self.born[name]]
        return spent[0], sum(held), spent[1], len(held)

    @invariant()
    def it_adds_up(self) -> None:
        """No drift and no leak, whatever windows and operators did meanwhile."""
        for name in self.born:
            state = self.look(partial(budget_state, name))
            assert (state is not None) is (name in self.stand)
            if state is not None:
                used = state.used
                found = (used.tokens_committed, used.tokens_reserved, used.calls_committed, used.calls_reserved)
                assert found == self.model(name)
                assert min(found) >= 0


QUICK = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestGuarded = Guarded.TestCase
TestGuarded.settings = QUICK
TestGuardedByTime = GuardedByTime.TestCase
TestGuardedByTime.settings = QUICK
TestNamed = Named.TestCase
TestNamed.settings = QUICK
