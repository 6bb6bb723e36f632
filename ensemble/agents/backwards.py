"""What a reverse call into Dify comes back as: an app's mode by the shape of its answer, and an error text's meaning.

Pure. Reverse calls go through Dify's plugin daemon, which hands a plugin the very dictionaries of the Service API, but
every failure as one text: ``request failed with status code: 400 and respond with: {"code": …}`` where Dify refused,
``request failed: …`` where it broke off in the middle, and words of its own. Newer daemons put before it what they were
doing, ``invoke app failed: …`` or ``read app failed: …``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ensemble.agents.classification import Verdict, judge_error, judge_response, parse_json, quote
from ensemble.contract.outcomes import Outcome

__all__ = ["judge_text", "mode_of_answer", "mode_of_event"]

_REFUSED = re.compile(r"request failed with status code: (\d{3}) and respond with: ?(.*)", re.DOTALL)
_WRAPPED = re.compile(r"\s*(?:invoke|read) [a-z \-]{1,60} failed: ?")
_BROKE_OFF = re.compile(r"\s*request failed: ?")
_AS_REFUSED = re.compile(r"Run failed:|Too many requests|Failed to request plugin daemon|Workflow not published")
_SILENT = "invocation exited without response"
_HINTS = {
    "app not found": "No app of this workspace has this id; copy it from the app's address in Dify.",
    "unexpected app type": "The app is not published; publish it in Dify.",
    "user not found": "This Dify does not know the caller; call the app by its key instead, or update Dify to 1.9.",
}


def judge_text(words: str, subject: str) -> Verdict:
    """Judge the error text of a reverse call.

    Args:
        words: The text as the SDK raised it.
        subject: How messages call the app.

    """
    words = _WRAPPED.sub("", words, count=1) if _WRAPPED.match(words) else words
    refused = _REFUSED.search(words)
    if refused is not None:
        return _refused(int(refused.group(1)), refused.group(2), subject)
    if "permission denied" in words:
        fix = "Install the plugin again: its manifest asks for this permission."
        return Verdict(
            outcome=Outcome.MISCONFIGURED,
            message=f"{subject} can't be called by this plugin ({quote(words)}). {fix}",
            retry_allowed=False,
        )
    if _SILENT in words:
        message = f"{subject} said nothing for as long as a reverse call is waited for ({quote(words)})."
        return Verdict(outcome=Outcome.UNAVAILABLE, message=message, retry_allowed=True)
    said = _BROKE_OFF.sub("", words, count=1)
    status = 400 if _AS_REFUSED.match(said) or "does not support blocking mode" in said else 500
    return judge_error(status, "", said, subject, None)


def mode_of_answer(answer: Mapping[str, Any]) -> str:
    """Return the mode of the app that answered so in one piece; "" where that can't be told."""
    if isinstance(answer.get("answer"), str):
        mode = answer.get("mode")
        if isinstance(mode, str) and mode:
            return mode
        return "chat" if answer.get("conversation_id") else "completion"
    return "workflow" if isinstance(answer.get("data"), dict) and not answer.get("conversation_id") else ""


def mode_of_event(event: Mapping[str, Any]) -> str:
    """Return the mode of the app whose stream holds this event; "" where that can't be told."""
    talks = bool(event.get("conversation_id"))
    match event.get("event"):
        case "workflow_started":
            return "advanced-chat" if talks else "workflow"
        case "agent_message" | "agent_thought":
            return "agent-chat"
        case "message":
            return "chat" if talks else "completion"
        case _:
            return ""


def _refused(status: int, body: str, subject: str) -> Verdict:
    answer = parse_json(body)
    words = str(answer.get("message") or "") if isinstance(answer, dict) else ""
    if status == HTTPStatus.NOT_FOUND and words.startswith("The requested URL was not found"):
        fix = "PLUGIN_DIFY_INNER_API_KEY of Dify's API and DIFY_INNER_API_KEY of its plugin daemon must be the same."
        message = f"{subject}: Dify does not let its plugin daemon in (404). {fix}"
        return Verdict(outcome=Outcome.MISCONFIGURED, message=message, retry_allowed=False)
    verdict = judge_response(status, {"Content-Type": "application/json"}, body.encode(), subject)
    hint = next((hint for start, hint in _HINTS.items() if words.startswith(start)), "")
    if not hint:
        return verdict
    return Verdict(outcome=verdict.outcome, message=f"{verdict.message} {hint}", retry_allowed=verdict.retry_allowed)
