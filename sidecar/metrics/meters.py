"""What one process counts: its requests, and what the decisions it took came to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from ensemble.contract.outcomes import RunStatus
from ensemble.rules.happenings import (
    AttemptAdmitted,
    AttemptLost,
    AttemptSettled,
    AttemptTurnedAway,
    BreakerChanged,
    EngineLost,
    Happening,
    RunClosed,
    RunOpened,
)
from sidecar.metrics.board import Board, Series, Sheet
from sidecar.metrics.catalogue import CATALOGUE, PASSING, M

__all__ = ["LE", "SUM", "Meters", "new_board"]

MOST_AGENTS = 500
"""Agents one process tells apart, those of all tenants; the rest are one."""
MOST_CURRENCIES = 20
OTHER = "other"

LE, SUM = "le", "sum"
"""What the last two labels of a histogram's numbers are: a bucket and its bound, or the sum and nothing."""

_BOUNDS = {each.name: each.bounds for each in CATALOGUE if each.kind == "histogram"}
_LABELS: dict[str, tuple[str, ...]] = {each.name: each.labels for each in CATALOGUE}
_BOUND_TEXTS = {name: (*map(str, bounds), "+Inf") for name, bounds in _BOUNDS.items()}
_WORD = {True: "true", False: "false"}

type Amounts = Iterator[tuple[Series, float]]


def new_board(processes: int) -> Board:
    """Return what *processes* processes may count on; made before they are."""
    return Board(processes, passing=PASSING, overflow=(M.OVERFLOW,))


class _Few:
    """Lets so many different names through, and calls all others by one."""

    def __init__(self, most: int, known: Iterable[tuple[str, str]]) -> None:
        self._most = most
        self._known = {(tenant, name) for tenant, name in known if name != OTHER}

    def __call__(self, tenant: str, name: str) -> str:
        """Return what *name* is told as."""
        if (tenant, name) in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add((tenant, name))
        return name


class Meters:
    """Counts on one process's sheet."""

    def __init__(self, board: Board, place: int | None = 0) -> None:
        """Count at a *place* of *board* that nobody has; None: where nobody reads it, and tell what the others count."""
        self.board = board
        self._sheet: Sheet = new_board(1).take(0) if place is None else board.take(place)
        # Whoever counted here before has told some apart already, and what it counted of them stays.
        known = [dict(zip(_LABELS.get(name, ()), labels, strict=False)) for (name, *labels), _ in self._sheet.known()]
        self._agent = _Few(MOST_AGENTS, ((each["tenant"], each["agent"]) for each in known if "agent" in each))
        self._currency = _Few(MOST_CURRENCIES, (("", each["currency"]) for each in known if "currency" in each))

    def begin(self, tenants: Iterable[str]) -> None:
        """Take note that this process has started, and show what it will count of *tenants*: what begins at 1 did not rise."""
        self._sheet.add((((M.WORKER_STARTS,), 1.0),))
        for tenant in tenants:
            closed = [(M.RUNS_CLOSED, tenant, status.value) for status in RunStatus if status is not RunStatus.RUNNING]
            opened = [(M.RUNS_OPENED, tenant, resumed) for resumed in _WORD.values()]
            swept = [(M.SWEEPS, tenant, result) for result in ("done", "failed")]
            alone = [(M.ENGINES_LOST, tenant), (M.RACES_LOST, tenant)]
            self._sheet.add((series, 0.0) for series in (*opened, *closed, *swept, *alone))

    def answered(self, tenant: str, endpoint: str, status: str, code: str, took_s: float) -> None:
        """Count a request."""
        self._sheet.add(
            (((M.REQUESTS, tenant, endpoint, status, code), 1.0), *_observed(M.REQUEST_DURATION, took_s, endpoint))
        )

    def in_hand(self, requests: int, waiting: int) -> None:
        """Say how many requests this process has, and how many of them wait for a thread."""
        self._sheet.put((M.IN_HAND,), requests)
        self._sheet.put((M.WAITING,), waiting)

    def race_lost(self, tenant: str) -> None:
        """Count a decision that has to be taken anew."""
        self._sheet.add((((M.RACES_LOST, tenant), 1.0),))

    def swept(self, tenant: str, result: str) -> None:
        """Count a round of the sweep."""
        self._sheet.add((((M.SWEEPS, tenant, result), 1.0),))

    def heard(self, tenant: str, news: tuple[Happening, ...]) -> None:
        """Count what a decision came to."""
        self._sheet.add([amount for each in news for amount in self._amounts(tenant, each)])

    def _amounts(self, tenant: str, each: Happening) -> Amounts:
        match each:
            case AttemptSettled():
                yield from self._settled(tenant, each)
            case AttemptAdmitted(attempt=attempt):
                yield (M.ADMITTED, tenant, self._agent(tenant, attempt.ask.identity), _WORD[attempt.late]), 1.0
            case AttemptTurnedAway(ask=ask, decision=decision):
                agent, why = self._agent(tenant, ask.identity), "" if each.why is None else each.why.value
                yield (M.TURNED_AWAY, tenant, agent, decision.value, why), 1.0
            case AttemptLost(attempt=attempt):
                yield (M.LOST, tenant, self._agent(tenant, attempt.ask.identity)), 1.0
            case RunOpened():
                yield (M.RUNS_OPENED, tenant, _WORD[each.resumed]), 1.0
            case RunClosed(run=run):
                yield (M.RUNS_CLOSED, tenant, run.status.value), 1.0
                yield from _observed(M.RUN_DURATION, ((run.closed_ms or run.since_ms) - run.since_ms) / 1000, tenant)
            case EngineLost():
                yield (M.ENGINES_LOST, tenant), 1.0
            case BreakerChanged(identity=identity, change=change):
                if change.before is not change.after:
                    yield (M.BREAKER_CHANGES, tenant, self._agent(tenant, identity), change.after.value), 1.0

    def _settled(self, tenant: str, each: AttemptSettled) -> Amounts:
        attempt = each.attempt
        settlement, booking = attempt.settlement, attempt.booking
        if settlement is None or booking is None:
            return
        usage, agent = settlement.usage, self._agent(tenant, attempt.ask.identity)
        yield (M.SETTLED, tenant, agent, settlement.outcome.value), 1.0
        yield from _observed(M.ATTEMPT_DURATION, settlement.took_ms / 1000, tenant, agent)
        if booking.spent.tokens:
            yield (M.TOKENS, tenant, agent, _WORD[usage.tokens is None]), float(booking.spent.tokens)
        if usage.price:
            currency = self._currency("", usage.currency or "")
            yield (M.MONEY, tenant, agent, currency, _WORD[usage.estimated]), float(usage.price)


def _observed(name: M, value: float, *labels: str) -> Amounts:
    """Yield what a histogram counts of a *value*."""
    bound = _BOUND_TEXTS[name][bisect_left(_BOUNDS[name], value)]
    yield (name, *labels, LE, bound), 1.0
    yield (name, *labels, SUM, ""), value
