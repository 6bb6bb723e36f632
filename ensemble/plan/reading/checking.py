"""What is looked at once all steps of a plan are read: circles, its size, outputs that nobody declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ensemble.plan.faults import Faults
from ensemble.plan.groups import MAX_TIERS
from ensemble.plan.inside import depth_of, size_of
from ensemble.plan.model import Step
from ensemble.plan.reading.bounds import MAX_STEPS
from ensemble.plan.reading.cycles import find_cycles, in_words
from ensemble.plan.reading.fields import at
from ensemble.plan.templates import references

__all__ = ["check_cycles", "check_size", "unknown_outputs"]

_ALWAYS_THERE = frozenset({"text", "data", "status", "error"})


def check_cycles(steps: tuple[Step, ...], paths: Mapping[str, str], faults: Faults) -> None:
    """Note steps that wait for each other; *paths* says where each one stands."""
    for cycle in find_cycles({step.id: step.depends_on for step in steps}):
        fix = "Take one of these out of depends_on, or out of the texts that refer to it."
        faults.add(at(paths.get(cycle[0], ""), "depends_on"), f"A circle: {in_words(cycle)}.", fix)


def check_size(steps: tuple[Step, ...], faults: Faults) -> None:
    """Bound how deep and how many steps stand inside of steps."""
    if max(map(depth_of, steps), default=0) > MAX_TIERS:
        fix = f"Groups stand at most {MAX_TIERS} deep inside each other."
        faults.add("steps", "Its groups stand too deep inside each other.", fix)
    elif sum(map(size_of, steps)) > MAX_STEPS:
        faults.add("steps", "There are too many steps, those of groups included.", f"At most {MAX_STEPS}.")


def unknown_outputs(steps: tuple[Step, ...]) -> Iterator[str]:
    """Yield warnings where a step reads an output that another one does not declare, though it declares some."""
    declared = {step.id: {output.name for output in step.outputs} for step in steps if step.outputs}
    for step in steps:
        for reference in (*references(step.inputs), *references(step.query)):
            names = declared.get(reference.head)
            if names and reference.path and reference.path[0] not in {*names, *_ALWAYS_THERE}:
                listed = ", ".join(sorted(names))
                yield f"{{{{ {reference} }}}} is not among the declared outputs ({listed})."
