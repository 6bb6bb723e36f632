"""Asks Dify what became of a run that was begun by somebody who has died: ``GET /v1/workflows/run/<id>``.

The same path answers for workflow and chatflow apps. ``outputs`` is an object since Dify 1.14 and JSON text before; a
run nobody knows is a 404 since 1.14, and a 200 full of nulls before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote as quoted

from ensemble.agents.classification import judge_status, parse_json
from ensemble.agents.connections import NoAnswer
from ensemble.agents.door import CLOSE_S, Door
from ensemble.agents.port import CallScope, Reply
from ensemble.agents.reading import failure, read_chat, tokens_of, workflow_reply
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

__all__ = ["unknown_run", "wait_for_run"]

FIRST_LOOK_S, SLOWEST_LOOK_S = 0.25, 5.0
"""How often Dify is asked about a run that goes on: from the first, doubling up to the second."""


def unknown_run(subject: str, why: str) -> Reply:
    """Return the reply of a run nobody can tell the end of."""
    words = f"{subject} may have run already, but nobody knows how it ended: {why}."
    return Reply(outcome=Outcome.UNCERTAIN, message=words)


def wait_for_run(door: Door, remote: Remote, scope: CallScope, trace: Mapping[str, str]) -> Reply:
    """Return how the run ended, asked again and again until it has."""
    path = f"/workflows/run/{quoted(remote.workflow_run_id or '', safe='')}"
    pause = FIRST_LOOK_S
    while True:
        try:
            with door.send("GET", path, None, scope, trace) as exchange:
                body = exchange.read_all()
        except NoAnswer as error:
            if scope.cancelled or scope.left_s() <= CLOSE_S:
                return door.no_answer(error, scope)
            return unknown_run(door.subject, f"asked, it was unavailable ({error})")
        told = parse_json(body) if exchange.status == HTTPStatus.OK else None
        if not isinstance(told, dict) or not told.get("status"):
            return unknown_run(door.subject, f"Dify does not know its run {remote.workflow_run_id} any more")
        if told["status"] not in ("running", "paused"):
            return _ended(told, remote, door.subject)
        if told["status"] == "paused" or scope.left_s() <= pause:
            return unknown_run(door.subject, f"its run {remote.workflow_run_id} is still {told['status']}")
        time.sleep(pause)
        pause = min(SLOWEST_LOOK_S, pause * 2)


def _ended(told: Mapping[str, Any], remote: Remote, subject: str) -> Reply:
    chatflow = remote.conversation_id is not None or remote.message_id is not None
    usage, error = Usage(tokens=tokens_of(told.get("total_tokens"))), told.get("error")
    verdict = judge_status(str(told["status"]), error if isinstance(error, str) else "", subject, chatflow=chatflow)
    if verdict is not None:
        return failure(verdict, usage=usage, remote=remote)
    outputs = told.get("outputs")
    outputs = parse_json(outputs.encode()) if isinstance(outputs, str) else outputs
    known = outputs if isinstance(outputs, dict) else {}
    if not chatflow:
        return workflow_reply(known, usage, remote)
    answer = known.get("answer")
    reply = read_chat({"answer": answer if isinstance(answer, str) else "", **remote.model_dump()}, known)
    return Reply(
        outcome=reply.outcome, text=reply.text, data=reply.data, usage=usage, confidence=reply.confidence,
        sources=reply.sources, remote=remote,
    )  # fmt: skip
