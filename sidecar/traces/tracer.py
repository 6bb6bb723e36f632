"""Tells a collector of every engine's stretch of a run, once it is over, from a thread of its own.

An exchange only leaves a note here. Everything else - reading the record, making spans, sending them - happens beside it, and
what can't be done in time is lost and counted rather than waited for. Nothing is told twice: whoever tells of a stretch
has first set a key in the store, which only one can set.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ensemble.rules.happenings import EngineLost, Happening, RunClosed, RunOpened
from ensemble.rules.records import Run
from ensemble.rules.runs.opening import OPEN_TTL_MS
from sidecar.errors import StoreDamaged, StoreUnavailable
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key
from sidecar.store.store import Store
from sidecar.traces.collector import Collector, NotTaken
from sidecar.traces.losses import Losses
from sidecar.traces.otlp import Packer, rejected
from sidecar.traces.reading import find_stretch, stretch_wants
from sidecar.traces.spans import spans_of

__all__ = ["MOST_NOTES", "Tracer"]

MOST_NOTES = 1_000
"""Stretches that wait to be told of, in one process."""

TOO_MANY = "Runs, while too many waited to be told of"
"""How the log tells of what found no place."""


@dataclass(frozen=True, slots=True)
class _Note:
    """A stretch that is to be told of."""

    tenant: str
    run_id: str
    run: Run
    """As its engine left it."""
    lost: bool
    due_s: float
    """By the monotonic clock."""


class Tracer:
    """Hears what decisions came to, and tells *collector*."""

    def __init__(self, store: Store, collector: Collector, packer: Packer, *, patience_s: float) -> None:
        """Read from *store*; an engine that is lost is given *patience_s* seconds to come back before that is told."""
        self._store = store
        self._collector = collector
        self._packer = packer
        self._patience_s = patience_s
        # Its put never waits and may be called from a signal's handler.
        self._notes: queue.SimpleQueue[_Note | Literal["hurry", "end"]] = queue.SimpleQueue()
        self._waiting: deque[_Note] = deque()
        self._in_haste = False
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self.losses = Losses()

    def __call__(self, tenant: str, news: tuple[Happening, ...]) -> None:
        """Take note of engines that have ended. Never waits."""
        for each in news:
            match each:
                case RunClosed(run_id=run_id, run=run):
                    self._note(_Note(tenant, run_id, run, lost=False, due_s=0.0))
                case EngineLost(run_id=run_id, run=run):
                    replaced = any(isinstance(other, RunOpened) for other in news)
                    due_s = 0.0 if replaced else time.monotonic() + self._patience_s
                    self._note(_Note(tenant, run_id, run, lost=True, due_s=due_s))
                case _:
                    pass

    def start(self) -> None:
        """Begin to tell. To be called in the process that serves: threads do not survive a fork."""
        self._thread.start()

    def hurry(self) -> None:
        """Wait for nothing from now on; may be called from a signal's handler."""
        self._collector.hurry()
        self._notes.put("hurry")

    def close(self, within_s: float) -> None:
        """Tell what there is to tell, for *within_s* seconds at most; the rest is lost."""
        self.hurry()
        self._notes.put("end")
        self._thread.join(within_s)
        if left := self._left():
            self.losses.add(left, "Runs, since the sidecar was stopped")
        self.losses.tell(at_once=True)

    def _left(self) -> int:
        """Return how many wait still, and leave them to nobody."""
        left = len(self._waiting)
        while not self._notes.empty():
            with suppress(queue.Empty):
                left += isinstance(self._notes.get_nowait(), _Note)
        self._notes.put("end")
        return left

    def _note(self, note: _Note) -> None:
        if self._notes.qsize() < MOST_NOTES:
            self._notes.put(note)
        else:
            self.losses.add(1, TOO_MANY)

    def _work(self) -> None:
        while (said := self._next()) != "end":
            if said == "hurry":
                self._in_haste = True
            elif said is not None:
                self._take(said)
            while self._waiting and self._is_due(self._waiting[0]):
                self._tell(self._waiting.popleft())

    def _take(self, note: _Note) -> None:
        if self._is_due(note):
            self._tell(note)
        elif len(self._waiting) < MOST_NOTES:
            self._waiting.append(note)
        else:
            self.losses.add(1, TOO_MANY)

    def _is_due(self, note: _Note) -> bool:
        return self._in_haste or note.due_s <= time.monotonic()

    def _next(self) -> _Note | Literal["hurry", "end"] | None:
        """Return what comes next, None once the first of those that wait is due."""
        due_s = self._waiting[0].due_s if self._waiting else None
        try:
            return self._notes.get(timeout=None if due_s is None else max(0.0, due_s - time.monotonic()))
        except queue.Empty:
            return None

    def _tell(self, note: _Note) -> None:
        try:
            self._tell_of(note)
        except (StoreUnavailable, StoreDamaged):
            self.losses.add(1, "Runs whose record the store does not give")
        except Exception:  # noqa: BLE001 -- the log has it; the next run must be told of all the same
            self.losses.add(1, "Runs, by a fault of the sidecar's", with_traceback=True)
        self.losses.tell()

    def _tell_of(self, note: _Note) -> None:
        find = partial(find_stretch, note.tenant, note.run_id, note.run, lost=note.lost)
        stretch = self._store.look(note.tenant, find, stretch_wants(note.run_id, note.run))
        if stretch is None or not self._is_first(note):
            return
        for body, count in self._packer.packed(spans_of(stretch)):
            try:
                refused = rejected(self._collector.post(body))
            except NotTaken as why:
                self.losses.add(count, f"Spans that the collector has not taken, {why}")
            else:
                if refused:
                    self.losses.add(refused, "Spans that the collector has refused")

    def _is_first(self, note: _Note) -> bool:
        key = full_key(note.tenant, f"traced:{note.run_id}:{note.run.epoch}")
        with store_errors():
            return bool(self._store.redis.set(key, "1", nx=True, px=OPEN_TTL_MS))
