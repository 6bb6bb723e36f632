"""What a model is asked, how it is held to declared outputs, and what its failures mean.

Pure. Dify wraps every failure of a model's provider into one of a few errors, ``[openai] Rate Limit Error, …``; through
a plugin they arrive as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ensemble.agents.backwards import judge_text
from ensemble.agents.classification import Verdict, quote
from ensemble.agents.port import Call
from ensemble.contract.loose import objects, without_thoughts
from ensemble.contract.outcomes import Outcome

__all__ = ["answer_schema", "judge_model", "message_for", "structure_in"]

_RETRIED = frozenset({Outcome.THROTTLED, Outcome.UNAVAILABLE})
_KINDS: tuple[tuple[re.Pattern[str], Outcome, str], ...] = (
    (
        re.compile(r"InvokeRateLimitError|Rate Limit Error|\brate[ _-]?limit|too many requests", re.IGNORECASE),
        Outcome.THROTTLED,
        "is at its provider's rate limit",
    ),
    (
        re.compile(
            r"InvokeAuthorizationError|CredentialsValidateFailedError|Incorrect model credentials|not initialized"
            r"|provider_not_initialize|[Qq]uota.{0,20}exceeded|provider_quota_exceeded|model_currently_not_support"
            r"|Provider \S+ does not exist|Model \S+ (?:not exist|does not exist)"
        ),
        Outcome.MISCONFIGURED,
        "is not set up in Dify (Settings, Model Provider)",
    ),
    (re.compile(r"InvokeBadRequestError|Bad Request Error"), Outcome.REJECTED, "refused what it was given"),
    (
        re.compile(r"InvokeConnectionError|InvokeServerUnavailableError|Connection Error|Server Unavailable Error"),
        Outcome.UNAVAILABLE,
        "is not reachable at its provider",
    ),
)
_TYPES: Mapping[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "array": {"type": "array"},
    "array[any]": {"type": "array"},
    "array[string]": {"type": "array", "items": {"type": "string"}},
    "array[number]": {"type": "array", "items": {"type": "number"}},
    "array[boolean]": {"type": "array", "items": {"type": "boolean"}},
    "array[object]": {"type": "array", "items": {"type": "object"}},
}
"""Dify's words for types as JSON Schema; every other one is a text."""


def judge_model(words: str, subject: str) -> Verdict:
    """Judge the error text of a call to a model."""
    for pattern, outcome, meaning in _KINDS:
        if pattern.search(words):
            message = f"{subject} {meaning}: {quote(words)}"
            return Verdict(outcome=outcome, message=message, retry_allowed=outcome in _RETRIED)
    return judge_text(words, subject)


def message_for(call: Call) -> str:
    """Return what the model is told: the query, or the step's own inputs, or both where the step wrote both.

    One input stands by itself; several stand under their names.
    """
    inputs = {name: value for name, value in {**call.fixed_inputs, **(call.inputs or {})}.items() if value is not None}
    texts = {name: value if isinstance(value, str) else _json(value) for name, value in inputs.items()}
    told = [call.query] if call.asked or call.inputs is None else []
    if len(texts) == 1 and not told:
        return next(iter(texts.values()))
    return "\n\n".join([*told, *(f"### {name}\n{text}" for name, text in texts.items())])


def answer_schema(outputs: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the JSON Schema a model has to keep to; None where the step asks for one text, or for nothing."""
    if not outputs or (len(outputs) == 1 and next(iter(outputs.values())) not in _TYPES):
        return None
    return {
        "type": "object",
        "properties": {name: dict(_TYPES.get(kind, {"type": "string"})) for name, kind in outputs.items()},
        "required": list(outputs),
        "additionalProperties": False,
    }


def structure_in(text: str) -> dict[str, Any] | None:
    """Return the object a model wrote as its answer, whatever stands around it; None if it wrote none, or several."""
    found = []
    for written in objects(without_thoughts(text)):
        if not written.whole:
            return None
        said = written.read()
        if said is not None:
            found.append(said)
    return dict(found[0]) if len(found) == 1 else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
