"""The messages of a trace in order: what agents sent each other, and what engines and agents of its runs exchanged."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ensemble.contract.mailboxes import TraceLog, TraceLogParams
from ensemble.contract.messages import AgentMessage
from ensemble.rules.addresses import RUN, run_at, run_hash, runs_of_trace
from ensemble.rules.problems import UnknownRun
from ensemble.rules.runs.log import run_log
from ensemble.rules.snapshot import EVERY, Address
from sidecar.messages.keys import log_keys
from sidecar.messages.records import to_message
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key
from sidecar.store.scripts import Script
from sidecar.store.store import Store
from sidecar.streams import Events
from sidecar.waiting import Waiting

__all__ = ["Log"]

READ_AT_ONCE = 200
MOST_LISTED_BYTES = 8 * 1024 * 1024
"""Messages in one page, as JSON."""
STREAM_S = 55.0
"""How long one stream lasts; its reader then asks for the rest, so that no thread is held for ever."""
LOOK_S = 0.3
"""How often a stream looks for news."""
OVERLAP_MS = 1000
"""What a stream that goes on tells again: an exchange is dated at its beginning and seen at its end."""

_LOG = Script("sidecar.messages", "log.lua")


class Log:
    """The logs of all traces of all tenants."""

    def __init__(self, store: Store, waiting: Waiting) -> None:
        self._store = store
        self._waiting = waiting

    def page(self, tenant: str, at: TraceLogParams) -> TraceLog:
        """Return the messages after a moment, in order; those of one millisecond are never parted by a page's end."""
        reader = _Reader(self._store, tenant, at.trace_id)
        found = _in_order(message for message in reader.news() if at.after_ms is None or _ms(message) > at.after_ms)
        size = 0
        for place, message in enumerate(found):
            if (place >= at.limit or size > MOST_LISTED_BYTES) and _ms(message) != _ms(found[place - 1]):
                return TraceLog(messages=tuple(found[:place]), next_after_ms=_ms(found[place - 1]))
            size += len(message.model_dump_json())
        return TraceLog(messages=tuple(found))

    def follow(self, tenant: str, at: TraceLogParams) -> Events:
        """Return the messages after a moment as they come, for a minute at most. Raises Busy."""
        give_back = self._waiting.take()
        reader = _Reader(self._store, tenant, at.trace_id)
        return Events(self._events(reader, at.after_ms), give_back)

    def _events(self, reader: _Reader, after_ms: int | None) -> Iterator[tuple[int, AgentMessage] | None]:
        since = 0 if after_ms is None else after_ms - OVERLAP_MS
        ends = time.monotonic() + STREAM_S
        while time.monotonic() < ends:
            for message in _in_order(message for message in reader.news() if _ms(message) > since):
                yield _ms(message), message
            yield None
            time.sleep(LOOK_S)


class _Reader:
    """Reads a trace's messages, each of them once."""

    def __init__(self, store: Store, tenant: str, trace_id: str) -> None:
        self._store = store
        self._tenant = tenant
        self._trace_id = trace_id
        self._read_to = 0
        self._runs: dict[str, str | None] = {}
        self._seen: set[str] = set()

    def news(self) -> Iterator[AgentMessage]:
        """Yield what was not yielded before, in no order."""
        yield from self._sent()
        yield from self._exchanged()

    def _sent(self) -> Iterator[AgentMessage]:
        keys = log_keys(self._tenant, self._trace_id)
        while True:
            self._read_to, *records = _LOG.run(self._store.redis, keys, [self._read_to, READ_AT_ONCE])
            # A message may have left the log for a newer one while this went on.
            yield from (to_message(record) for record in records if record)
            if len(records) < READ_AT_ONCE:
                return

    def _exchanged(self) -> Iterator[AgentMessage]:
        """Yield the messages of runs; only those are read whole whose record was written since the last time."""
        key = full_key(self._tenant, runs_of_trace(self._trace_id))
        with store_errors(self._store.redis, [key]):
            run_ids = self._store.redis.zrevrangebyscore(key, "+inf", "-inf")
        heads = [run_at(run_id, RUN) for run_id in run_ids]
        texts = self._store.look(self._tenant, lambda seen: [seen.text(head) for head in heads], heads)
        for run_id, text in zip(run_ids, texts, strict=True):
            if text == self._runs.get(run_id):
                continue
            self._runs[run_id] = text
            for message in self._messages(run_id):
                if message.message_id not in self._seen:
                    self._seen.add(message.message_id)
                    yield message

    def _messages(self, run_id: str) -> tuple[AgentMessage, ...]:
        key = run_hash(run_id)
        fields = self._store.look(self._tenant, lambda seen: seen.fields(key), (Address(key, EVERY),))
        try:
            return run_log(run_id, fields)
        except UnknownRun:
            return ()


def _in_order(messages: Iterator[AgentMessage]) -> list[AgentMessage]:
    # Sorting keeps the order of equals: that in which the messages of one millisecond were taken down.
    return sorted(messages, key=lambda message: message.timestamp)


def _ms(message: AgentMessage) -> int:
    return round(message.timestamp.timestamp() * 1000)
