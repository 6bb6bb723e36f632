"""What a run answers, given how its steps ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult
from ensemble.plan.model import Plan
from ensemble.plan.rendering import Scope, UnknownOutput, as_text, render
from ensemble.plan.templates import START, TASK, references

__all__ = ["answering_step", "compose", "failure_lines", "sections"]

FAILED = frozenset(
    {
        StepStatus.FAILED,
        StepStatus.TIMED_OUT,
        StepStatus.REFUSED,
        StepStatus.CANCELLED,
        StepStatus.UNCERTAIN,
        StepStatus.INPUT_REQUIRED,
    }
)
"""A step that ended so has a line of its own under the answer; skipped ones follow from these."""


def compose(plan: Plan, scope: Scope, left: Collection[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Return the run's answer and warnings about it.

    The plan's ``output``, else the synthesizer, else the only leaf, else all leaves as sections. Where that has no
    result: every succeeded step none of whose dependents succeeded, as sections.

    Args:
        plan: The plan.
        scope: The run's task and inputs, and the results of all its steps.
        left: Steps that their ``when`` ruled out; a plan's leaf is looked for among the others.

    """
    results = scope.steps
    if plan.output is not None:
        read = {reference.head for reference in references(plan.output)} - {START, TASK}
        if not read or any(_succeeded(results, step_id) for step_id in read):
            try:
                value, warnings = render(plan.output, scope)
            except UnknownOutput as error:
                return _remains(plan, results), (f"output: {error}",)
            return as_text(value), tuple(f"output: {warning}" for warning in warnings)
        return _remains(plan, results), ()
    wanted = (plan.synthesizer,) if plan.synthesizer else tuple(leaf for leaf in plan.leaves() if leaf not in left)
    if not wanted or not all(_succeeded(results, step_id) for step_id in wanted):
        return _remains(plan, results), ()
    return results[wanted[0]].text if len(wanted) == 1 else sections(plan, wanted, results), ()


def answering_step(plan: Plan) -> str | None:
    """Return the step whose own text is the run's answer if it succeeds; None where there is no such one."""
    if plan.output is not None:
        return None
    leaves = plan.leaves()
    return plan.synthesizer or (leaves[0] if len(leaves) == 1 else None)


def sections(plan: Plan, step_ids: Iterable[str], results: Mapping[str, StepResult]) -> str:
    """Return the answers of the steps that have one, each under ``### <label>``."""
    parts = [
        f"### {plan.label(step_id)}\n\n{results[step_id].text}" for step_id in step_ids if _succeeded(results, step_id)
    ]
    return "\n\n".join(parts)


def failure_lines(plan: Plan, results: Mapping[str, StepResult]) -> tuple[str, ...]:
    """Return a line for each failed step, in plan order: who, how, and what to do."""
    lines = []
    for step in plan.steps:
        result = results.get(step.id)
        if result is not None and result.status in FAILED:
            why = " ".join(result.error.message.split()) if result.error else ""
            lines.append(f"{plan.label(step.id)}: {result.status.value}" + (f" - {why}" if why else ""))
    return tuple(lines)


def _remains(plan: Plan, results: Mapping[str, StepResult]) -> str:
    ends = [name for name in plan.working() if not any(_succeeded(results, after) for after in plan.dependents(name))]
    return sections(plan, ends, results)


def _succeeded(results: Mapping[str, StepResult], step_id: str) -> bool:
    result = results.get(step_id)
    return result is not None and result.status is StepStatus.SUCCEEDED
