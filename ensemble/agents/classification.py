"""The one classification: from what Dify or the network said to an outcome, words for the builder, and a delay.

Pure. Retry, breaker and error text all go by it, so the rules stand here and nowhere else. Dify answers many things
with ``400 invalid_param`` (every ``ValueError``), so its message decides; a body may lack ``code`` and ``status``, and
the HTTP status is the only thing always there.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from ensemble.contract.outcomes import Outcome

__all__ = [
    "Verdict",
    "judge_error",
    "judge_event",
    "judge_foreign",
    "judge_response",
    "judge_status",
    "parse_json",
    "quote",
    "retry_after_s",
    "says_rate_limit",
]

_RETRIED = frozenset({Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT})
_MISCONFIGURED_CODES = {
    "provider_not_initialize": "Set up the model provider in Dify under Settings, Model Provider.",
    "provider_quota_exceeded": "Top up the model provider's quota, or choose another model in the app.",
    "model_currently_not_support": "Choose another model in the app: its provider does not serve this one now.",
    "app_unavailable": "Open the app in Dify, check it and publish it.",
}
_WRONG_APP = re.compile(r"^not_\w+_app$")
_RATE_LIMIT = re.compile(
    r"rate[ _-]?limit|too many requests|resource_exhausted|\b(?:http|status|code|error)\b\W{0,3}(?:code\W{0,3})?429\b",
    re.IGNORECASE,
)
_KEY = re.compile(r"\b(?:app|sk|dataset)-[A-Za-z0-9_\-]{8,}|(?i:bearer)\s+[^\s\"'<>]+")
_QUOTED = 800
"""How many characters of somebody else's words a message repeats."""
_LONGEST_DELAY_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an attempt that brought no answer ended."""

    outcome: Outcome
    message: str
    """What happened and what to do, for the builder."""
    retry_allowed: bool
    """Whether the same call may succeed later."""
    retry_after_s: float | None = None
    """How long the other side asked us to wait, seconds."""
    needs_streaming: bool = False
    """True where the app only streams: this was no attempt, call again with streaming."""


def judge_response(
    status: int, headers: Mapping[str, str], body: bytes, subject: str, now: datetime | None = None
) -> Verdict:
    """Judge an HTTP answer that holds no result. *headers* are looked up without regard to case.

    Args:
        status: The HTTP status.
        headers: Of the answer.
        body: Of the answer, as it came; JSON, HTML or nothing.
        subject: How messages call the app, such as ``market (dify.example.com)``.
        now: The moment a ``Retry-After`` date is compared with.

    """
    delay = retry_after_s(headers, now or datetime.now(UTC))
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        fix = "Write its URL, with user name and password, into Proxy URL: http://user:password@host:port."
        return _verdict(
            Outcome.MISCONFIGURED, f"{subject} can't be called: a proxy on the way wants a login (407). {fix}"
        )
    error = parse_json(body)
    if isinstance(error, dict) and status >= HTTPStatus.MULTIPLE_CHOICES:
        return judge_error(status, str(error.get("code") or ""), _words(error), subject, delay)
    return judge_foreign(status, headers, body, subject, delay)


def judge_event(event: Mapping[str, Any], subject: str) -> Verdict:
    """Judge a stream's ``error`` event ``{code?, status?, message}`` as if it had been an HTTP answer.

    Some builds leave the code out. Without a status, a code other than ``internal_server_error`` means 400, as for
    every error Dify maps by itself.
    """
    code = str(event.get("code") or "")
    status = event.get("status")
    if not isinstance(status, int) or isinstance(status, bool):
        status = 400 if code and code != "internal_server_error" else 500
    return judge_error(status, code, _words(event), subject, None)


def judge_error(status: int, code: str, words: str, subject: str, delay: float | None) -> Verdict:
    """Judge an error in Dify's own form by HTTP status, code and message."""
    said = f"{status}{f' {code}' if code else ''}: {quote(words) or 'no reason given'}"
    if status in (401, 403) or code == "unauthorized":
        return _verdict(Outcome.MISCONFIGURED, _refused_key(status, subject, said))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _verdict(Outcome.THROTTLED, f"{subject} asked us to come back later ({said}).", delay)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (408, 425):
        return _verdict(Outcome.UNAVAILABLE, f"{subject} is not working ({said}).", delay)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _redirect(subject, "")
    if status == HTTPStatus.BAD_REQUEST:
        return _bad_request(code, words, said, subject, delay)
    return _verdict(Outcome.REJECTED, f"{subject} refused the call ({said}).{_hint(status, words)}")


def _bad_request(code: str, words: str, said: str, subject: str, delay: float | None) -> Verdict:
    if "does not support blocking mode" in words:
        message = f"{subject} answers in streaming mode only ({said})."
        return Verdict(outcome=Outcome.REJECTED, message=message, retry_allowed=False, needs_streaming=True)
    if fix := _MISCONFIGURED_CODES.get(code):
        return _verdict(Outcome.MISCONFIGURED, f"{subject} can't run ({said}). {fix}")
    if _WRONG_APP.match(code):
        fix = "The app behind this key is of another kind than before; check that the key is that of the app you mean."
        return _verdict(Outcome.MISCONFIGURED, f"{subject} is not an app of the expected kind ({said}). {fix}")
    if words.startswith("Workflow not published"):
        return _verdict(Outcome.MISCONFIGURED, f"{subject} is not published ({said}). Publish the app in Dify.")
    if words.startswith("Failed to request plugin daemon"):
        return _verdict(Outcome.UNAVAILABLE, f"{subject}: Dify could not reach its plugin daemon ({said}).", delay)
    ran = words.startswith("Run failed:") or code == "completion_request_error"
    if words.startswith("Too many requests") or (ran and says_rate_limit(words)):
        return _verdict(Outcome.THROTTLED, f"{subject} is at a limit of requests ({said}).", delay)
    if ran:
        return _verdict(Outcome.AGENT_FAILED, f"{subject} ran and failed ({said}).")
    return _verdict(Outcome.REJECTED, f"{subject} refused what it was given ({said}).{_hint(400, words)}")


def judge_foreign(
    status: int, headers: Mapping[str, str], body: bytes, subject: str, delay: float | None = None
) -> Verdict:
    """Judge an answer that is not in the language of the Service API: a proxy's page, a login form, nothing.

    Where the status alone settles it (a refused key, a body too large, a limit), it does.
    """
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "") or "no content type"
    start = quote(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", body[:4000].decode("utf-8", "replace")), 200)
    said = f"{status}, {kind.split(';')[0][:60]}{f': {start}' if start else ''}"
    if status in (401, 403):
        return _verdict(Outcome.MISCONFIGURED, _refused_key(status, subject, said))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _verdict(Outcome.THROTTLED, f"{subject} asked us to come back later ({said}).", delay)
    if status in (413, 414, 415, 431):
        return _verdict(Outcome.REJECTED, f"{subject} refused the call ({said}).{_hint(status, '')}")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _redirect(subject, next((v for k, v in headers.items() if k.lower() == "location"), ""))
    fix = "Check that the base URL ends in /v1 and leads to Dify's API, and that Dify is up."
    return _verdict(Outcome.UNAVAILABLE, f"{subject} did not answer as Dify does ({said}). {fix}", delay)


def judge_status(status: str, error: str, subject: str, *, chatflow: bool = False) -> Verdict | None:
    """Judge the status a run ended with; None means that it succeeded.

    ``partial-succeeded`` is a success: some node failed and recovered. A stop shows as ``stopped``, or, where it came
    early, as ``failed`` with *Aborted: User requested stop* (seen on Dify 1.14). What fails a *chatflow* is told as
    ``400 Run failed: …`` when blocking, and has the same outcome when streaming.
    """
    if status in ("succeeded", "partial-succeeded"):
        return None
    why = quote(error) or "no reason given"
    if status == "stopped" or error.startswith("Aborted: User requested stop"):
        return _verdict(Outcome.AGENT_FAILED, f"{subject} was stopped in Dify before it was done ({why}).")
    if status == "failed" and chatflow:
        return judge_error(400, "invalid_param", f"Run failed: {error}", subject, None)
    if status == "failed":
        return _verdict(Outcome.AGENT_FAILED, f"{subject} ran and failed: {why}")
    if status == "paused":
        fix = "Apps used as agents can't wait for a person; take the human input node out, or call the app by hand."
        return _verdict(Outcome.INPUT_REQUIRED, f"{subject} paused for a human. {fix}")
    return _verdict(Outcome.UNAVAILABLE, f"{subject} ended with a status nobody knows: {quote(status, 60)!r}.")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds ``Retry-After`` asks for (a number or an HTTP date), at most an hour; None without one."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return min(float(value), _LONGEST_DELAY_S)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_DELAY_S)


def parse_json(body: bytes | str) -> Any:
    """Return the JSON value, None where it is none; NaN and infinities, which JSON does not know, become null."""
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def quote(words: str, limit: int = _QUOTED) -> str:
    """Return somebody else's words on one line, cut, with whatever looks like a key taken out."""
    line = _KEY.sub("[key]", re.sub(r"\s+", " ", words[: limit * 4]).strip())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def says_rate_limit(words: str) -> bool:
    """Return whether somebody else's words tell of a limit of requests."""
    return _RATE_LIMIT.search(words) is not None


def _verdict(outcome: Outcome, message: str, delay: float | None = None) -> Verdict:
    return Verdict(outcome=outcome, message=message, retry_allowed=outcome in _RETRIED, retry_after_s=delay)


def _refused_key(status: int, subject: str, said: str) -> str:
    if status == HTTPStatus.FORBIDDEN:
        return f"{subject} is closed ({said}). Switch on 'Backend service API' of that app in Dify, or use another app."
    return f"{subject} does not know the key ({said}). Make a new key on the app's page 'API Access', and paste it."


def _redirect(subject: str, location: str) -> Verdict:
    to = f" to {quote(location.partition('?')[0], 200)}" if location else ""
    fix = "Redirects are not followed, because the key would go along; put the final address into the credentials."
    return _verdict(Outcome.MISCONFIGURED, f"{subject} answered with a redirect{to}. {fix}")


def _words(error: Mapping[str, Any]) -> str:
    """Dify's own message; builds after 1.7.2 wrote ``{errors: {field: words}, message}`` for a malformed body."""
    message = error.get("message")
    words = message if isinstance(message, str) else "" if message is None else json.dumps(message, ensure_ascii=False)
    for name, field in (("params", error.get("params")), ("errors", error.get("errors"))):
        if isinstance(field, dict):
            words += "".join(f"; {key}: {value}" for key, value in field.items())
        elif isinstance(field, str) and name == "params":
            words += f" ({field})"
    return words


def _hint(status: int, words: str) -> str:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return " Send less: a file or text is larger than Dify or a proxy before it allows."
    if status == HTTPStatus.NOT_FOUND and words.startswith("Conversation Not Exists"):
        return " The conversation belongs to another app or user, or was deleted; begin a new one."
    if "in input form" in words:
        return " Correct the step's inputs."
    return ""
