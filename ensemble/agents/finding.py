"""Finds out which app is behind a key, for calls inside which runs could be opened that tell nothing of them.

A streamed run of a workflow or chatflow tells its app's id with its first event. A blocking one tells its run's id only
once it is over, so of a workflow app the newest run is looked up in its log, while the call is on its way: whoever is
called in a circle has a run there already. Asked for as long as nobody knows; told to the ledger every few minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote as quoted

from ensemble.agents.app_ids import AppIds, app_id_in
from ensemble.agents.classification import parse_json
from ensemble.agents.connections import NoAnswer
from ensemble.agents.door import Door
from ensemble.agents.port import CallScope

__all__ = ["look_up"]

ASK_S = 2.0
"""How long one question may take."""
_MOST_BYTES = 1024 * 1024


def look_up(ids: AppIds, identity: str, door: Door, trace: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Ask beside the caller which app is behind *identity*, and *tell* what is found."""

    def ask() -> None:
        scope = CallScope(ASK_S)
        log = _get(door, "/workflows/logs?limit=1", scope, trace)
        if log is None:
            ids.give_up(identity)
            return
        runs = [run.get("id") for entry in log.get("data") or [] if (run := entry.get("workflow_run"))]
        detail = _get(door, f"/workflows/run/{quoted(str(runs[0]), safe='')}", scope, trace) if runs else None
        app_id = None if detail is None else app_id_in(detail.get("inputs"))
        if app_id is not None:
            ids.learn(identity, app_id)
            if (telling := ids.to_tell(identity)) is not None:
                tell(telling)

    threading.Thread(target=ask, name=f"app of {door.subject}", daemon=True).start()


def _get(door: Door, path: str, scope: CallScope, trace: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what Dify answers, None where it answers nothing that can be read."""
    try:
        with door.send("GET", path, None, scope, trace) as exchange:
            body = exchange.read_all(_MOST_BYTES)
    except NoAnswer:
        return None
    answer = parse_json(body) if exchange.status == HTTPStatus.OK else None
    return answer if isinstance(answer, dict) else None
