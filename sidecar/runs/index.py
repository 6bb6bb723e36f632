"""The list of runs, newest first, a page at a time."""

from __future__ import annotations

from functools import partial

from ensemble.contract.runs import RunLine, RunList, RunsParams
from ensemble.rules.addresses import ABOUT, RUN, RUNS, run_at, runs_of_trace
from ensemble.rules.runs.views import CALLS, TOKENS, run_line
from ensemble.rules.snapshot import Snapshot
from sidecar.store.faults import store_errors, understood
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["RunIndex"]

READ_AT_ONCE = 100
MOST_LOOKED_AT = 2000
"""Runs one page looks at where few stand as asked for; the next page goes on from there."""
_FIELDS = (RUN, ABOUT, TOKENS, CALLS)
"""What a line is made of."""


class RunIndex:
    """The index of runs by the moment they were opened."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self, tenant: str, params: RunsParams) -> RunList:
        """Return the runs opened before a moment.

        Runs opened in one millisecond are never parted by a page's end, so a page may be longer than asked for, and it
        is shorter where runs that stand otherwise, or are no longer kept, were passed over.
        """
        key = full_key(tenant, RUNS if params.trace_id is None else runs_of_trace(params.trace_id))
        before: str | int = "+inf" if params.before_ms is None else f"({params.before_ms}"
        lines: list[RunLine] = []
        looked_at = 0
        while True:
            ids, last_ms = self._next(key, before, min(READ_AT_ONCE, params.limit))
            if last_ms is None:
                return RunList(runs=tuple(lines))
            found, gone = self._lines(tenant, ids)
            self._forget(key, gone)
            lines += [line for line in found if params.status in (None, line.status)]
            looked_at += len(ids)
            if len(lines) >= params.limit or looked_at >= MOST_LOOKED_AT:
                return RunList(runs=tuple(lines), next_before_ms=last_ms)
            before = f"({last_ms}"

    def _next(self, key: str, before: str | int, count: int) -> tuple[list[str], int | None]:
        """Return some *count* ids, those of the last one's millisecond all, and that millisecond; None: no more."""
        redis = self._store.redis
        with store_errors(redis, [key]):
            found = redis.zrevrangebyscore(key, before, "-inf", start=0, num=count, withscores=True)
            if not found:
                return [], None
            last = int(found[-1][1])
            same = redis.zrevrangebyscore(key, last, last)
        ids = [run_id for run_id, _ in found]
        return list(dict.fromkeys([*ids, *same])), last

    def _lines(self, tenant: str, ids: list[str]) -> tuple[list[RunLine], list[str]]:
        """Return the lines of those that can be understood, and the ids of those that are not kept any more."""
        wanted = [run_at(run_id, field) for run_id in ids for field in _FIELDS]

        def look(snapshot: Snapshot) -> tuple[list[RunLine], list[str]]:
            gone = [run_id for run_id in ids if None in [snapshot.text(run_at(run_id, at)) for at in (RUN, ABOUT)]]
            kept = (run_id for run_id in ids if run_id not in gone)
            lines = [understood(partial(_line, run_id, snapshot), f"The run {run_id}") for run_id in kept]
            return [line for line in lines if line is not None], gone

        return self._store.look(tenant, look, wanted)

    def _forget(self, key: str, gone: list[str]) -> None:
        """Take the ids of runs whose time to be kept has passed out of the index."""
        if gone:
            with store_errors(self._store.redis, [key]):
                self._store.redis.zrem(key, *gone)


def _line(run_id: str, snapshot: Snapshot) -> RunLine:
    texts = {field: snapshot.text(run_at(run_id, field)) for field in _FIELDS}
    return run_line(run_id, {field: text for field, text in texts.items() if text is not None})
