"""From a chosen route to what a workflow can read: one text and the declared variables."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ensemble.contract.plain import plain
from ensemble.engine.events import Event
from plugin.messages import LINE_CHARS, Messenger, progress
from plugin.outputs import answer_text, error_entry, result_entry, usage_entry
from plugin.router.service import RouterReport
from plugin.sizing import fitted, pieces

__all__ = ["ROUTER_VARIABLES", "router_messages", "router_variables"]

ROUTER_VARIABLES = (
    "route", "strategy", "confidence", "reason", "alternatives", "passed_over", "answer", "results", "errors", "usage",
    "warnings", "trace_id", "run_id",
)  # fmt: skip
"""Every variable sent at the end; *progress* is streamed before."""
_ANSWER_CHARS = 64 * 1024


def router_messages[M](tool: Messenger[M], events: Generator[Event, None, RouterReport]) -> Generator[M]:
    """Yield what the workflow sees: progress, then the text, then every variable.

    The text is the answer of the route's agents, or the route's name where nobody was called.
    """
    made = yield from progress(tool, events)
    text = answer_text(made.report) if made.called else made.choice.route
    yield from (tool.create_text_message(piece) for piece in pieces(plain(text)))
    for name, value in router_variables(made).items():
        yield tool.create_variable_message(name, value)


def router_variables(made: RouterReport) -> dict[str, Any]:
    """Return every variable of :data:`ROUTER_VARIABLES` in its place; each fits into one message to Dify's daemon.

    A confidence that is not known is 0: Dify 1.9 refuses a variable that is None.
    """
    choice, report = made.choice, made.report
    said = choice.data()
    values = {
        "route": choice.route,
        "strategy": choice.by,
        "confidence": 0.0 if choice.confidence is None else choice.confidence,
        "reason": plain(choice.reason)[:LINE_CHARS],
        "alternatives": fitted(plain(said["alternatives"]))[0],
        "passed_over": list(choice.passed_over),
        "answer": plain(report.answer)[:_ANSWER_CHARS] if made.called else "",
        "results": fitted([result_entry(result) for result in report.results])[0],
        "errors": fitted([error_entry(r, r.error) for r in report.errors if r.error is not None])[0],
        "usage": usage_entry(report.usage),
        "warnings": fitted(plain(list(report.warnings)))[0],
        "trace_id": report.trace_id,
        "run_id": report.run_id,
    }
    return {name: values[name] for name in ROUTER_VARIABLES}
