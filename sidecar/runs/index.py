"""The list of runs, newest first, a page at a time."""

from __future__ import annotations

from ensemble.contract.runs import RunLine, RunList, RunsParams
from ensemble.rules.addresses import ABOUT, RUN, RUNS, run_at, runs_of_trace
from ensemble.rules.problems import UnknownRun
from ensemble.rules.runs.views import CALLS, TOKENS, run_line
from ensemble.rules.snapshot import Snapshot
from sidecar.store.faults import left_out, store_errors
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
            found = self._lines(tenant, ids)
            self._forget(key, [run_id for run_id, line in found.items() if line is None])
            lines += [line for line in found.values() if line and params.status in (None, line.status)]
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

    def _lines(self, tenant: str, ids: list[str]) -> dict[str, RunLine | None]:
        """Return each run's line, None of one that is not kept any more; one that can't be understood is not among them."""
        wanted = [run_at(run_id, field) for run_id in ids for field in _FIELDS]

        def look(snapshot: Snapshot) -> dict[str, RunLine | None]:
            found: dict[str, RunLine | None] = {}
            for run_id in ids:
                with left_out(tenant, f"The record of run {run_id}"):
                    found[run_id] = _line(run_id, snapshot)
            return found

        return self._store.look(tenant, look, wanted)

    def _forget(self, key: str, gone: list[str]) -> None:
        """Take the ids of runs whose time to be kept has passed out of the index."""
        if gone:
            with store_errors(self._store.redis, [key]):
                self._store.redis.zrem(key, *gone)


def _line(run_id: str, snapshot: Snapshot) -> RunLine | None:
    texts = {field: snapshot.text(run_at(run_id, field)) for field in _FIELDS}
    try:
        return run_line(run_id, {field: text for field, text in texts.items() if text is not None})
    except UnknownRun:
        return None
