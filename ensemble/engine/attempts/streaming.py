"""Agents' text as it comes: in lines for those who watch, and as the run's answer where it is that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ensemble.engine.events import AnswerText
from ensemble.engine.state import RunState
from ensemble.engine.steps import StepRun
from ensemble.plan.answer import answering_step

__all__ = ["Streaming"]

LINE_CHARS = 200
"""How long a line of an agent's text grows before it is told."""
LINE_S = 1.0
"""How long a line that is not full waits for more."""
SHOWN_CHARS = 64 * 1024
"""How much of one step's text is told line by line; its result holds all."""
BROKEN = (
    "The text that was streamed into 'answer' is not the answer: an attempt had begun to speak and another one "
    "answered. The output 'text' holds the whole answer."
)


@dataclass(slots=True)
class _Line:
    text: str = ""
    since_s: float = field(default_factory=time.monotonic)
    shown: int = 0


class Streaming:
    """Turns pieces of text into events of the run of *state*."""

    def __init__(self, state: RunState) -> None:
        """Begin with nothing said."""
        self._state = state
        self._answering = answering_step(state.request.plan)
        self._lines: dict[str, _Line] = {}
        self._answer: list[str] = []
        self._speaker: str | None = None
        """The ticket of the attempt whose text is the streamed answer."""

    def wish(self, step: StepRun) -> bool | None:
        """Return whether the next attempt at *step* shall stream; None: as its transport likes best.

        What follows an attempt that has begun to speak as the answer does not: there is no taking back.
        """
        return False if step.step.id == self._answering and self._speaker is not None else step.step.stream

    def hear(self, step: StepRun, ticket: str, piece: str) -> None:
        """Take a piece of what *step*'s attempt says."""
        if step.step.stream is False:
            return
        self._show(step.step.id, piece)
        if step.step.id == self._answering and self._speaker in (None, ticket):
            self._speaker = ticket
            self._answer.append(piece)
            self._state.news.append(AnswerText(piece))

    def end(self, step: StepRun) -> None:
        """Tell what is left of the attempt's last line."""
        line = self._lines.get(step.step.id)
        if line is not None:
            self._tell(step.step.id, line, line.text)
            line.text = ""

    def judge(self, answer: str) -> None:
        """Warn if what was streamed is not how *answer* begins."""
        if self._answer and not answer.startswith("".join(self._answer)):
            self._state.warn(BROKEN)

    def _show(self, name: str, piece: str) -> None:
        line = self._lines.setdefault(name, _Line())
        if not line.text:
            line.since_s = time.monotonic()
        *whole, rest = (line.text + piece).split("\n")
        for text in whole:
            self._tell(name, line, text)
        while len(rest) > LINE_CHARS:
            end = rest.rfind(" ", 0, LINE_CHARS) + 1 or LINE_CHARS
            self._tell(name, line, rest[:end])
            rest = rest[end:]
        if rest and time.monotonic() - line.since_s >= LINE_S:
            self._tell(name, line, rest)
            rest = ""
        line.text = rest

    def _tell(self, name: str, line: _Line, text: str) -> None:
        text = text.strip()
        if text and line.shown < SHOWN_CHARS:
            line.shown += len(text)
            more = "" if line.shown < SHOWN_CHARS else " … (the rest is not shown here)"
            self._state.say(f"{name}: {text}{more}")
