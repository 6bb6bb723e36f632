"""``loop``: an answer, a look at it, a better answer, until it is good enough, no better, or the rounds are used up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ensemble.contract.results import StepResult
from ensemble.patterns.moves import Made, Move, Part, Setting, failed, succeeded
from ensemble.plan.conditions import evaluate
from ensemble.plan.groups import ANSWER, APPROVED, CRITIC, ROUND, ForEach, Loop, Managed, Nested, Race, Vote
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.model import Step

__all__ = ["LoopPattern"]

_ASKED = (
    f"Judge the answer below. If nothing has to change, reply {APPROVED} and nothing else. Otherwise say what has to "
    "change, and why."
)
_EVER = Join(JoinKind.ALL_DONE, 0)
_WRAPPING = " \t\r\n*_#>\"'`"


class LoopPattern:
    """One ``loop`` while it runs."""

    def __init__(self, group: Loop, setting: Setting) -> None:
        """Begin before the first round."""
        self._group = group
        self._setting = setting
        self._round = 0
        self._best: StepResult | None = None
        """The newest answer."""
        self._judgement: StepResult | None = None
        self._said: set[str] = set()

    def begin(self) -> Move:
        """Ask for the first answer."""
        return self._next_round()

    def heard(self, result: StepResult) -> Move:
        """Note an answer or what the critic says of it."""
        return self._judged(result) if result.step == self._critic_id() else self._answered(result)

    def _maker_id(self, number: int | None = None) -> str:
        return f"{self._setting.id}[{self._round if number is None else number}]"

    def _critic_id(self, number: int | None = None) -> str:
        return f"{self._maker_id(number)}.{CRITIC}"

    def _next_round(self) -> Move:
        before, self._round = self._round, self._round + 1
        each = replace(self._group.each, id=self._maker_id())
        if not before:
            return (Part(step=each, local={ANSWER: None, CRITIC: None, ROUND: 1}),)
        names = {ANSWER: self._maker_id(before)}
        local: dict[str, Any] = {ROUND: self._round}
        if self._judgement is None:
            local[CRITIC] = None
        else:
            names[CRITIC] = self._critic_id(before)
        step = replace(_given(each, tuple(names)), depends_on=tuple(names.values()), join=_EVER)
        return (Part(step=step, names=names, local=local),)

    def _answered(self, result: StepResult) -> Move:
        if not succeeded(result):
            if self._best is None:
                return failed("The first round gave no answer.", result)
            why = "" if result.error is None else f" ({result.error.message})"
            self._setting.warn(f"{self._setting.id}: round {self._round} gave no answer{why}; the one before is taken.")
            return self._made(self._best, self._round - 1, met=False, incomplete=True)
        text = result.text.strip()
        same, self._best = text in self._said, result
        self._said.add(text)
        if same:
            self._setting.warn(
                f"{self._setting.id}: round {self._round} gave the same answer again, so it was the last."
            )
            return self._made(result, self._round, met=False)
        if self._group.critic is None:
            return self._end_of_round()
        critic = replace(self._group.critic, id=self._critic_id(), depends_on=(self._maker_id(),), join=_EVER)
        if critic.inputs is None and critic.query is None:
            critic = replace(critic, carries=(ANSWER,))
        task = None if self._group.until is not None else f"{self._setting.task}\n\n{_ASKED}"
        names = {ANSWER: self._maker_id()}
        return (Part(step=critic, names=names, local={ROUND: self._round, CRITIC: None}, task=task),)

    def _judged(self, result: StepResult) -> Move:
        best = self._best
        if not succeeded(result) and best is not None:
            why = "" if result.error is None else f" ({result.error.message})"
            self._setting.warn(f"{self._setting.id}: the critic had no word for round {self._round}{why}.")
            return self._made(best, self._round, met=False, incomplete=True)
        self._judgement = result
        return self._end_of_round()

    def _end_of_round(self) -> Move:
        best = self._best
        if best is None:
            return ()
        if self._met():
            return self._made(best, self._round, met=True)
        if self._round < self._group.max_rounds:
            return self._next_round()
        self._setting.warn(f"{self._setting.id}: not met after {self._round} rounds; the last answer is taken.")
        return self._made(best, self._round, met=False)

    def _met(self) -> bool:
        if self._group.until is None:
            said = "" if self._judgement is None else self._judgement.text
            return said.lstrip(_WRAPPING).upper().startswith(APPROVED)
        names = {ANSWER: self._maker_id()} | ({CRITIC: self._critic_id()} if self._group.critic is not None else {})
        holds, warnings = evaluate(self._group.until, self._setting.scope(names, {ROUND: self._round}))
        for warning in warnings:
            self._setting.warn(f"{self._setting.id}: until: {warning}")
        return holds

    def _made(self, answer: StepResult, rounds: int, *, met: bool, incomplete: bool = False) -> Made:
        about: Mapping[str, Any] = {"rounds": rounds, "met": met}
        if self._judgement is not None:
            about = {**about, "critic": self._judgement.text}
        return Made(
            text=answer.text,
            data={**answer.data, **about},
            confidence=answer.confidence,
            sources=answer.sources,
            incomplete=incomplete,
        )


def _given(step: Step, words: tuple[str, ...]) -> Step:
    """Return *step* given the results of *words* as well; of a group, the parts that begin it. Own texts stay alone."""
    match step.group:
        case None:
            own = step.inputs is not None or step.query is not None
            return step if own else replace(step, carries=(*step.carries, *words))
        case Vote() | Race() as group:
            parts = tuple(_given(part, words) for part in group.parts)
            return replace(step, group=replace(group, parts=parts))
        case Managed() as group:
            return replace(step, group=replace(group, settings=_given(group.settings, words)))
        case ForEach() as group:
            return replace(step, group=replace(group, each=_given(group.each, words)))
        case Nested(plan=plan):
            steps = tuple(each if each.depends_on else _given(each, words) for each in plan.steps)
            return replace(step, group=Nested(plan=replace(plan, steps=steps)))
        case Loop():
            return step  # its own rounds have these words
