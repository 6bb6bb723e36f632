"""Reads what an app answered: text and data, usage, ids, from a blocking body or the end of a stream.

Pure. Chat-like apps answer ``{answer, metadata}``, workflow apps ``{data: {status, outputs, error, total_tokens}}``;
a workflow that failed answers so with HTTP 200.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

from ensemble.agents.classification import Verdict, judge_event, judge_response, judge_status, parse_json
from ensemble.agents.port import Reply
from ensemble.contract.answers import text_of
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

__all__ = [
    "failure",
    "read_answer",
    "read_blocking",
    "read_chat",
    "read_usage",
    "read_workflow",
    "remote_of",
    "tokens_of",
    "workflow_reply",
]

_LONGEST_ID = 128
_LONGEST_CURRENCY = 8
_MOST_TOKENS = 2**53
_HIGHEST_PRICE = Decimal(10) ** 12


def read_blocking(status: int, headers: Mapping[str, str], body: bytes, subject: str) -> tuple[Reply, Verdict | None]:
    """Read a whole HTTP answer, success or not; the verdict tells why there is no result, None where there is one.

    Args:
        status: The HTTP status.
        headers: Of the answer.
        body: As it came.
        subject: How messages call the app.

    """
    answer = parse_json(body) if status == HTTPStatus.OK else None
    read = read_answer(answer, subject) if isinstance(answer, dict) else None
    if read is not None:
        return read
    verdict = judge_response(status, headers, body, subject)
    return failure(verdict), verdict


def read_answer(answer: Mapping[str, Any], subject: str) -> tuple[Reply, Verdict | None] | None:
    """Read what an app answered in one piece, whatever its mode; None where it is no app's answer."""
    if isinstance(answer.get("answer"), str):
        return read_chat(answer), None
    if answer.get("event") == "error":
        verdict = judge_event(answer, subject)
        return failure(verdict), verdict
    data = answer.get("data")
    if isinstance(data, dict) and ("status" in data or answer.get("event") == "workflow_paused"):
        return read_workflow(answer, subject)
    return None


def read_workflow(body: Mapping[str, Any], subject: str) -> tuple[Reply, Verdict | None]:
    """Read ``{task_id, workflow_run_id, data}``; a chatflow that pauses answers so too, with its event's name."""
    data: Mapping[str, Any] = body["data"]
    status = str(data.get("status") or "")
    if not status and body.get("event") == "workflow_paused":
        status = "paused"
    remote, usage = remote_of(body), Usage(tokens=tokens_of(data.get("total_tokens")))
    verdict = judge_status(status, _string(data.get("error")), subject)
    if verdict is not None:
        return failure(verdict, usage=usage, remote=remote), verdict
    return workflow_reply(data.get("outputs"), usage, remote), None


def workflow_reply(outputs: Any, usage: Usage, remote: Remote | None) -> Reply:
    """Make the reply of a run that succeeded with these outputs (null where it has none)."""
    known = dict(outputs) if isinstance(outputs, dict) else {}
    return Reply(
        outcome=Outcome.SUCCEEDED,
        text=text_of(known),
        data=known,
        usage=usage,
        confidence=_confidence(known.get("confidence")),
        sources=_sources(known.get("sources")),
        remote=remote,
    )


def read_chat(body: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Reply:
    """Read ``{answer, metadata}`` of a chat-like or completion app; *outputs* are a chatflow's, where a stream told."""
    metadata = body.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    data = {**(outputs or {}), "answer": body["answer"]}
    if not data.get("files", True):
        del data["files"]
    return Reply(
        outcome=Outcome.SUCCEEDED,
        text=body["answer"],
        data=data,
        usage=read_usage(metadata.get("usage")),
        confidence=_confidence(data.get("confidence")),
        sources=_sources(data.get("sources")) or _sources(metadata.get("retriever_resources")),
        remote=remote_of(body),
    )


def failure(verdict: Verdict, *, usage: Usage | None = None, remote: Remote | None = None, sent: bool = True) -> Reply:
    """Make the reply of an attempt that brought no answer."""
    return Reply(
        outcome=verdict.outcome,
        usage=usage or Usage(),
        message=verdict.message,
        retry_allowed=verdict.retry_allowed,
        retry_after_s=verdict.retry_after_s,
        sent=sent,
        remote=remote,
    )


def read_usage(usage: Any) -> Usage:
    """Read Dify's ``metadata.usage``, whose prices are JSON strings; whatever it does not tell is unknown, not zero."""
    if not isinstance(usage, dict):
        return Usage()
    price = _price(usage.get("total_price"))
    currency = usage.get("currency")
    known = isinstance(currency, str) and 0 < len(currency) <= _LONGEST_CURRENCY and price is not None
    return Usage(tokens=tokens_of(usage.get("total_tokens")), price=price, currency=currency if known else None)


def tokens_of(value: Any) -> int | None:
    """Return a count of tokens; a reported 0 is known, anything but a count is unknown."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        return None
    return value


def remote_of(*bodies: Mapping[str, Any]) -> Remote | None:
    """Collect what Dify calls the run; where several bodies tell, the first one counts. None if none does."""

    def told(*names: str) -> str | None:
        values = (body.get(name) for body in bodies for name in names)
        return next((value for value in values if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID), None)

    remote = Remote(
        task_id=told("task_id"),
        workflow_run_id=told("workflow_run_id"),
        conversation_id=told("conversation_id"),
        message_id=told("message_id"),
        app_id=told("app_id"),
    )
    return remote if remote != Remote() else None


def _price(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price <= _HIGHEST_PRICE else None


def _confidence(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _sources(value: Any) -> tuple[Any, ...]:
    if isinstance(value, list):
        return tuple(value)
    return () if value in (None, "") else (value,)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
