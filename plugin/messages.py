"""From the engine's events to the messages of a tool call."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

from pydantic_core import to_json

from ensemble.contract.plain import plain
from ensemble.engine.events import AnswerText, Closing, Event, Progress, Report
from plugin.failing import hard_failure
from plugin.outputs import answer_text, too_long, variables, warnings_told
from plugin.sizing import pieces
from plugin.whole import MAX_FILE_BYTES, Keep, document, file_name

__all__ = ["LINE_CHARS", "Messenger", "messages", "progress"]

LINE_CHARS = 4096
"""Of one line of *progress*."""
HELD_CHARS = 16 * 1024
"""Of lines of *progress* that wait for each other, before they are sent all the same."""
LAST = "warnings"
"""The variable that the end of the telling may still change; the others are sent while the ledger is being told."""


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

    Where the results fit, all but the warnings is sent while the ledger is told of the run's end.

    No JSON message: an agent that calls a tool is given text and JSON glued together, and would pay for both.

    Raises:
        EnsembleError: the run failed as a whole; what was yielded before stays visible, outputs there are none.

    """
    lines, streamed, early = _Lines(), "", False
    report = None
    with closing(events):  # whoever stops listening stops the run
        while report is None:
            try:
                event = next(events)
            except StopIteration as end:
                report = end.value
                continue
            yield from lines.told(tool, event)
            if isinstance(event, AnswerText):
                text = plain(event.text)
                streamed += text
                yield from _streamed(tool, "answer", text)
            elif isinstance(event, Closing) and hard_failure(event.report) is None and not too_long(event.report):
                early = True
                yield from _answered(tool, event.report, streamed)
                yield from _sent(tool, variables(event.report), but=LAST)
    yield from lines.ended(tool)
    failure = hard_failure(report)
    if failure is not None:
        raise failure
    if early:
        yield tool.create_variable_message(LAST, warnings_told(report))
        return
    yield from _answered(tool, report, streamed)
    where = ""
    if too_long(report):
        report, where, file = _set_aside(report, keep)
        if file is not None:
            meta = {"mime_type": "application/json", "filename": file_name(report)}
            yield tool.create_blob_message(file, meta)
    yield from _sent(tool, variables(report, where))


def progress[M, R](tool: Messenger[M], events: Generator[Event, None, R]) -> Generator[M, None, R]:
    """Stream what happens as *progress*, but no agent's own text; return what the *events* end with."""
    lines = _Lines()
    with closing(events):  # whoever stops listening stops the run
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                yield from lines.ended(tool)
                made: R = end.value
                return made
            yield from lines.told(tool, event)


class _Lines:
    """What is streamed as *progress*: lines that come together go into one message."""

    def __init__(self) -> None:
        self._held = ""
        self._any = False

    def told[M](self, tool: Messenger[M], event: Event) -> Iterator[M]:
        """Take in *event*; yield what it says, and what was held back, unless more comes at once."""
        if isinstance(event, Progress):
            self._any = True
            self._held += f"{plain(event.line)[:LINE_CHARS]}\n"
            if event.more and len(self._held) < HELD_CHARS:
                return
        yield from _streamed(tool, "progress", self._held)
        self._held = ""

    def ended[M](self, tool: Messenger[M]) -> Iterator[M]:
        """Yield what is left to say; nothing at all would read as null, for the variable is declared."""
        yield from _streamed(tool, "progress", self._held, at_least_once=not self._any)


def _streamed[M](tool: Messenger[M], name: str, text: str, *, at_least_once: bool = False) -> Iterator[M]:
    """Stream *text* into a variable; one that is declared and never sent would read as null."""
    if not text and at_least_once:
        yield tool.create_stream_variable_message(name, "")
    for piece in pieces(text):
        yield tool.create_stream_variable_message(name, piece)


def _answered[M](tool: Messenger[M], report: Report, streamed: str) -> Iterator[M]:
    """Say what is still unsaid of the answer, and the whole of it as the text."""
    yield from _streamed(tool, "answer", _unsaid(plain(report.answer), streamed), at_least_once=not streamed)
    yield from (tool.create_text_message(piece) for piece in pieces(answer_text(report)))


def _sent[M](tool: Messenger[M], values: Mapping[str, Any], *, but: str = "") -> Iterator[M]:
    return (tool.create_variable_message(name, value) for name, value in values.items() if name != but)


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
