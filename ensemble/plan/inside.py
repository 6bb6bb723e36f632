"""What stands inside of groups: their steps, what their texts refer to, how deep and how many they are, whom they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ensemble.plan.conditions import condition_references
from ensemble.plan.groups import ANSWER, CRITIC, INDEX, ITEM, ROUND, ForEach, Group, Loop, Managed, Nested, Race, Vote
from ensemble.plan.model import Step
from ensemble.plan.templates import Reference, references

__all__ = ["callers_within", "depth_of", "described", "group_references", "nameless", "size_of", "steps_within"]


def steps_within(group: Group) -> tuple[Step, ...]:
    """Return the steps as written that parts of *group* are made from; none of a managed one, whose manager writes them."""
    match group:
        case ForEach():
            return (group.each,)
        case Loop():
            return (group.each, *filter(None, [group.critic]))
        case Vote() | Race():
            return group.parts
        case Nested():
            return group.plan.steps
        case Managed():
            return ()


def depth_of(step: Step) -> int:
    """Return how many groups stand inside each other in *step*, itself included; 0 for an agent's call."""
    if step.group is None:
        return 0
    if isinstance(step.group, Managed):
        return 1 + any(executor.team is not None for executor in step.group.executors)
    return 1 + max(map(depth_of, steps_within(step.group)), default=0)


def callers_within(step: Step) -> Iterator[Step]:
    """Yield the steps in *step*, itself included, that call an agent themselves."""
    if step.group is None:
        yield step
    else:
        for inner in steps_within(step.group):
            yield from callers_within(inner)


def size_of(step: Step) -> int:
    """Return how many steps are written in *step*, itself included."""
    return 1 if step.group is None else 1 + sum(map(size_of, steps_within(step.group)))


def nameless(step: Step) -> frozenset[str]:
    """Return the agents in *step* whom a manager would know by nothing but their names."""
    match step.group:
        case None:
            return frozenset()
        case Managed() as managed:
            return _nameless(managed)
        case group:
            return frozenset().union(*map(nameless, steps_within(group)))


def _nameless(managed: Managed) -> frozenset[str]:
    own = {each.name for each in managed.executors if each.team is None and not each.description}
    return frozenset(own).union(*(_nameless(each.team) for each in managed.executors if each.team is not None))


def described(step: Step, about: Mapping[str, str]) -> Step:
    """Return *step* with what *about* says of its :func:`nameless` agents."""
    match step.group:
        case None | Vote() | Race():
            return step
        case Managed() as managed:
            return replace(step, group=_described(managed, about))
        case ForEach() as group:
            return replace(step, group=replace(group, each=described(group.each, about)))
        case Loop() as group:
            return replace(step, group=replace(group, each=described(group.each, about)))
        case Nested(plan=plan):
            steps = tuple(described(each, about) for each in plan.steps)
            return replace(step, group=Nested(plan=replace(plan, steps=steps)))


def _described(managed: Managed, about: Mapping[str, str]) -> Managed:
    executors = tuple(
        replace(each, description=each.description or about.get(each.name, ""))
        if each.team is None
        else replace(each, team=_described(each.team, about))
        for each in managed.executors
    )
    return replace(managed, executors=executors)


def group_references(group: Group) -> tuple[Reference, ...]:
    """Return every reference in *group* that leads out of it."""
    own: frozenset[str] = frozenset()
    said: list[Reference] = []
    match group:
        case ForEach(items=items):
            own = frozenset({ITEM, INDEX})
            return (*references(items), *_leading_out(group, own))
        case Loop(until=until):
            own = frozenset({ANSWER, CRITIC, ROUND})
            said = [*condition_references(until)]
        case Race(good=condition):
            judged = [each for each in condition_references(condition) if each.head != ANSWER]
            return (*judged, *_leading_out(group, own))
        case Nested(plan=plan):
            own = frozenset(plan.by_id)
            said = [*references(plan.output)]
        case Managed(settings=settings):
            return references(settings.query)
        case Vote():
            pass
    return (*(each for each in said if each.head not in own), *_leading_out(group, own))


def _leading_out(group: Group, own: frozenset[str]) -> Iterator[Reference]:
    for step in steps_within(group):
        yield from (each for each in _step_references(step) if each.head not in own)


def _step_references(step: Step) -> Iterator[Reference]:
    yield from references(step.inputs)
    yield from references(step.query)
    yield from condition_references(step.when)
    if step.group is not None:
        yield from group_references(step.group)
