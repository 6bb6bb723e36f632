"""From the engine's events to the messages of a tool call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol

from ensemble.contract.plain import plain
from ensemble.engine.events import AnswerText, Event, Report
from plugin.failing import hard_failure
from plugin.outputs import answer_text, variables
from plugin.sizing import pieces

__all__ = ["Messenger", "messages"]

_LINE_CHARS = 4096


class Messenger[M](Protocol):
    """The part of the SDK's ``Tool`` that makes messages."""

    def create_text_message(self, text: str) -> M:
        """Make a piece of the text output."""

    def create_variable_message(self, variable_name: str, variable_value: Any) -> M:
        """Make a variable."""

    def create_stream_variable_message(self, variable_name: str, variable_value: str) -> M:
        """Make a piece of a streamed variable."""


def messages[M](tool: Messenger[M], events: Generator[Event, None, Report]) -> Generator[M]:
    """Yield what the workflow sees: progress while it runs, then the text, then every variable.

    No JSON message: an agent that calls a tool is given text and JSON glued together, and would pay for both.

    Raises:
        EnsembleError: the run failed as a whole; what was yielded before stays visible, outputs there are none.

    """
    told = streamed = ""
    report = None
    with closing(events):  # whoever stops listening stops the run
        while report is None:
            try:
                event = next(events)
            except StopIteration as end:
                report = end.value
            else:
                if isinstance(event, AnswerText):
                    text = plain(event.text)
                    streamed += text
                    yield from (tool.create_text_message(piece) for piece in pieces(text))
                else:
                    told = f"{plain(event.line)[:_LINE_CHARS]}\n"
                    yield tool.create_stream_variable_message("progress", told)
    if not told:
        # A declared variable that is never sent reads as null.
        yield tool.create_stream_variable_message("progress", "")
    failure = hard_failure(report)
    if failure is not None:
        raise failure
    yield from (tool.create_text_message(piece) for piece in pieces(_unsaid(answer_text(report), streamed)))
    for name, value in variables(report).items():
        yield tool.create_variable_message(name, value)


def _unsaid(text: str, streamed: str) -> str:
    """Return what is still to be said of *text* once *streamed* has been."""
    if text.startswith(streamed):
        return text[len(streamed) :]
    # An attempt that had begun to answer was given up, and another one answered: the whole answer follows.
    return f"\n\n{text}"
