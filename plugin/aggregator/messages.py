"""From an aggregated result to what a workflow can read: one text and the declared variables."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ensemble.aggregate.results import Result
from ensemble.contract.plain import plain
from ensemble.engine.events import Event
from plugin.aggregator.one_result import Aggregated
from plugin.messages import Messenger, progress
from plugin.outputs import usage_entry
from plugin.sizing import fitted, pieces

__all__ = ["AGGREGATOR_VARIABLES", "aggregator_messages", "aggregator_variables"]

AGGREGATOR_VARIABLES = (
    "status", "data", "tokens", "kept", "cut", "dropped", "confidence", "sources", "results", "usage", "warnings",
    "trace_id", "run_id",
)  # fmt: skip
"""Every variable sent at the end; *progress* is streamed before."""


def aggregator_messages[M](tool: Messenger[M], events: Generator[Event, None, Aggregated]) -> Generator[M]:
    """Yield what the workflow sees: progress while an agent is asked, then the text, then every variable."""
    made = yield from progress(tool, events)  # an agent's own text is shortened to the limit before it is sent
    yield from (tool.create_text_message(piece) for piece in pieces(plain(made.text)))
    for name, value in aggregator_variables(made).items():
        yield tool.create_variable_message(name, value)


def aggregator_variables(made: Aggregated) -> dict[str, Any]:
    """Return every variable of :data:`AGGREGATOR_VARIABLES` in its place; each fits into one message to Dify's daemon.

    A confidence that is not known is 0: Dify 1.9 refuses a variable that is None.
    """
    (data,), cut = fitted([plain(made.data)]) if made.data else ([{}], None)
    results, results_cut = fitted([_entry(result, made) for result in made.results])
    sources, _ = fitted(plain(made.sources))
    notes = [
        *made.warnings,
        *(_CUT_NOTE.format(name) for name, was in (("data", cut), ("results", results_cut)) if was),
    ]
    values = {
        "status": str(made.status),
        "data": data,
        "tokens": made.tokens,
        "kept": plain(made.kept),
        "cut": plain(made.cut),
        "dropped": plain(made.dropped),
        "confidence": 0.0 if made.confidence is None else made.confidence,
        "sources": sources,
        "results": results,
        "usage": usage_entry(made.usage),
        "warnings": fitted(plain(notes))[0],
        "trace_id": made.trace_id,
        "run_id": made.run_id,
    }
    return {name: values[name] for name in AGGREGATOR_VARIABLES}


_CUT_NOTE = "The variable {} is too long for one message to Dify: texts in it were cut. The text itself is whole."


def _entry(result: Result, made: Aggregated) -> dict[str, Any]:
    """Return one entry of *results*; a confidence that is not known is left out."""
    fate = "kept" if result.name in made.kept else "cut" if result.name in made.cut else "dropped"
    entry: dict[str, Any] = {"name": result.name, "fate": fate, "text": result.text, "data": result.data}
    if result.confidence is not None:
        entry["confidence"] = result.confidence
    return dict(plain({**entry, "sources": list(result.sources)}))
