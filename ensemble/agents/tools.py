"""What a Dify tool is given, and what its failures mean.

Pure. A tool takes parameters by name. An error is one text, whether Dify knows no such tool, a daemon was away, or the
tool itself raised; what stands before the text tells whether the tool had begun.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from ensemble.agents.backwards import judge_text
from ensemble.agents.classification import Verdict, judge_error, parse_json, quote, says_rate_limit
from ensemble.agents.port import Call
from ensemble.contract.outcomes import Outcome

__all__ = ["judge_tool", "parameters_of"]

_RETRIED = frozenset({Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE})

_REFUSED = re.compile(r"request failed with status code: \d{3} and respond with: ?(.*)", re.DOTALL)
_RAISED = re.compile(r"request failed: ?(.*)", re.DOTALL)
_INVOKE_ERROR = re.compile(r"PluginInvokeError:\s*(\{.*\})", re.DOTALL)
_STATUS = re.compile(r"Request failed with status code (\d{3})\b", re.IGNORECASE)
_PARAMETER = re.compile(
    r"tool parameter|required parameter|parameter \S+ (?:is )?(?:required|not found|missing|invalid)"
    r"|parameters? validation|ToolParameterValidationError|InvokeBadRequestError",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(
    r"no default provider for|provider has been deleted|credential|InvokeAuthorizationError|not authorized|unauthorized"
    r"|authorization failed|MCPAuthError",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"not found|not exist|NotFoundError|not installed|invalid plugin id", re.IGNORECASE)
_CREDENTIAL_ERRORS = re.compile(
    r"InvokeAuthorizationError|CredentialsValidateFailedError|ToolProviderCredentialValidationError|OAuthError|MCPAuthError"
)
_AWAY = re.compile(
    r"Plugin Daemon Service failed|Failed to request plugin daemon|PluginDaemon\w*Error|killed by timeout"
    r"|InvokeConnectionError|InvokeServerUnavailableError",
    re.IGNORECASE,
)
_NO_ROUTE = "The requested URL was not found"
_AUTHORIZE = "Give the tool's provider its credentials in Dify under Tools, and choose a default there."
_LOOK = (
    "Write the provider as Dify knows it (author/plugin/provider of a plugin) and the tool's own name, and see that it is "
    "installed in this workspace."
)
_INPUTS = "Correct the step's inputs: they are the tool's parameters, by name."


def parameters_of(call: Call) -> dict[str, Any] | None:
    """Return what the tool is given: the step's inputs over the agent's, types kept; nulls are not sent.

    None where neither has any: the tool would not know what to do.
    """
    if call.inputs is None and not call.fixed_inputs:
        return None
    given = {**call.fixed_inputs, **(call.inputs or {})}
    return {name: value for name, value in given.items() if value is not None}


def judge_tool(words: str, subject: str) -> Verdict:
    """Judge the error text of a tool's call.

    Args:
        words: The text as the SDK raised it.
        subject: How messages call the tool.

    """
    if (refused := _REFUSED.search(words)) is not None:
        return _refused(words, refused.group(1), subject)
    if (raised := _RAISED.search(words)) is not None:
        return _raised(raised.group(1), subject)
    return judge_text(words, subject)


def _refused(words: str, body: str, subject: str) -> Verdict:
    """Judge what Dify said before the tool ran."""
    error = parse_json(body)
    said = str(error.get("message") or "") if isinstance(error, dict) else body
    if said.startswith(_NO_ROUTE):
        return judge_text(words, subject)
    for pattern, outcome, meaning, fix in (
        (_PARAMETER, Outcome.REJECTED, "refused what it was given", _INPUTS),
        (_CREDENTIALS, Outcome.MISCONFIGURED, "has no credentials that are good", _AUTHORIZE),
        (_UNKNOWN, Outcome.MISCONFIGURED, "is not known to Dify", _LOOK),
    ):
        if pattern.search(said):
            return _verdict(outcome, f"{subject} {meaning} ({quote(said)}). {fix}")
    return judge_text(words, subject)


def _raised(said: str, subject: str) -> Verdict:
    """Judge what ended a tool that had begun."""
    kind, said = _exception(said)
    quoted = quote(f"{kind}: {said}" if kind else said) or "no reason given"
    status = _STATUS.search(said)
    if status is not None:
        return _foreign_status(int(status.group(1)), quoted, subject)
    if kind == "InvokeRateLimitError" or says_rate_limit(said):
        return _verdict(Outcome.THROTTLED, f"{subject} is at a limit of requests ({quoted}).")
    if _CREDENTIAL_ERRORS.search(f"{kind} {said}"):
        return _verdict(Outcome.MISCONFIGURED, f"{subject} has no credentials that are good ({quoted}). {_AUTHORIZE}")
    if _AWAY.search(f"{kind} {said}"):
        return _verdict(Outcome.UNAVAILABLE, f"{subject} could not be reached ({quoted}).")
    if _PARAMETER.search(f"{kind} {said}"):
        return _verdict(Outcome.REJECTED, f"{subject} refused what it was given ({quoted}). {_INPUTS}")
    return _verdict(Outcome.AGENT_FAILED, f"{subject} ran and failed: {quoted}")


def _exception(said: str) -> tuple[str, str]:
    """Return the class and the words of what a plugin raised; no class where Dify does not tell one.

    Dify writes ``PluginInvokeError: {"args": …, "error_type": …, "message": …}``.
    """
    found = _INVOKE_ERROR.search(said)
    error = parse_json(found.group(1)) if found else None
    if not isinstance(error, dict):
        return "", said
    return str(error.get("error_type") or ""), str(error.get("message") or "")


def _foreign_status(status: int, quoted: str, subject: str) -> Verdict:
    """Judge the HTTP status of what stands behind a tool made of an OpenAPI schema."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _verdict(Outcome.MISCONFIGURED, f"{subject} has no credentials that are good ({quoted}). {_AUTHORIZE}")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return judge_error(status, "", quoted, subject, None)
    return _verdict(Outcome.REJECTED, f"{subject} refused what it was given ({quoted}). {_INPUTS}")


def _verdict(outcome: Outcome, message: str) -> Verdict:
    return Verdict(outcome=outcome, message=message, retry_allowed=outcome in _RETRIED)
