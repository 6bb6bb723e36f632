"""The pages of runs: the list, one run, its messages. What a link opens is shown by the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from ensemble.contract import endpoints
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunLine, RunParams, RunsParams, RunView
from sidecar.console.desk import Desk
from sidecar.console.messages import told
from sidecar.console.reading import Reader, params
from sidecar.console.run_page import run_page
from sidecar.console.signing import Shared

__all__ = ["add_runs", "family", "messages_shown", "run_shown"]

RUNS_SHOWN = 50
MESSAGES_SHOWN = 100
RELATIVES_SHOWN = 50
"""Other runs of the trace, the newest."""
_MOST = 10**9


def add_runs(blueprint: Blueprint, desk: Desk) -> None:
    """Let *blueprint* show the list of runs, and each of them."""

    @blueprint.get("/")
    @desk.signed_in
    def runs(reader: Reader) -> Response:
        asked = {name: request.args.get(name, "").strip() for name in ("trace_id", "status", "before_ms")}
        found = reader.ask(endpoints.LIST_RUNS, params(RunsParams, {**asked, "limit": RUNS_SHOWN}))
        kept = {name: asked[name] for name in ("trace_id", "status") if asked[name]}
        older = None if found.next_before_ms is None else urlencode({**kept, "before_ms": found.next_before_ms})
        return desk.pages.page(
            "runs.html",
            tenant=reader.tenant,
            here="runs",
            now_ms=desk.keys.now_ms(),
            runs=found.runs,
            asked=asked,
            filtered=bool(kept),
            older=older,
            statuses=tuple(RunStatus),
            live=not asked["before_ms"] and any(run.status is RunStatus.RUNNING for run in found.runs),
        )

    @blueprint.get("/runs/<run_id>")
    @desk.signed_in
    def run(reader: Reader, run_id: str) -> Response:
        return run_shown(desk, reader, run_id, request.args, messages_at=f"runs/{run_id}/messages")

    @blueprint.get("/runs/<run_id>/messages")
    @desk.signed_in
    def messages(reader: Reader, run_id: str) -> Response:
        return messages_shown(desk, reader, run_id, request.args, run_at=f"runs/{run_id}")


def run_shown(
    desk: Desk,
    reader: Reader,
    run_id: str,
    asked: Mapping[str, str],
    *,
    messages_at: str,
    shared: Shared | None = None,
) -> Response:
    """Return the page of a run; of one that is *shared*, nothing that leads elsewhere. Raises NotFound."""
    run: RunView = reader.ask(endpoints.GET_RUN, params(RunParams, {"run_id": run_id}, in_path=True))
    shown = run_page(run, desk.keys.now_ms(), number(asked.get("from", "")))
    others: Sequence[tuple[int, RunLine]] = ()
    if shared is None:
        trace = RunsParams(trace_id=run.trace_id, limit=RELATIVES_SHOWN)
        others = family(reader.ask(endpoints.LIST_RUNS, trace).runs)
    return desk.pages.page(
        "run.html",
        tenant=None if shared else reader.tenant,
        here="runs",
        page=shown,
        run=run,
        now_ms=shown.now_ms,
        shared=shared,
        messages_at=messages_at,
        others=others if len(others) > 1 else (),
        live=shown.open,
    )


def messages_shown(
    desk: Desk, reader: Reader, run_id: str, asked: Mapping[str, str], *, run_at: str, shared: Shared | None = None
) -> Response:
    """Return the page of a run's messages. Raises NotFound."""
    wanted = params(RunParams, {"run_id": run_id}, in_path=True)
    found = reader.ask(endpoints.GET_RUN_LOG, wanted).messages
    first = min(number(asked.get("from", "")), max(0, len(found) - 1))
    last = first + MESSAGES_SHOWN
    return desk.pages.page(
        "messages.html",
        tenant=None if shared else reader.tenant,
        here="runs",
        run_id=run_id,
        run_at=run_at,
        shared=shared,
        messages=[told(each) for each in found[first:last]],
        first=first,
        total=len(found),
        later=last if last < len(found) else None,
        earlier=max(0, first - MESSAGES_SHOWN) if first else None,
    )


def family(runs: Sequence[RunLine]) -> list[tuple[int, RunLine]]:
    """Return runs of a trace, each behind the one inside which it was opened, with how deep it stands among these."""
    known = {run.run_id for run in runs}
    inside: dict[str | None, list[RunLine]] = {}
    for run in sorted(runs, key=lambda run: run.opened_ms):
        inside.setdefault(run.parent_run_id if run.parent_run_id in known else None, []).append(run)
    found: list[tuple[int, RunLine]] = []
    todo = [(0, run) for run in reversed(inside.get(None, []))]
    while todo:
        depth, run = todo.pop()
        found.append((depth, run))
        todo += [(depth + 1, child) for child in reversed(inside.get(run.run_id, []))]
    return found


def number(text: str) -> int:
    """Return from which row on a page begins; 0 where it is no number."""
    return min(_MOST, int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 -- digits
