"""What is known of agents while something is decided: sightings in and out of a draft, an operator's word beside them."""

from __future__ import annotations

from ensemble.contract.agents import AgentDeclared
from ensemble.contract.budgets import NANO
from ensemble.rules.addresses import AGENTS, agent_at
from ensemble.rules.agents.statistics import GUESS_TOKENS, MICRO, Calls, calls_of, quantile
from ensemble.rules.records import Seen
from ensemble.rules.snapshot import Draft

__all__ = ["FRESH_MS", "NAMES_KEPT", "SEEN_TTL_MS", "TELLING_CALLS", "DraftedAgents"]

FRESH_MS = 60_000
"""How old the figures may be by which the next call is estimated, milliseconds."""
SEEN_TTL_MS = 30 * 24 * 3_600_000
"""How long an agent nobody calls is remembered, milliseconds; a declared one is kept for good."""
NAMES_KEPT = 16
KEYS_KEPT = 16
"""How many keys of one app are remembered."""
MOST_NANO = 9_000_000 * NANO
"""The most money one call is taken to cost; the largest a counter holds."""
TELLING_CALLS = 20
"""Calls from which on what they used tells what the next one will."""


class DraftedAgents:
    """The agents one decision speaks of. Any look at one may raise NotRead."""

    def __init__(self, draft: Draft) -> None:
        """Begin with what is on record."""
        self._draft = draft
        self._seen: dict[str, Seen | None] = {}
        self._declared: dict[str, AgentDeclared | None] = {}

    def seen(self, identity: str) -> Seen | None:
        """Return what calls told of an agent; None of one that was never called."""
        if identity not in self._seen:
            text = self._draft.text(agent_at(identity)[0])
            self._seen[identity] = None if text is None else Seen.model_validate_json(text)
        return self._seen[identity]

    def declared(self, identity: str) -> AgentDeclared | None:
        """Return what an operator declares of an agent."""
        if identity not in self._declared:
            text = self._draft.text(agent_at(identity)[1])
            self._declared[identity] = None if text is None else AgentDeclared.model_validate_json(text)
        return self._declared[identity]

    def max_tokens(self, identity: str) -> int | None:
        """Return what an operator says one call uses at most."""
        declared = self.declared(identity)
        return None if declared is None else declared.max_tokens

    def usual_tokens(self, identity: str) -> int | None:
        """Return what calls to this agent use at most, 95 of 100 of them; None as long as there are too few."""
        seen = self.seen(identity)
        return None if seen is None or seen.calls < TELLING_CALLS else seen.tokens_p95

    def usual_nano(self, identity: str, max_tokens: int | None) -> dict[str, int]:
        """Return what a call costs by currency, in billionths: as calls did, else by the declared price of its tokens.

        *max_tokens*: what the call is said to use at most, where it is said.
        """
        seen, declared = self.seen(identity), self.declared(identity)
        usual = (
            {} if seen is None else {name: seen.nano_p95[name] for name, n in seen.priced.items() if n >= TELLING_CALLS}
        )
        if declared is None or declared.price_per_1k is None or declared.currency in usual:
            return usual
        tokens = max_tokens or declared.max_tokens or self.usual_tokens(identity) or GUESS_TOKENS
        nano = int(declared.price_per_1k * tokens * NANO / 1000)
        return {**usual, declared.currency: min(nano, MOST_NANO)}

    def note(self, identity: str, name: str) -> None:
        """Take down that *identity* is called now, by *name*, and bring its figures up to date where they are old."""
        before, now_ms = self.seen(identity), self._draft.now_ms
        if before is None:
            after = Seen(first_ms=now_ms, fresh_ms=now_ms, names=(name,))
        elif now_ms - before.fresh_ms >= FRESH_MS:
            after = _refreshed(before, calls_of(self._draft.snapshot, identity), now_ms)
        else:
            after = before
        if name not in after.names:
            after = after.model_copy(update={"names": (name, *after.names)[:NAMES_KEPT]})
        if after is before:
            return
        self._put(identity, after)
        self._draft.rank(AGENTS, identity, now_ms)

    def note_caller(self, app: str, *, hands_on: bool) -> None:
        """Take down that *app* runs teams itself, and whether it told by whose call; written once."""
        before = self._seen_or_new(app)
        if not before.runs:
            for identity in before.keys:
                self._put_app(identity, app)
        if not before.runs or (hands_on and not before.hands_on):
            self._put(app, before.model_copy(update={"runs": True, "hands_on": hands_on or before.hands_on}))

    def note_key(self, identity: str, app: str) -> None:
        """Take down which app a key opens; written once. Calls by it are only looked at if that app runs teams."""
        behind = self._seen_or_new(app)
        if identity not in behind.keys:
            self._put(app, behind.model_copy(update={"keys": (identity, *behind.keys)[:KEYS_KEPT]}))
        if behind.runs:
            self._put_app(identity, app)

    def _put_app(self, identity: str, app: str) -> None:
        before = self._seen_or_new(identity)
        if before.app != app:
            self._put(identity, before.model_copy(update={"app": app}))

    def _seen_or_new(self, identity: str) -> Seen:
        now_ms = self._draft.now_ms
        return self.seen(identity) or Seen(first_ms=now_ms, fresh_ms=now_ms)

    def _put(self, identity: str, after: Seen) -> None:
        at, _ = agent_at(identity)
        self._seen[identity] = after
        self._draft.put(at, after.model_dump_json(exclude_defaults=True))
        self._draft.expire(at.key, SEEN_TTL_MS if self.declared(identity) is None else 0)


def _refreshed(before: Seen, calls: Calls, now_ms: int) -> Seen:
    return before.model_copy(
        update={
            "fresh_ms": now_ms,
            "calls": calls.tokens.total(),
            "tokens_p95": quantile(calls.tokens, 0.95),
            "priced": {currency: counts.total() for currency, counts in calls.costs.items()},
            "nano_p95": {
                currency: quantile(counts, 0.95) * (NANO // MICRO) for currency, counts in calls.costs.items()
            },
        }
    )
