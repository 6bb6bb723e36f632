"""What is aggregated: results with a name, read from whatever they came as."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.contract.loose import unfenced
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.plain import read_json
from ensemble.contract.results import StepResult

__all__ = ["Result", "from_steps", "json_in", "read_results"]

_NAMES = ("agent", "agent_id", "name", "step", "id", "title")
_TEXTS = ("text", "answer", "output", "result", "content", "report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result."""

    name: str
    """Unique among those it is aggregated with."""
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """Its fields; empty where it is text only."""
    confidence: float | None = None
    """0 to 1; None where it is not known."""
    sources: tuple[Any, ...] = ()


def read_results(value: Any) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Return the results in *value*, and warnings about what is none.

    Args:
        value: The orchestrator's ``results``; any list of texts or objects; an object of results by name, or with a
            field *results*; a single text.

    """
    if isinstance(value, Mapping) and isinstance(value.get("results"), list):
        value = value["results"]
    if isinstance(value, Mapping) and not _is_result(value):
        entries = [{"name": str(name), **_fields(each)} for name, each in value.items()]
    elif isinstance(value, list | tuple):
        entries = [_fields(each) for each in value]
    else:
        entries = [_fields(value)] if value not in (None, "") else []
    ended = [entry for entry in entries if _succeeded(entry)]
    left = [_name(entry, number) for number, entry in enumerate(entries, 1) if not _succeeded(entry)]
    warnings = (f"Left out, having no result: {', '.join(left)}.",) if left else ()
    return _unique([_result(entry, number) for number, entry in enumerate(ended, 1)], ended), warnings


def from_steps(steps: Sequence[StepResult]) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Return the results of a run's steps, and warnings about those without one."""
    return read_results([step.model_dump(mode="json", exclude_none=True) for step in steps])


def json_in(result: Result) -> Any:
    """Return the object or list that *result* is: its text, if that is JSON (fenced or not), else its fields; or None."""
    text = unfenced(result.text).strip()
    if text.startswith(("{", "[")):
        try:
            return read_json(text)
        except ValueError:
            pass
    return dict(result.data) or None


def _is_result(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(value.get(name), str) for name in _TEXTS) and not all(
        isinstance(each, Mapping) for each in value.values()
    )


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    return {"text": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}


def _succeeded(entry: Mapping[str, Any]) -> bool:
    status = entry.get("status")
    return status not in set(StepStatus) - {StepStatus.SUCCEEDED} if isinstance(status, str) else True


def _name(entry: Mapping[str, Any], number: int) -> str:
    names = (entry.get(each) for each in _NAMES)
    found = next((name for name in names if isinstance(name, str | int) and str(name).strip()), f"result {number}")
    return " ".join(str(found).split())[:200]


def _result(entry: Mapping[str, Any], number: int) -> Result:
    known = next((name for name in _TEXTS if isinstance(entry.get(name), str)), None)
    own = {name: each for name, each in entry.items() if name not in {"name", "sources", "confidence"}}
    data = entry.get("data") if isinstance(entry.get("data"), Mapping) else ({} if known else own)
    text = entry[known] if known else json.dumps(own, ensure_ascii=False, default=str)
    sources = entry.get("sources")
    return Result(
        name=_name(entry, number),
        text=text,
        data={str(name): each for name, each in (data or {}).items()},
        confidence=_confidence(entry.get("confidence", (data or {}).get("confidence"))),
        sources=tuple(sources) if isinstance(sources, list | tuple) else (),
    )


def _confidence(value: Any) -> float | None:
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= 1 else None


def _unique(results: list[Result], entries: list[dict[str, Any]]) -> tuple[Result, ...]:
    """Return *results* with names nobody shares: an agent that worked twice goes by its step."""
    often = Counter(result.name.casefold() for result in results)
    named = [
        replace(result, name=str(entry.get("step") or result.name)) if often[result.name.casefold()] > 1 else result
        for result, entry in zip(results, entries, strict=True)
    ]
    taken: set[str] = set()
    found = []
    for result in named:
        name, number = result.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{result.name} {number}"
        taken.add(name.casefold())
        found.append(replace(result, name=name))
    return tuple(found)
