"""Templates filled with what a run knows: its task, its inputs and the results of its steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.plain import read_json
from ensemble.contract.results import StepResult
from ensemble.plan.templates import START, TASK, Reference, Template, walk

__all__ = ["Scope", "UnknownOutput", "as_text", "render", "resolve"]

ANSWER_NAMES = frozenset({"text", "output", "answer", "result"})
"""Names that mean a step's answer where the agent gave no output of that name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What templates can refer to at one moment of a run."""

    task: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The run's inputs."""
    steps: Mapping[str, StepResult] = field(default_factory=dict)
    """Results by step id, of the steps that have ended."""
    local: Mapping[str, Any] = field(default_factory=dict)
    """What words such as ``item`` mean here; they come before steps of the same name."""


class UnknownOutput(Exception):  # noqa: N818 - named for what the reader of the output finds
    """A step has no output of that name. The step that *reads* it fails; the message names what there is."""

    def __init__(self, step: str, name: str, existing: Sequence[str]) -> None:
        """Take the step that was read, the name nobody knows and the names there are."""
        self.step, self.name, self.existing = step, name, tuple(existing)
        super().__init__(
            f"{Reference(step)} has no output '{name}'. There are: {', '.join(existing) or 'none'}. "
            f"Write one of these in the braces, or text for the whole answer."
        )


def render(value: Any, scope: Scope) -> tuple[Any, tuple[str, ...]]:
    """Return *value* with every template in it filled, and warnings about what was empty.

    A template that is one reference keeps the type of what it refers to; inside a text, texts go in as they are and
    all else as JSON. A step without a result is null alone and nothing inside a text.

    Raises:
        UnknownOutput: a step that has a result has no such output.

    """
    warnings: list[str] = []

    def fill(item: Any) -> Any:
        return _filled(item, scope, warnings.append) if isinstance(item, Template) else item

    return walk(value, fill), tuple(dict.fromkeys(warnings))


def resolve(reference: Reference, scope: Scope) -> tuple[Any, str | None]:
    """Return what *reference* refers to, and why it is None where there is nothing.

    Raises:
        UnknownOutput: as for :func:`render`.

    """
    if reference.head == TASK:
        return scope.task, None
    if reference.head == START:
        return _run_input(reference, scope.inputs)
    if reference.head in scope.local:
        return _local(reference, scope.local[reference.head])
    result = scope.steps.get(reference.head)
    if result is None or result.status is not StepStatus.SUCCEEDED:
        if reference.path in {("status",), ("error",)} and result is not None:
            return _about(result, str(reference.path[0])), None
        return None, f"{{{{ {reference} }}}} is empty: the step has no result."
    return _output(reference, result), None


def as_text(value: Any) -> str:
    """Return *value* as it stands inside a text: texts as they are, nothing for None, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _filled(template: Template, scope: Scope, warn: Callable[[str], None]) -> Any:
    values = []
    for part in template.parts:
        if isinstance(part, str):
            values.append(part)
            continue
        value, why = resolve(part, scope)
        if why:
            warn(why)
        if template.lone:
            return value
        values.append(as_text(value))
    return "".join(values)


def _run_input(reference: Reference, inputs: Mapping[str, Any]) -> tuple[Any, str | None]:
    value: Any = inputs
    for part in reference.path:
        found = _entered(value, part)
        if found is None:
            given = ", ".join(inputs) or "none"
            return None, f"{{{{ {reference} }}}} is empty: it is not among the run's inputs ({given})."
        value = found[0]
    return value, None


def _local(reference: Reference, value: Any) -> tuple[Any, str | None]:
    """Return what stands in a value of this place only, such as an item of a list."""
    return (None if value is None else _walked(reference, value, "", reference.path)), None


def _output(reference: Reference, result: StepResult) -> Any:
    if not reference.path:
        return result.text
    name = str(reference.path[0])
    return _walked(reference, _named(name, reference.head, result), name, reference.path[1:])


def _walked(reference: Reference, value: Any, walked: str, path: Sequence[str | int]) -> Any:
    """Return what *path* leads to from *value*, which the names in *walked* have led to.

    Raises:
        UnknownOutput: there is no such thing.

    """
    for part in path:
        found = _entered(value, part)
        if found is None:
            names = [f"{walked}{_step(key)}".removeprefix(".") for key in _keys(value)]
            raise UnknownOutput(reference.head, f"{walked}{_step(part)}".removeprefix("."), names)
        value, walked = found[0], f"{walked}{_step(part)}"
    return value


def _named(name: str, step: str, result: StepResult) -> Any:
    """Return one output: by its own name, by a name for the answer, else the one text there is."""
    if name in result.data:
        return result.data[name]
    if name in ANSWER_NAMES:
        return result.text
    if name == "data":
        return result.data
    if name in {"status", "error"}:
        return _about(result, name)
    texts = [value for value in result.data.values() if isinstance(value, str)]
    if len(texts) == 1 or (not result.data and result.text):
        return result.text
    raise UnknownOutput(step, name, list(dict.fromkeys(["text", *result.data])))


def _about(result: StepResult, name: str) -> str:
    if name == "status":
        return result.status.value
    return result.error.message if result.error else ""


def _entered(value: Any, part: str | int) -> tuple[Any] | None:
    """Return, in a tuple, what stands in *value* under *part*, or None where nothing does.

    A text that is a JSON object or list, as models answer with, is entered like one.
    """
    inside = _parsed(value)
    if isinstance(inside, Mapping):
        for key in (part, str(part)):
            if key in inside:
                return (inside[key],)
        return None
    if isinstance(inside, list) and str(part).isdecimal() and int(part) < len(inside):
        return (inside[int(part)],)
    return None


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return read_json(value)
    except ValueError:
        return value


def _keys(value: Any) -> Sequence[str | int]:
    inside = _parsed(value)
    if isinstance(inside, Mapping):
        return [str(key) for key in inside][:20]
    return range(min(len(inside), 20)) if isinstance(inside, list) else ()


def _step(part: str | int) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}"
