"""``manage``: a manager splits the task, its team does the parts, it looks at the results, and goes on or answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ensemble.contract.results import StepResult
from ensemble.patterns.moves import Made, Move, Part, Setting, failed, first_failure, succeeded
from ensemble.patterns.replies import Answered, BadPlan, Given, NoObject, Subtask, read_reply
from ensemble.plan.groups import Executor, Managed
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.model import Step
from ensemble.plan.rendering import as_text, render

__all__ = ["ManagedPattern"]

_EVER = Join(JoinKind.ALL_DONE, 0)
_REASON_CHARS = 300


class ManagedPattern:
    """One manager and its team while they work."""

    def __init__(self, group: Managed, setting: Setting) -> None:
        """Begin before the manager was asked."""
        self._group = group
        self._setting = setting
        self._task = setting.task
        self._team = [executor.name for executor in group.executors]
        self._round = self._asks = 0
        self._complaint = ""
        """What was wrong with the manager's last reply; it is told once a round."""
        self._tasks: dict[str, tuple[Subtask, str]] = {}
        """What was given out, by id in the run, with the heading of its result."""
        self._open: set[str] = set()
        """Subtasks that have not ended."""
        self._given: set[tuple[str, str]] = set()
        self._results: dict[str, StepResult] = {}
        self._barren = False
        """Whether nothing came of the round before."""

    def begin(self) -> Move:
        """Ask the manager for the first time."""
        if self._group.settings.query is not None:
            query, warnings = render(self._group.settings.query, self._setting.scope({}, {}))
            for warning in warnings:
                self._setting.warn(f"{self._setting.id}: {warning}")
            self._task = as_text(query)
        return self._ask()

    def heard(self, result: StepResult) -> Move:
        """Note what the manager said or how a subtask ended."""
        if result.step == self._ask_id():
            return self._told(result)
        self._results[result.step] = result
        self._open.discard(result.step)
        if self._open:
            return ()
        barren, self._barren = self._barren, not any(succeeded(r) for r in self._of_round())
        if barren and self._barren:
            return self._rest("Two rounds in a row came to nothing.")
        return self._ask()

    def _ask_id(self) -> str:
        return f"{self._setting.id}/ask[{self._asks}]"

    def _of_round(self) -> list[StepResult]:
        prefix = f"{self._setting.id}/{self._round}."
        return [result for name, result in self._results.items() if name.startswith(prefix)]

    def _ask(self) -> Move:
        before = self._ask_id()
        self._asks += 1
        good = {name: heading for name, (_, heading) in self._tasks.items() if succeeded(self._results[name])}
        step = replace(
            self._group.settings,
            id=self._ask_id(),
            agent=self._group.manager,
            inputs=None,
            query=None,
            carries=(*self._group.settings.carries, *good),
            depends_on=(*([before] if self._asks > 1 else []), *self._tasks),
            join=_EVER,
            stream=False,
        )
        return (Part(step=step, task=self._question(), names={name: name for name in self._tasks}, headings=good),)

    def _question(self) -> str:
        left = self._group.max_rounds - self._round
        wrong = [
            f"- {heading}: {self._results[name].status}"
            + (f" - {' '.join(error.message.split())[:_REASON_CHARS]}" if (error := self._results[name].error) else "")
            for name, (_, heading) in self._tasks.items()
            if not succeeded(self._results[name])
        ]
        parts = [self._task, _team_of(self._group.executors), _how_to_answer(left, self._group.max_tasks)]
        if wrong:
            parts.append("\n".join(["### without a result", *wrong]))
        if self._complaint:
            parts.append(f"Your last reply can't be used. {self._complaint} Reply with the JSON object only.")
        if any(succeeded(result) for result in self._results.values()):
            parts.append("The results so far follow.")
        return "\n\n".join(parts)

    def _told(self, result: StepResult) -> Move:
        if not succeeded(result):
            return self._rest(f"{self._group.manager} gave no answer.", result)
        earlier = [subtask.id for subtask, _ in self._tasks.values()]
        try:
            said = read_reply(result.text, self._team, earlier, self._group.max_tasks)
        except NoObject as error:
            if self._complaint and any(succeeded(each) for each in self._results.values()) and "{" not in result.text:
                self._setting.warn(
                    f"{self._setting.id}: {self._group.manager} answered in words instead of JSON; they were taken."
                )
                return self._answer(Answered(result.text, {}), result)
            return self._complain(str(error))
        except BadPlan as error:
            return self._complain(str(error))
        if isinstance(said, Answered):
            return self._answer(said, result)
        return self._give_out(said)

    def _give_out(self, said: Given) -> Move:
        if self._round >= self._group.max_rounds:
            return self._complain("No more work can be given out. Answer with what there is.")
        work = {(subtask.agent, " ".join(subtask.input.split())) for subtask in said.subtasks}
        if work <= self._given:
            return self._complain("All of this was given out before. Give out other work, or answer.")
        self._given |= work
        self._complaint = ""
        self._round += 1
        ids = {subtask.id: name for name, (subtask, _) in self._tasks.items()}
        ids |= {subtask.id: f"{self._setting.id}/{self._round}.{subtask.id}" for subtask in said.subtasks}
        parts = []
        for subtask in said.subtasks:
            name = ids[subtask.id]
            self._tasks[name] = (subtask, f"{subtask.id} ({subtask.agent})")
            self._open.add(name)
            parts.append(self._part(name, subtask, ids))
        return tuple(parts)

    def _part(self, name: str, subtask: Subtask, ids: dict[str, str]) -> Part:
        executor = next(each for each in self._group.executors if each.name == subtask.agent)
        before = tuple(ids[each] for each in subtask.depends_on)
        team = None if executor.team is None else replace(executor.team, settings=_plain(executor.team.settings))
        step = replace(
            _plain(self._group.settings),
            id=name,
            agent="" if team is not None else subtask.agent,
            group=team,
            carries=before,
            depends_on=(self._ask_id(), *before),
        )
        if team is not None:
            step = replace(step, group=replace(team, settings=replace(team.settings, carries=before)))
        headings = {each: self._tasks[each][1] for each in before if each in self._tasks}
        return Part(step=step, task=subtask.input, names={each: each for each in before}, headings=headings)

    def _complain(self, problem: str) -> Move:
        if self._complaint:
            return self._rest(f"{self._group.manager}'s reply can't be used: {problem}")
        self._complaint = problem
        return self._ask()

    def _answer(self, said: Answered, result: StepResult) -> Made:
        about = {"rounds": self._round, "tasks": self._done()}
        lost = sum(not succeeded(each) for each in self._results.values())
        if lost:
            self._setting.warn(f"{self._setting.id}: {lost} of {len(self._results)} subtasks had no result.")
        return Made(text=said.text, data={**said.data, **about}, confidence=result.confidence, sources=result.sources)

    def _done(self) -> list[dict[str, str]]:
        return [
            {"id": subtask.id, "agent": subtask.agent, "status": self._results[name].status.value}
            for name, (subtask, _) in self._tasks.items()
            if name in self._results
        ]

    def _rest(self, why: str, because: StepResult | None = None) -> Made:
        """Return what there is where the manager comes to no answer: the results, one below the other."""
        good = [(name, heading) for name, (_, heading) in self._tasks.items() if self._has(name)]
        if not good:
            return failed(why, because or first_failure(self._results.values()))
        self._setting.warn(f"{self._setting.id}: {why} The results of its team are listed instead.")
        text = "\n\n".join(f"### {heading}\n\n{self._results[name].text}" for name, heading in good)
        return Made(text=text, data={"rounds": self._round, "tasks": self._done()}, incomplete=True)

    def _has(self, name: str) -> bool:
        return name in self._results and succeeded(self._results[name])


def _plain(settings: Step) -> Step:
    """Return *settings* without what they say of the manager's own question."""
    return replace(settings, inputs=None, query=None, carries=(), stream=None, outputs=())


def _team_of(executors: Sequence[Executor]) -> str:
    lines = [
        f"- {each.name}" + (f": {' '.join(each.description.split())}" if each.description else "") for each in executors
    ]
    return "\n".join(["### your team", *lines])


def _how_to_answer(rounds_left: int, most: int) -> str:
    answer = 'When the task can be answered, reply {"answer": "…"}.'
    if rounds_left <= 0:
        return f"### how to reply\nWith a JSON object and nothing else. No more work can be given out: {answer}"
    times = "once" if rounds_left == 1 else f"{rounds_left} times"
    return (
        "### how to reply\n"
        "With a JSON object and nothing else. To have work done, reply\n"
        '{"subtasks": [{"id": "facts", "agent": "one of your team", "input": "what to do, with all that has to be known '
        'for it", "depends_on": []}]}\n'
        "Subtasks run at the same time, unless one lists others in depends_on: it is then given their results. "
        f"You can give out work {times} more, up to {most} subtasks each time.\n{answer}"
    )
