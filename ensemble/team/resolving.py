"""Templates outside a run: the same references a plan has, filled from results a program holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ensemble.contract.answers import text_of
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.plain import plain
from ensemble.contract.results import StepResult
from ensemble.engine.events import Report
from ensemble.plan.faults import Faults
from ensemble.plan.reading.texts import Texts
from ensemble.plan.rendering import Scope, render
from ensemble.plan.templates import BareWords

__all__ = ["resolve"]

type Results = Report | Iterable[StepResult] | Mapping[str, Any]


def resolve(template: Any, *, task: str = "", inputs: Mapping[str, Any] | None = None, results: Results = ()) -> Any:
    """Return *template* with its references filled: ``{{ task }}``, ``{{ start.name }}``, ``{{ step.output }}``.

    Texts in maps and lists are filled too. A template that is one reference keeps the type of what it refers to; inside a
    text, all but texts become JSON. A step without a result is null alone and nothing inside a text.

    Args:
        template: A text, or maps and lists of texts.
        task: What ``{{ task }}`` means.
        inputs: What ``{{ start.… }}`` refers to.
        results: How steps ended: a run's report, its results, or texts and maps of outputs by the step's name.

    Raises:
        PlanError: something in braces is no reference, or refers to no step among *results*.
        UnknownOutput: a step has a result but no output of that name.

    """
    steps = _by_step(results)
    faults = Faults()
    texts = Texts(BareWords(tuple(steps), tuple(inputs or ())), faults, [])
    read = texts.value(template, "template")
    faults.stop()
    value, _ = render(read, Scope(task=task, inputs=inputs or {}, steps=steps))
    return value


def _by_step(results: Results) -> dict[str, StepResult]:
    if isinstance(results, Report):
        results = results.results
    if isinstance(results, Mapping):
        return {str(name): _result(str(name), value) for name, value in results.items()}
    return {result.step: result for result in results}


def _result(name: str, value: Any) -> StepResult:
    if isinstance(value, StepResult):
        return value
    data = plain(value) if isinstance(value, Mapping) else {}
    text = text_of(data) if isinstance(value, Mapping) else value if isinstance(value, str) else None
    if text is None:
        data, text = {"result": plain(value)}, text_of({"result": plain(value)})
    return StepResult(step=name, agent=name, status=StepStatus.SUCCEEDED, text=text, data=data)
