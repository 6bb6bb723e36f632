"""What calls to an agent tell, counted so that hot agents do not collide: counters only, in one hash for every 4 hours.

A settlement adds to a handful of counters and reads nothing. A hash goes by itself when its time has passed, so nothing
has to be cleared, and whoever asks reads the six that are in the window. Durations, tokens and prices are counted in
buckets that grow by a fifth, four to a doubling; a quantile is the middle of its bucket, right to within a tenth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ensemble.contract.agents import AgentCost, AgentStatistics, Spread
from ensemble.contract.exchange import Settlement
from ensemble.contract.outcomes import Outcome
from ensemble.rules.agents.health import Tally
from ensemble.rules.snapshot import EVERY, Address, Draft, Snapshot

__all__ = ["GUESS_TOKENS", "MICRO", "Calls", "bucket", "calls_of", "count", "hashes_at", "quantile"]

GUESS_TOKENS = 4_000
"""What an attempt that declares nothing, of an agent nobody knows, is taken to use, tokens."""
PIECE_MS = 600_000
"""Outcomes are counted for every ten minutes of their own."""
PIECES = 24
SLOT_MS = PIECES * PIECE_MS
SLOTS = 6
"""Hashes in the window, the present one included: 20 to 24 hours."""
RECENT_PIECES = 6
"""The last hour, to within ten minutes."""
MICRO = 1_000_000
"""Prices are counted in millionths."""
PER_DOUBLING = 4
MOST_TOKENS = 2**36
HIGHEST_PRICE = Decimal(10**5)
"""Of one call, beyond which nothing more is counted: a million such calls still fit into a counter."""

FAILED = frozenset({Outcome.AGENT_FAILED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT, Outcome.MISCONFIGURED})
"""What counts against an agent's health; a breaker does not hear of the last, which waiting does not mend."""
NOT_ITS_OWN = frozenset({Outcome.CANCELLED, Outcome.REFUSED, Outcome.UNCERTAIN})
"""Ends that say nothing of the agent."""

MS, TOKENS, COST = "ms", "tokens", "cost"


def count(draft: Draft, identity: str, news: Settlement) -> None:
    """Count how a call to *identity* ended."""
    slot, piece = divmod(draft.now_ms // PIECE_MS, PIECES)
    key = _hash(identity, slot)
    draft.add(Address(key, f"{piece}.{news.outcome}"), 1)
    if news.outcome is Outcome.SUCCEEDED:
        draft.add(Address(key, f"{MS}.{bucket(news.took_ms)}"), 1)
    usage = news.usage
    if usage.tokens is not None and news.outcome not in NOT_ITS_OWN:
        tokens = min(usage.tokens, MOST_TOKENS)
        draft.add(Address(key, f"{TOKENS}.{bucket(tokens)}"), 1)
        draft.add(Address(key, TOKENS), tokens)
    if usage.price and not usage.estimated and usage.currency and usage.currency.isalpha():
        micro = int(min(usage.price, HIGHEST_PRICE) * MICRO)
        draft.add(Address(key, f"{COST}.{bucket(micro)}.{usage.currency}"), 1)
        draft.add(Address(key, f"{COST}.{usage.currency}"), micro)
    draft.expire(key, SLOTS * SLOT_MS)


def hashes_at(identity: str, now_ms: int) -> tuple[Address, ...]:
    """Return the hashes in the window, each as the address of all its fields, oldest first."""
    newest = now_ms // SLOT_MS
    return tuple(Address(_hash(identity, slot), EVERY) for slot in range(newest - SLOTS + 1, newest + 1))


@dataclass(slots=True)
class Calls:
    """The calls of one agent in the window."""

    since_ms: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    recent: Counter[Outcome] = field(default_factory=Counter)
    """Of the last hour."""
    latencies: Counter[int] = field(default_factory=Counter)
    """By bucket, like the others."""
    tokens: Counter[int] = field(default_factory=Counter)
    tokens_total: int = 0
    costs: dict[str, Counter[int]] = field(default_factory=dict)
    """Of each currency."""
    cost_totals: Counter[str] = field(default_factory=Counter)
    """In millionths."""

    @property
    def hour(self) -> Tally:
        """How the last hour's calls went."""
        return _tally(self.recent)

    @property
    def day(self) -> Tally:
        """How the window's calls went."""
        return _tally(self.outcomes)

    def view(self) -> AgentStatistics:
        """Return what is shown of them."""
        day, hour = self.day, self.hour
        return AgentStatistics(
            since_ms=self.since_ms,
            calls=self.outcomes.total(),
            outcomes=dict(self.outcomes),
            failure_rate=round(day.rate, 4) if day.calls else None,
            recent_calls=hour.calls,
            recent_failures=hour.failures,
            latency_ms=_spread(self.latencies),
            tokens=_spread(self.tokens),
            tokens_total=self.tokens_total,
            costs=tuple(
                AgentCost(
                    currency=currency,
                    total=Decimal(total) / MICRO,
                    p95=Decimal(quantile(self.costs[currency], 0.95)) / MICRO,
                )
                for currency, total in sorted(self.cost_totals.items())
            ),
        )


def calls_of(snapshot: Snapshot, identity: str) -> Calls:
    """Return the calls of one agent. Raises NotRead."""
    places, now_ms = hashes_at(identity, snapshot.now_ms), snapshot.now_ms
    snapshot.require(places)
    newest_slot, newest_piece = now_ms // SLOT_MS, now_ms // PIECE_MS
    calls = Calls(since_ms=(newest_slot - SLOTS + 1) * SLOT_MS)
    for slot, place in zip(range(newest_slot - SLOTS + 1, newest_slot + 1), places, strict=True):
        _add(calls, snapshot.fields(place.key), first_recent=newest_piece - RECENT_PIECES + 1 - slot * PIECES)
    return calls


def bucket(value: int) -> int:
    """Return the bucket of a whole number; 0 has one of its own."""
    return 0 if value <= 0 else 1 + int(PER_DOUBLING * math.log2(value))


def quantile(counts: Mapping[int, int], part: float) -> int:
    """Return the value that *part* of all counted ones do not pass; 0 where nothing was counted."""
    left = part * sum(counts.values())
    for each in sorted(counts):
        left -= counts[each]
        if left <= 0:
            return 0 if each == 0 else round(2 ** ((each - 0.5) / PER_DOUBLING))
    return 0


def _hash(identity: str, slot: int) -> str:
    return f"stats:{slot}:{identity}"


def _add(calls: Calls, fields: Mapping[str, str], *, first_recent: int) -> None:
    """Add what stands in one hash; pieces from *first_recent* on are of the last hour."""
    for name, text in fields.items():
        match name.split(".", 2):
            case ["tokens"]:
                calls.tokens_total += int(text)
            case ["tokens", at]:
                calls.tokens[int(at)] += int(text)
            case ["ms", at]:
                calls.latencies[int(at)] += int(text)
            case ["cost", currency]:
                calls.cost_totals[currency] += int(text)
            case ["cost", at, currency]:
                calls.costs.setdefault(currency, Counter())[int(at)] += int(text)
            case [piece, outcome]:
                calls.outcomes[Outcome(outcome)] += int(text)
                if int(piece) >= first_recent:
                    calls.recent[Outcome(outcome)] += int(text)


def _tally(outcomes: Mapping[Outcome, int]) -> Tally:
    return Tally(
        calls=_sum(outcomes, set(Outcome) - NOT_ITS_OWN),
        failures=_sum(outcomes, FAILED),
        misconfigured=outcomes.get(Outcome.MISCONFIGURED, 0),
    )


def _sum(outcomes: Mapping[Outcome, int], which: Iterable[Outcome]) -> int:
    return sum(outcomes.get(outcome, 0) for outcome in which)


def _spread(counts: Mapping[int, int]) -> Spread | None:
    return Spread(p50=quantile(counts, 0.5), p95=quantile(counts, 0.95)) if counts else None
