"""From the engine's events to the messages of a tool call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

from pydantic_core import to_json

from ensemble.contract.plain import plain
from ensemble.engine.events import AnswerText, Event, Progress, Report
from plugin.failing import hard_failure
from plugin.outputs import answer_text, too_long, variables
from plugin.sizing import pieces
from plugin.whole import MAX_FILE_BYTES, Keep, document, file_name

__all__ = ["LINE_CHARS", "Messenger", "messages", "progress"]

LINE_CHARS = 4096
"""Of one line of *progress*."""


class Messenger[M](Protocol):
    """The part of the SDK's ``Tool`` that makes messages."""

    def create_text_message(self, text: str) -> M:
        """Make a piece of the text output."""

    def create_variable_message(self, variable_name: str, variable_value: Any) -> M:
        """Make a variable."""

    def create_stream_variable_message(self, variable_name: str, variable_value: str) -> M:
        """Make a piece of a streamed variable."""

    def create_blob_message(self, blob: bytes, meta: dict[str, Any] | None = None) -> M:
        """Make a file."""


def messages[M](tool: Messenger[M], events: Generator[Event, None, Report], keep: Keep | None = None) -> Generator[M]:
    """Yield what the workflow sees: progress and answer while it runs, then the text, then every variable.

    The text is the truth: *answer* holds what was streamed, and the whole answer where nothing was. Results too long
    for a variable are given as a file too, and to *keep*.

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
                    yield from _streamed(tool, "answer", text)
                else:
                    told = f"{plain(event.line)[:LINE_CHARS]}\n"
                    yield tool.create_stream_variable_message("progress", told)
    if not told:
        # A declared variable that is never sent reads as null.
        yield tool.create_stream_variable_message("progress", "")
    failure = hard_failure(report)
    if failure is not None:
        raise failure
    yield from _streamed(tool, "answer", _unsaid(plain(report.answer), streamed), at_least_once=not streamed)
    yield from (tool.create_text_message(piece) for piece in pieces(answer_text(report)))
    where = ""
    if too_long(report):
        report, where, file = _set_aside(report, keep)
        if file is not None:
            meta = {"mime_type": "application/json", "filename": file_name(report)}
            yield tool.create_blob_message(file, meta)
    for name, value in variables(report, where).items():
        yield tool.create_variable_message(name, value)


def progress[M, R](tool: Messenger[M], events: Generator[Event, None, R]) -> Generator[M, None, R]:
    """Stream what happens as *progress*, but no agent's own text; return what the *events* end with."""
    told = False
    with closing(events):  # whoever stops listening stops the run
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                if not told:
                    # A declared variable that is never sent reads as null.
                    yield tool.create_stream_variable_message("progress", "")
                made: R = end.value
                return made
            if isinstance(event, Progress):
                told = True
                yield tool.create_stream_variable_message("progress", f"{plain(event.line)[:LINE_CHARS]}\n")


def _streamed[M](tool: Messenger[M], name: str, text: str, *, at_least_once: bool = False) -> Generator[M]:
    """Stream *text* into a variable; one that is declared and never sent would read as null."""
    if not text and at_least_once:
        yield tool.create_stream_variable_message(name, "")
    for piece in pieces(text):
        yield tool.create_stream_variable_message(name, piece)


def _unsaid(answer: str, streamed: str) -> str:
    """Return what is still to be streamed of *answer*; nothing where something else was, for that can't be taken back."""
    return answer[len(streamed) :] if answer.startswith(streamed) else ""


def _set_aside(report: Report, keep: Keep | None) -> tuple[Report, str, bytes | None]:
    """Keep the whole results; return the report with what is to be said about it, their reference, and the file."""
    whole = document(report)
    file = to_json(whole)
    fits = len(file) <= MAX_FILE_BYTES
    places, notes = [file_name(report)] if fits else [], []
    why = "no sidecar is configured" if keep is None else keep(report.run_id, whole)
    if why is None:
        places.append(f"/v1/results/{report.run_id}")
    else:
        notes.append(f"The whole results are not stored with the sidecar: {why}.")
    if not fits:
        notes.append(f"The whole results are no file either: they have {len(file):,} bytes, and Dify takes 30 MB.")
    return replace(report, warnings=(*report.warnings, *notes)), ", ".join(places), file if fits else None
