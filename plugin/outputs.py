"""From a run's report to what a workflow can read: one text and the declared variables.

Values are plain JSON without nulls: Dify 1.9 refuses a variable that is None, and a field that is left out reads as
empty in every version. An agent's own ``data`` is passed on as the agent gave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ensemble.contract.plain import plain
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from ensemble.engine.events import Report
from plugin.sizing import fitted

__all__ = [
    "VARIABLES",
    "answer_text",
    "error_entry",
    "result_entry",
    "too_long",
    "usage_entry",
    "variables",
    "warnings_told",
]

VARIABLES = ("status", "results", "errors", "usage", "warnings", "trace_id", "run_id", "run_url")
"""Every variable sent at the end; *progress* and *answer* are streamed before."""


def too_long(report: Report) -> bool:
    """Return whether the results do not fit into one message as they are."""
    _, cut = fitted([result_entry(result) for result in report.results])
    return cut is not None


def variables(report: Report, where: str = "") -> dict[str, Any]:
    """Return every variable of :data:`VARIABLES` in its place; each fits into one message to Dify's daemon.

    *where* names the whole results, where these have to be cut.
    """
    results, cut = fitted([result_entry(result) for result in report.results], where)
    errors, _ = fitted([error_entry(result, result.error) for result in report.errors if result.error is not None])
    values = {
        "status": str(report.status),
        "results": results,
        "errors": errors,
        "usage": usage_entry(report.usage),
        "warnings": warnings_told(report, cut),
        "trace_id": report.trace_id,
        "run_id": report.run_id,
        "run_url": report.run_url,
    }
    return {name: values[name] for name in VARIABLES}


def warnings_told(report: Report, cut: int | None = None) -> list[Any]:
    """Return the warnings, and one more where the results' texts were cut after *cut* characters."""
    told, _ = fitted(plain([*report.warnings, *([_cut_note(cut)] if cut else [])]))
    return told


def answer_text(report: Report) -> str:
    """Return the answer, and below it one line for each agent that failed."""
    lines = [f"[{_who(result)} {result.status}: {_one_line(error.message)}]" for result, error in _told(report)]
    return str(plain("\n\n".join(filter(None, (report.answer, "\n".join(lines))))))


def _told(report: Report) -> list[tuple[StepResult, ErrorInfo]]:
    """Return the results worth a line: a step skipped because another failed is that other's story."""
    failed = ((result, result.error) for result in report.results if result.error is not None)
    return [(result, error) for result, error in failed if error.code != "upstream_failed"]


def result_entry(result: StepResult) -> dict[str, Any]:
    """Return one entry of *results*; fields without a value are left out, *text* is then empty."""
    entry: dict[str, Any] = {
        "step": result.step,
        "agent": result.agent,
        "status": str(result.status),
        "text": result.text,
        "data": result.data,
        "source": None if result.source is None else str(result.source),
        "age_ms": result.age_ms,
        "stale": None if result.age_ms is None else result.stale,
        "error": None if result.error is None else _error(result.error),
        "usage": usage_entry(result.usage),
        "confidence": result.confidence,
        "sources": list(result.sources) or None,
        "attempts": result.attempts,
        "started_ms": result.started_ms,
        "took_ms": result.took_ms,
    }
    return _without_none(plain(entry))


def error_entry(result: StepResult, error: ErrorInfo) -> dict[str, Any]:
    """Return one entry of *errors*."""
    entry = {"step": result.step, "agent": result.agent, "status": str(result.status), **_error(error)}
    return _without_none(plain(entry))


def usage_entry(usage: Usage) -> dict[str, Any]:
    """Return tokens, price, currency as far as they are known, and whether they are estimated.

    The price is text, as in Dify's own usage: a float would lose digits.
    """
    price = None if usage.price is None else _decimal(usage.price)
    known = {"tokens": usage.tokens, "price": price, "currency": usage.currency, "estimated": usage.estimated}
    return _without_none(known)


def _error(error: ErrorInfo) -> dict[str, Any]:
    return {"code": str(error.code), "message": error.message, "retry_allowed": error.retry_allowed}


def _decimal(price: Decimal) -> str:
    return format(price, "f")


def _without_none(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _who(result: StepResult) -> str:
    return result.agent if result.agent == result.step else f"{result.agent} ({result.step})"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut_note(chars: int) -> str:
    return (
        f"The results are too long for one message to Dify: texts were cut after {chars:,} characters. "
        "The answer itself is whole."
    )
