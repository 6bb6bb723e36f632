"""A thousand generated plans, good and bad: good ones run as a plain model of the semantics says, bad ones name it all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.outcomes import RunStatus
from ensemble.plan.faults import PlanError
from ensemble.plan.reading.plan import read_plan
from tests.ensemble.engine.kit import Scripted, bad, good, play

SUCCEEDED, FAILED, SKIPPED, LEFT = "succeeded", "failed", "skipped", "left out"


@dataclass(frozen=True)
class Drawn:
    """One step as it was drawn: how it is written, and how its agent behaves."""

    name: str
    after: tuple[str, ...]
    join: str
    quorum: int
    wanted: bool
    """Whether its own condition holds."""
    failures: int
    """How often its agent fails before it succeeds."""
    retries: int

    def written(self) -> dict[str, Any]:
        join: Any = {"quorum": self.quorum} if self.join == "quorum" else self.join
        step: dict[str, Any] = {"id": self.name, "agent": self.name, "retry_times": self.retries}
        if self.after:
            step |= {"depends_on": list(self.after), "join": join}
        if not self.wanted:
            step["when"] = "{{ start.one }} > 5"
        return step


@st.composite
def teams(draw: st.DrawFn) -> list[Drawn]:
    """Draw steps that wait for earlier ones only."""
    drawn: list[Drawn] = []
    for number in range(draw(st.integers(1, 9))):
        names = [step.name for step in drawn]
        after = tuple(draw(st.lists(st.sampled_from(names), max_size=4, unique=True))) if names else ()
        drawn.append(
            Drawn(
                name=f"s{number}",
                after=after,
                join=draw(st.sampled_from(["all_success", "all_done", "any", *(["quorum"] if after else [])])),
                quorum=draw(st.integers(1, max(1, len(after)))),
                wanted=draw(st.integers(0, 5)) > 0,
                failures=draw(st.sampled_from([0, 0, 0, 1, 2])),
                retries=draw(st.integers(0, 1)),
            )
        )
    return drawn


def meant(team: list[Drawn]) -> dict[str, str]:
    """The semantics in plain words: how each step ends if nobody cancels it."""
    ends: dict[str, str] = {}
    for step in team:
        counted = [ends[name] for name in step.after if ends[name] != LEFT]
        successes = counted.count(SUCCEEDED)
        needed = {"all_success": len(counted), "quorum": step.quorum}.get(step.join, 1)
        if step.after and not counted:
            ends[step.name] = LEFT
        elif counted and successes < needed:
            ends[step.name] = SKIPPED
        elif not step.wanted:
            ends[step.name] = LEFT
        else:
            ends[step.name] = SUCCEEDED if step.failures <= step.retries else FAILED
    return ends


@dataclass
class Diary:
    """What happened in which order, over all agents of a run."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def agent(self, step: Drawn) -> Agent:
        """Return the step's agent, which writes down when it begins and ends."""

        def line(reply: Reply) -> Any:
            def act(_call: Call, _scope: CallScope) -> Reply:
                with self.lock:
                    self.lines.append(("begin", step.name))
                    self.lines.append((reply.outcome.value, step.name))
                return reply

            return act

        return Scripted(step.name, [*(line(bad()) for _ in range(step.failures)), line(good(step.name))])

    def succeeded_before(self, name: str) -> set[str]:
        """Return the steps that had succeeded when *name* first began."""
        first = self.lines.index(("begin", name))
        return {other for word, other in self.lines[:first] if word == SUCCEEDED}


def shown(status: str) -> str:
    return SKIPPED if status == LEFT else status


@settings(max_examples=600, deadline=None)
@given(teams(), st.integers(1, 4))
def test_a_good_plan_runs_as_the_plain_model_says(team: list[Drawn], width: int) -> None:
    """Statuses, attempts, order and the run's own status; a step that nothing needs any more may be cancelled."""
    diary = Diary()
    agents: Mapping[str, Agent] = {step.name: diary.agent(step) for step in team}
    plan = {"steps": [step.written() for step in team]}

    played = play(plan, agents, inputs={"one": 1}, max_parallel=width)

    ends, statuses = meant(team), played.statuses()
    waiting = {name: [step for step in team if name in step.after] for name in ends}
    for step in team:
        early = bool(waiting[step.name]) and all(each.join in {"any", "quorum"} for each in waiting[step.name])
        assert statuses[step.name] in {shown(ends[step.name]), *(["cancelled"] if early else [])}
        result = played.by_step[step.name]
        called = statuses[step.name] in {SUCCEEDED, FAILED}
        assert not called or result.attempts == min(step.failures, step.retries) + 1
        assert (result.attempts == 0) or step.wanted
        if result.attempts:
            succeeded = len(diary.succeeded_before(step.name) & set(step.after))
            counted = [name for name in step.after if ends[name] != LEFT]
            assert succeeded >= {"all_success": len(counted), "quorum": step.quorum}.get(step.join, bool(step.after))
    errors = [result for result in played.report.results if result.error is not None]
    best = RunStatus.PARTIAL if errors else RunStatus.SUCCEEDED
    assert played.report.status is (best if SUCCEEDED in statuses.values() else RunStatus.FAILED)


FAULTS: dict[str, tuple[str, Any]] = {
    "agent": ("agent", "nobody at all"),
    "timeout": ("timeout", "soon"),
    "retry_times": ("retry_times", -1),
    "join": ("join", "some"),
    "depends_on": ("depends_on", ["nowhere"]),
    "when": ("when", {"operator": "likes"}),
    "colour": ("colour", "red"),
}
"""What can be written wrongly in a step: the field, and a value it can't have."""


@settings(max_examples=400, deadline=None)
@given(teams(), st.data())
def test_a_bad_plan_names_every_fault_and_shows_no_traceback(team: list[Drawn], data: st.DataObject) -> None:
    """Each fault by its own field, all at once."""
    steps = [step.written() for step in team]
    wrong: set[str] = set()
    for number, step in enumerate(steps):
        for name in data.draw(st.lists(st.sampled_from(sorted(FAULTS)), max_size=3, unique=True)):
            field_name, value = FAULTS[name]
            step[field_name] = value
            wrong.add(f"steps[{number}].{field_name}")
    if not wrong:
        read_plan({"steps": steps}, known=[step.name for step in team], inputs={"one": 1})
        return

    try:
        read_plan({"steps": steps}, known=[step.name for step in team], inputs={"one": 1})
    except PlanError as error:
        named = [fault.field for fault in error.faults]
    else:
        raise AssertionError("it was read")

    assert all(any(name.startswith(path) for name in named) for path in wrong), (wrong, named)
