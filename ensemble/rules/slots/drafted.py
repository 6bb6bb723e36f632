"""The slots while something is decided: limits and line read from one hash, places taken and left by adding to counters.

Only calls that name their host take part. A call is counted in its host, and where an operator set a limit, in its agent
and in all. Waiting writes the line, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydantic import TypeAdapter

from ensemble.contract.exchange import AdmissionAsk
from ensemble.contract.slots import SlotLimits, SlotsView, SlotUse
from ensemble.rules.addresses import SLOTS
from ensemble.rules.slots.queue import GONE_MS, Standing, Waiter, comes_after, line, stand
from ensemble.rules.snapshot import EVERY, Address, Changes, Draft, Snapshot

__all__ = ["AGENT", "ALL", "HOST", "SLOTS_WANTED", "DraftedSlots", "set_limits", "slots_view"]

ALL, HOST, AGENT = "all", "host:", "agent:"
"""What the scopes of slots are called, or begin with."""
LIMITS, QUEUE = Address(SLOTS, "limits"), Address(SLOTS, "queue")
SLOTS_WANTED = (Address(SLOTS, EVERY),)
"""What to read before the first decision about slots."""
MOST_WAITING = 2000
"""Waiters the line remembers; more wait without a place in it."""

_LINE = TypeAdapter(tuple[Waiter, ...])


class DraftedSlots:
    """The slots of one decision. Any look at them may raise NotRead."""

    def __init__(self, draft: Draft) -> None:
        """Begin with the slots as they stand; :meth:`finish` writes the line."""
        self._draft = draft
        self._waiting: dict[str, Waiter] | None = None
        self._changed = False
        self._must_wait: dict[frozenset[tuple[str, int]], tuple[Waiter, Standing]] = {}
        """By scopes, the foremost of those told to wait in this decision: who comes after it need not be judged."""

    def ask(self, ask: AdmissionAsk, run_id: str, held: int) -> tuple[Standing, Waiter | None]:
        """Return whether a call gets a slot now, and what it asks for; None of a call that needs none."""
        scopes = self._scopes(ask)
        if not scopes:
            return Standing(admitted=True), None
        waiting, now_ms = self._line(), self._draft.now_ms
        known = waiting.get(ask.ticket)
        asker = Waiter(
            ticket=ask.ticket,
            run=run_id,
            scopes=scopes,
            priority=ask.priority,
            since_ms=now_ms if known is None else known.since_ms,
            seen_ms=now_ms,
            held=held,
        )
        return self._stand(asker), asker

    def _stand(self, asker: Waiter) -> Standing:
        """Judge *asker*. All asks of one decision are one run's, so whoever is not older than one that waits waits, too.

        A thousand asks at once would else look through a line of a thousand each.
        """
        waiting, scopes = self._line(), frozenset(asker.scopes.items())
        foremost = self._must_wait.get(scopes)
        if foremost is not None and comes_after(asker, foremost[0]):
            standing = replace(foremost[1], before=foremost[1].before + 1)
            self._must_wait[scopes] = foremost[0], standing
            return standing
        names = {scope for waiter in (*waiting.values(), asker) for scope in waiter.scopes}
        used = {scope: self._draft.counter(Address(SLOTS, scope)) for scope in names}
        standing = stand(waiting.values(), used, asker, self._draft.now_ms)
        if not standing.admitted:
            self._must_wait[scopes] = asker, standing
        return standing

    def wait(self, asker: Waiter) -> None:
        """Keep a place in the line; a place that was refreshed lately is left as it is, so that waiters seldom write."""
        known = self._line().get(asker.ticket)
        if known is None or asker.seen_ms - known.seen_ms >= GONE_MS // 4 or known.scopes != asker.scopes:
            self._line()[asker.ticket] = asker
            self._changed = True

    def leave_line(self, ticket: str) -> None:
        """Give up a place in the line, if there is one."""
        if self._draft.snapshot.has(SLOTS_WANTED[0]) and self._line().pop(ticket, None) is not None:
            self._changed = True
            self._must_wait.clear()

    def leave_all(self, run_id: str) -> None:
        """Give up every place in the line of a run that is about to end: it asks no more, and others would wait for it."""
        self._draft.snapshot.require(SLOTS_WANTED)
        for ticket in [waiter.ticket for waiter in self._line().values() if waiter.run == run_id]:
            self.leave_line(ticket)

    def take(self, asker: Waiter) -> tuple[str, ...]:
        """Take a slot in each scope; the commit fails if others have taken the last one meanwhile."""
        self.leave_line(asker.ticket)
        for scope, limit in asker.scopes.items():
            self._draft.bound((Address(SLOTS, scope),), limit)
        return self.take_again(asker.scopes)

    def take_again(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """Take a slot in each scope, free or not."""
        scopes = tuple(scopes)
        for scope in scopes:
            self._draft.add(Address(SLOTS, scope), 1)
        return scopes

    def leave(self, scopes: Iterable[str]) -> None:
        """Give a slot back in each scope."""
        for scope in scopes:
            self._draft.add(Address(SLOTS, scope), -1)
            self._must_wait.clear()

    def finish(self) -> None:
        """Write the line if it has changed."""
        if self._changed:
            here = line(self._line().values(), self._draft.now_ms)[:MOST_WAITING]
            self._draft.put(QUEUE, _LINE.dump_json(here).decode() if here else None)

    def _line(self) -> dict[str, Waiter]:
        if self._waiting is None:
            self._waiting = {waiter.ticket: waiter for waiter in _waiting(self._draft)}
        return self._waiting

    def _scopes(self, ask: AdmissionAsk) -> dict[str, int]:
        if ask.host is None:
            return {}
        self._draft.snapshot.require(SLOTS_WANTED)
        limits = _limits(self._draft)
        found = {
            HOST + ask.host: limits.hosts.get(ask.host, ask.host_parallel),
            AGENT + ask.identity: limits.identities.get(ask.identity),
            ALL: limits.total,
        }
        return {scope: limit for scope, limit in found.items() if limit is not None}


def set_limits(limits: SlotLimits, snapshot: Snapshot) -> tuple[SlotsView, Changes]:
    """Let these limits hold from now on, in place of those before. Raises NotRead."""
    draft = Draft(snapshot)
    snapshot.require(SLOTS_WANTED)
    draft.put(LIMITS, limits.model_dump_json())
    return _view(draft), draft.changes()


def slots_view(snapshot: Snapshot) -> SlotsView:
    """Return limits and use. Raises NotRead."""
    return _view(Draft(snapshot))


def _view(draft: Draft) -> SlotsView:
    limits = _limits(draft)
    used = {name: int(text) for name, text in draft.fields(SLOTS).items() if name not in {LIMITS.field, QUEUE.field}}
    return SlotsView(
        limits=limits,
        used=SlotUse(
            total=used.get(ALL),
            hosts={name.removeprefix(HOST): n for name, n in used.items() if name.startswith(HOST)},
            identities={name.removeprefix(AGENT): n for name, n in used.items() if name.startswith(AGENT)},
        ),
        waiting=len(line(_waiting(draft), draft.now_ms)),
    )


def _limits(draft: Draft) -> SlotLimits:
    text = draft.text(LIMITS)
    return SlotLimits() if text is None else SlotLimits.model_validate_json(text)


def _waiting(draft: Draft) -> tuple[Waiter, ...]:
    text = draft.text(QUEUE)
    return () if text is None else _LINE.validate_json(text)
