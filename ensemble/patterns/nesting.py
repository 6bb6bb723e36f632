"""``steps`` inside a step: a plan whose answer is the step's."""

from __future__ import annotations

from dataclasses import replace

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult
from ensemble.patterns.moves import Made, Move, Part, Setting, failed, first_failure, succeeded
from ensemble.plan.answer import compose
from ensemble.plan.groups import Nested

__all__ = ["NestedPattern"]


class NestedPattern:
    """One nested plan while it runs."""

    def __init__(self, group: Nested, setting: Setting) -> None:
        """Begin before its first step."""
        self._plan = group.plan
        self._setting = setting
        self._names = {step.id: f"{setting.id}/{step.id}" for step in group.plan.steps}
        self._results: dict[str, StepResult] = {}

    def begin(self) -> Move:
        """Give out all steps; each waits for those it depends on."""
        parts = []
        for step in self._plan.steps:
            before = tuple(self._names[name] for name in step.depends_on if name in self._names)
            made = replace(step, id=self._names[step.id], depends_on=before)
            parts.append(Part(step=made, names=self._names, plan=self._plan))
        return tuple(parts)

    def heard(self, result: StepResult) -> Move:
        """Note how a step ended; make the answer once all have."""
        self._results[result.step] = result
        if self._setting.fail_fast and result.error is not None:
            return failed("A step failed, and on_failure is fail_fast.", result)
        if len(self._results) < len(self._names):
            return ()
        in_order = [self._results[name] for name in self._names.values()]
        wrong = first_failure(in_order)
        if not any(map(succeeded, in_order)) and wrong is not None:
            return failed("No step succeeded.", wrong)
        left = [
            name
            for name, full in self._names.items()
            if self._results[full].status is StepStatus.SKIPPED and self._results[full].error is None
        ]
        answer, warnings = compose(self._plan, self._setting.scope(self._names, {}), left)
        for warning in warnings:
            self._setting.warn(f"{self._setting.id}: {warning}")
        data = {name: self._results[full].text for name, full in self._names.items() if succeeded(self._results[full])}
        return Made(text=answer, data=data, incomplete=wrong is not None)
