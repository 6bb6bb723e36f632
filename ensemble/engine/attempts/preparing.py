"""What a step's agent is given: the step's own inputs, or the task with the results it carries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ensemble.agents.port import Call
from ensemble.contract.outcomes import StepStatus
from ensemble.engine.carrying import carry
from ensemble.engine.scopes import Home, Seen
from ensemble.engine.state import RunState
from ensemble.plan.agents import AgentSpec
from ensemble.plan.conditions import evaluate
from ensemble.plan.model import Step
from ensemble.plan.rendering import Scope, as_text, render

__all__ = ["applies", "for_backup", "prepare", "scope_of"]


def scope_of(state: RunState, home: Home | None = None) -> Scope:
    """Return what templates can see now, at *home* or at the top: the task, the run's inputs, the results so far."""
    if home is None:
        return Scope(task=state.request.task, inputs=state.request.inputs, steps=state.by_step)
    steps = Seen(state.by_step, home)
    return Scope(task=home.task, inputs=state.request.inputs, steps=steps, local=home.values())


def applies(state: RunState, step: Step, home: Home) -> bool:
    """Return whether *step*'s own condition holds.

    Raises:
        UnknownOutput: the condition reads an output its step did not give.

    """
    if step.when is None:
        return True
    holds, warnings = evaluate(step.when, scope_of(state, home))
    state.warn(*warnings)
    return holds


def prepare(state: RunState, step: Step, home: Home) -> Call:
    """Return the call that *step* makes.

    Raises:
        UnknownOutput: a template reads an output its step did not give.

    """
    scope = scope_of(state, home)
    spec = state.request.plan.spec(step)
    return Call(
        query=_query(state, step, scope, home),
        inputs=None if step.inputs is None else _filled(state, dict(step.inputs), scope),
        fixed_inputs=_filled(state, dict(spec.inputs), scope),
        run_inputs=state.request.inputs,
        files=state.request.files,
        user=f"ens-{state.request.user}",
        trace_id=state.trace_id,
        asked=step.query is not None,
        outputs={output.name: output.type for output in step.outputs},
    )


def for_backup(state: RunState, call: Call, backup: AgentSpec, home: Home) -> Call:
    """Return *call* as the agent *backup* is given it: the same, but for the inputs that belong to the agent."""
    return replace(call, fixed_inputs=_filled(state, dict(backup.inputs), scope_of(state, home)))


def _query(state: RunState, step: Step, scope: Scope, home: Home) -> str:
    if step.query is not None:
        return as_text(_filled(state, step.query, scope))
    given = [(word, scope.steps[word]) for word in step.carries if word in scope.steps]
    results = [(home.heading(word, each), each.text) for word, each in given if each.status is StepStatus.SUCCEEDED]
    if not results:
        return scope.task
    carried = carry(scope.task, results, to=step.id, context=state.context)
    state.warn(*carried.warnings)
    return carried.text


def _filled(state: RunState, value: Any, scope: Scope) -> Any:
    filled, warnings = render(value, scope)
    state.warn(*warnings)
    return filled
