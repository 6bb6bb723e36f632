"""The breakers while something is decided: records in and out of a draft, windows beside them, changes of state noted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter

from ensemble.contract.breakers import BreakerChange, BreakerPolicy
from ensemble.contract.outcomes import Outcome
from ensemble.rules import lease
from ensemble.rules.addresses import BREAKERS, BREAKERS_HELD, breaker_at, breaker_changes_at, run_at
from ensemble.rules.breakers import breaker as rules
from ensemble.rules.breakers import tripping, window
from ensemble.rules.happenings import BreakerChanged
from ensemble.rules.records import Breaker, Run
from ensemble.rules.snapshot import Address, Draft

__all__ = ["BREAKER_TTL_MS", "CHANGES_KEPT", "DraftedBreakers", "changes_of"]

BREAKER_TTL_MS = 24 * 3_600_000
"""How long a breaker nothing happens to is kept, milliseconds; longer than any recovery timeout. What an operator set
is kept for good."""
CHANGES_KEPT = 50
"""How many of its last changes of state a breaker remembers."""

RUN_ID_LENGTH = 32
"""A probe's holder is a run by its id, or a moment in decimal digits, which are fewer."""

_CLOSED = Breaker()
"""Of an agent nobody knows."""
_CHANGES = TypeAdapter(tuple[BreakerChange, ...])


def changes_of(text: str | None) -> tuple[BreakerChange, ...]:
    """Return the changes of state in a document, oldest first."""
    return () if text is None else _CHANGES.validate_json(text)


class DraftedBreakers:
    """The breakers one decision works on. Any look at one may raise NotRead."""

    def __init__(self, draft: Draft) -> None:
        """Begin with the breakers as they stand; :meth:`finish` writes what became of them."""
        self._draft = draft
        self._breakers: dict[str, Breaker] = {}
        self._changed: dict[str, None] = {}
        self._changes: dict[str, list[BreakerChange]] = {}

    def get(self, identity: str) -> Breaker:
        """Return the breaker of *identity*; an agent nobody knows has a closed one."""
        if identity not in self._breakers:
            text = self._draft.text(breaker_at(identity))
            self._breakers[identity] = _CLOSED if text is None else Breaker.model_validate_json(text)
        return self._breakers[identity]

    def put(self, identity: str, after: Breaker) -> tuple[BreakerChange, ...]:
        """Keep a breaker; one that stayed the same is not written, so that a hot agent's callers do not collide.

        Returns the change of its state, if that is one.
        """
        before = self.get(identity)
        if after is before or after == before:
            return ()
        self._breakers[identity] = after
        self._changed[identity] = None
        if after.generation == before.generation or after.cause is None:
            return ()
        change = BreakerChange(
            at_ms=self._draft.now_ms,
            before=before.state,
            after=after.state,
            cause=after.cause,
            forced=None if after.forced is None else after.forced.state,
            generation=after.generation,
        )
        self._changes.setdefault(identity, []).append(change)
        self._draft.tell(BreakerChanged(identity, change))
        return (change,)

    def policy(self, identity: str, asked: BreakerPolicy | None, default: BreakerPolicy) -> BreakerPolicy:
        """Return by what a call is judged: what an operator set, else what it was asked by, else the default."""
        return self.get(identity).policy or asked or default

    def settle(
        self,
        identity: str,
        policy: BreakerPolicy,
        *,
        ticket: str,
        generation: int,
        outcome: Outcome,
        took_ms: int,
        retry_after_ms: int | None,
    ) -> tuple[BreakerChange, ...]:
        """Let a breaker hear how a call ended, and count it where rates are judged; return what that changed."""
        before, now_ms, counts = self.get(identity), self._draft.now_ms, None
        if rules.counted(before, policy, now_ms, ticket=ticket, generation=generation, outcome=outcome):
            counts = window.count(
                self._draft,
                identity,
                policy,
                generation,
                failed=outcome in tripping.FAILURES,
                slow=tripping.is_slow(policy, took_ms),
            )
        after = rules.settle(
            before,
            policy,
            now_ms,
            ticket=ticket,
            generation=generation,
            outcome=outcome,
            took_ms=took_ms,
            retry_after_ms=retry_after_ms,
            counts=counts,
        )
        return self.put(identity, after)

    def free_probes(self, identity: str, tickets: Iterable[str]) -> None:
        """Give back the probes' places of *tickets*, neutrally."""
        self.put(identity, rules.free(self.get(identity), tickets))

    def without_the_dead(
        self, identity: str, policy: BreakerPolicy, own: tuple[str, Mapping[str, str]] | None = None
    ) -> tuple[Breaker, tuple[Address, ...]]:
        """Return a full half-open breaker without the probes nobody waits for any more, and the runs looked at.

        A probe lives as long as its run holds its ticket open and, for another's run, as that run's lease lasts; the
        probe of no run lives as long as it was asked to. *own*: the asker's run and its tickets under way, which the
        store does not know better.
        """
        before = self.get(identity)
        if len(before.probes) < policy.half_open_probes:
            return before, ()
        mine, _ = own or (None, None)
        runs = dict.fromkeys(run_at(h) for h in before.probes.values() if len(h) == RUN_ID_LENGTH and h != mine)
        self._draft.snapshot.require(runs)
        dead = [t for t, holder in before.probes.items() if not self._lives(t, holder, own)]
        others = dict.fromkeys(run_at(before.probes[t]) for t in dead)
        return rules.free(before, dead), tuple(run for run in others if run in runs)

    def _lives(self, ticket: str, holder: str, own: tuple[str, Mapping[str, str]] | None) -> bool:
        if len(holder) < RUN_ID_LENGTH:
            return self._draft.now_ms < int(holder)
        if own is not None and holder == own[0]:
            return ticket in own[1]
        text = self._draft.text(run_at(holder))
        if text is None:
            return False
        run = Run.model_validate_json(text)
        return ticket in run.open and lease.left_ms(run, self._draft.now_ms) > 0

    def finish(self) -> None:
        """Write on the draft whatever has changed. Raises NotRead."""
        self._draft.snapshot.require(breaker_changes_at(identity) for identity in self._changes)
        for identity, changes in self._changes.items():
            at = breaker_changes_at(identity)
            kept = (*changes_of(self._draft.text(at)), *changes)[-CHANGES_KEPT:]
            self._draft.put(at, _CHANGES.dump_json(kept).decode())
        for identity in self._changed:
            after = self._breakers[identity]
            held = after.policy is not None or after.forced is not None
            at = breaker_at(identity)
            self._draft.put(at, after.model_dump_json(exclude_defaults=True))
            self._draft.expire(at.key, 0 if held else BREAKER_TTL_MS)
            self._draft.rank(BREAKERS, identity, self._draft.now_ms)
            self._draft.rank(BREAKERS_HELD, identity, self._draft.now_ms if held else None)
