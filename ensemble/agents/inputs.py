"""What an agent is given: from the app's declared variables and the call to ``query`` and ``inputs``.

Pure. Dify drops inputs an app does not declare without a word, wants text for text variables, and, streaming, answers
what it refuses with 300 s of silence; so everything that can be known beforehand is said before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.agents.files import as_files
from ensemble.agents.parents import PARENT_INPUT
from ensemble.agents.port import Call, Reply
from ensemble.contract.outcomes import Outcome

__all__ = ["CHAT_MODES", "Given", "Variable", "fit", "parse_form"]

CHAT_MODES = frozenset({"chat", "agent-chat", "advanced-chat"})
"""App modes that are asked with a ``query`` and answer in a conversation."""
_TASK_NAMES = ("task", "query", "question", "input", "text", "topic", "prompt")
"""Which declared text variable takes the task, the first of these."""
_TEXT_KINDS = frozenset({"text-input", "paragraph"})
_FILE_KINDS = frozenset({"file", "file-list"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One input an app declares."""

    name: str
    kind: str
    """Dify's word: ``text-input``, ``paragraph``, ``select``, ``number``, ``checkbox``, ``file``, ``json_object``…"""
    required: bool = False
    max_length: int | None = None
    """Of a text, in characters."""
    options: tuple[str, ...] = ()
    """What a ``select`` accepts."""

    @property
    def is_text(self) -> bool:
        """Whether any text may be put in."""
        return self.kind in _TEXT_KINDS

    def __str__(self) -> str:
        """Return the variable as messages list it: ``text (paragraph, required)``."""
        return f"{self.name} ({self.kind}{', required' if self.required else ''})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What goes into the request."""

    query: str
    """Empty for workflow and completion apps."""
    inputs: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default=())


def parse_form(parameters: Mapping[str, Any]) -> tuple[Variable, ...]:
    """Read ``GET /v1/parameters``: ``{user_input_form: [{"paragraph": {variable, required, max_length, …}}, …]}``."""
    form = parameters.get("user_input_form")
    entries = [(kind, spec) for item in form if isinstance(item, dict) for kind, spec in item.items()] if form else []
    return tuple(_variable(kind, spec) for kind, spec in entries if isinstance(spec, dict) and spec.get("variable"))


def fit(mode: str, variables: Sequence[Variable], call: Call, subject: str) -> Given | Reply:
    """Decide what an app of this *mode* is given, or return the reply that says why that can't be decided.

    Chat-like apps get the call's query, or the step's input ``query`` where the app declares no such variable; declared
    variables come from the step's inputs, then from the run's. Workflow and completion apps get the step's inputs; a
    step without any gives the task to the one variable that is plainly meant for it, and required ones that are still
    open come from the run's inputs. What nothing else fills comes from the inputs fixed for the agent.

    An app whose *mode* is not known yet ("") is given both: the query, and the variable a workflow app would get it in.
    Nothing is refused then, for the app itself says what is missing.

    The variable ``ensemble_parent`` is never taken for the task; it gets the call's token, unless the step or the agent
    has an input of that name.
    """
    call, warnings = _with_token(variables, call, subject)
    given = _fit(mode, variables, call, subject)
    return replace(given, warnings=(*warnings, *given.warnings)) if warnings and isinstance(given, Given) else given


def _with_token(variables: Sequence[Variable], call: Call, subject: str) -> tuple[Call, tuple[str, ...]]:
    """Return the call with its token among the inputs of an app that wants it, and what there is to warn of."""
    wanted = next((variable for variable in variables if variable.name == PARENT_INPUT and variable.is_text), None)
    if wanted is None:
        return call, ()
    # The run's own inputs may hold the token by which this run was told of its parent: that is not the app's.
    run_inputs = {name: value for name, value in call.run_inputs.items() if name != PARENT_INPUT}
    call = replace(call, run_inputs=run_inputs)
    if not call.parent or PARENT_INPUT in (call.inputs or {}) or PARENT_INPUT in call.fixed_inputs:
        return call, ()
    if wanted.max_length is not None and wanted.max_length < len(call.parent):
        short = (
            f"{subject}: its input {PARENT_INPUT} takes {wanted.max_length} characters and needs {len(call.parent)}, so it "
            "was left empty: runs inside it have a trace and a budget of their own. Raise its max length in the app."
        )
        return call, (short,)
    return replace(call, fixed_inputs={**call.fixed_inputs, PARENT_INPUT: call.parent}), ()


def _fit(mode: str, variables: Sequence[Variable], call: Call, subject: str) -> Given | Reply:
    declared = {variable.name: variable for variable in variables}
    own, fixed = dict(call.inputs or {}), _known(call.fixed_inputs)
    if not mode:
        return _fit_unknown(variables, declared, call)
    if mode in CHAT_MODES:
        query = call.query
        if "query" in own and "query" not in declared:
            query = _as_text(own.pop("query"))
        if not query:
            return _rejected(f"{subject} is asked with a query, and the query is empty. Write a task.")
        values = {**fixed, **_known(call.run_inputs), **_known(own)}
        return _checked(query, {**fixed, **own}, values, declared, subject)
    if call.inputs is not None:
        return _checked("", {**fixed, **own}, {**fixed, **_known(own)}, declared, subject)
    target = _target(variables, fixed)
    if target is None:
        return _rejected(_no_target(variables, subject))
    values = {**fixed, **_open_ones(variables, call), target.name: call.query}
    return _checked("", fixed, values, declared, subject)


def _fit_unknown(variables: Sequence[Variable], declared: Mapping[str, Variable], call: Call) -> Given:
    """Give an app of unknown mode what suits both kinds; Dify ignores the query where an app takes none."""
    fixed = _known(call.fixed_inputs)
    values = {**fixed, **_open_ones(variables, call), **_known(call.inputs or {})}
    target = _target(variables, fixed) if call.inputs is None else None
    if target is not None and (target.required or _fault(target, call.query) is None):
        values[target.name] = call.query
    inputs = {name: _converted(declared[name], value) for name, value in values.items() if name in declared}
    return Given(query=call.query, inputs=inputs)


def _open_ones(variables: Sequence[Variable], call: Call) -> dict[str, Any]:
    given = _known(call.run_inputs)
    return {
        variable.name: given[variable.name] for variable in variables if variable.required and variable.name in given
    }


def _target(variables: Sequence[Variable], fixed: Mapping[str, Any]) -> Variable | None:
    """Return the variable the task goes into: rather one that is not filled already."""
    return _task_variable([v for v in variables if v.name not in fixed]) or _task_variable(variables)


def _task_variable(variables: Sequence[Variable]) -> Variable | None:
    texts = [variable for variable in variables if variable.is_text and variable.name != PARENT_INPUT]
    required = [variable for variable in texts if variable.required]
    named = [variable for name in _TASK_NAMES for variable in texts if variable.name == name]
    return next((found[0] for found in (named[:1], required, texts) if len(found) == 1), None)


def _checked(
    query: str, own: Mapping[str, Any], values: Mapping[str, Any], declared: Mapping[str, Variable], subject: str
) -> Given | Reply:
    """Keep what is declared, as the app wants it; *own* is what the step wrote, whose strays deserve a warning."""
    inputs = {name: _converted(declared[name], value) for name, value in _known(values).items() if name in declared}
    faults = [fault for variable in declared.values() if (fault := _fault(variable, inputs.get(variable.name)))]
    if faults:
        missing = any(variable.required and inputs.get(variable.name) is None for variable in declared.values())
        example = f" {_mapping(list(declared.values()))}" if missing else ""
        return _rejected(f"{subject}: {' '.join(faults)} {_listing(declared.values())}{example}")
    strays = sorted(name for name in own if name not in declared)
    warnings: tuple[str, ...] = ()
    if strays:
        names = ", ".join(strays)
        them = "it" if len(strays) == 1 else "them"
        warnings = (f"{subject} does not declare {names}, so Dify drops {them}. {_listing(declared.values())}",)
    return Given(query=query, inputs=inputs, warnings=warnings)


def _fault(variable: Variable, value: Any) -> str | None:
    if value is None:
        return f"Its input {variable.name!r} is required and missing." if variable.required else None
    if variable.is_text and variable.max_length and len(value) > variable.max_length:
        return f"Its input {variable.name!r} takes {variable.max_length} characters, and this has {len(value)}."
    if variable.kind == "select" and variable.options and value not in variable.options:
        return f"Its input {variable.name!r} must be one of {', '.join(variable.options)}."
    return None


def _converted(variable: Variable, value: Any) -> Any:
    if variable.kind in _FILE_KINDS:
        files = as_files(value)
        # A list of one is a file, and a file a list of one: plans and variables write either.
        if variable.kind == "file-list":
            return files if isinstance(files, list) else [files]
        return files[0] if isinstance(files, list) and len(files) == 1 else files
    return _as_text(value) if variable.is_text or variable.kind == "select" else value


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nulls: to Dify a null is an input that was not given."""
    return {name: value for name, value in values.items() if value is not None}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _variable(kind: str, spec: Mapping[str, Any]) -> Variable:
    length, options = spec.get("max_length"), spec.get("options")
    return Variable(
        name=str(spec["variable"]),
        kind=str(spec.get("type") or kind),
        required=spec.get("required") is True,
        max_length=length if isinstance(length, int) and length > 0 else None,
        options=tuple(str(option) for option in options) if isinstance(options, list) else (),
    )


def _listing(variables: Iterable[Variable]) -> str:
    listed = ", ".join(str(variable) for variable in variables)
    return f"It declares {listed}." if listed else "It declares no variables."


def _no_target(variables: Sequence[Variable], subject: str) -> str:
    if not variables:
        fix = "Add a text variable named task to its Start node, or give the step `inputs: {}` to run it without."
        return f"{subject} declares no variables, so it can't be given the task. {fix}"
    return f"{subject} has no variable that is plainly meant for the task. {_listing(variables)} {_mapping(list(variables))}"


def _mapping(variables: Sequence[Variable]) -> str:
    wanted = [variable for variable in variables if variable.required] or variables
    mapping = ", ".join(f"{v.name}: {'"{{ task }}"' if v.is_text else '…'}" for v in wanted)
    return f"Write into the step which gets what, for example `inputs: {{{mapping}}}`."


def _rejected(message: str) -> Reply:
    return Reply(outcome=Outcome.REJECTED, message=message[:4000], sent=False)
