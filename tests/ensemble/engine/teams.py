"""Scripts and shorthands for groups, for tests of the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.results import StepResult
from tests.ensemble.engine.kit import Played, good

type Line = Reply | Callable[[Call, CallScope], Reply]


def parts(played: Played) -> dict[str, StepResult]:
    """Return the results of parts by their ids."""
    return {part.step: part for part in played.report.parts}


def by_item(lines: Mapping[str, Line]) -> Callable[[Call, CallScope], Reply]:
    """Return a script that answers by the item it is given, or echoes it."""

    def answer(call: Call, scope: CallScope) -> Reply:
        item = str((call.inputs or {}).get("item"))
        line = lines.get(item, good(f"did {item}"))
        return line if isinstance(line, Reply) else line(call, scope)

    return answer


def mapped(items: Any, **more: Any) -> dict[str, Any]:
    """Return a plan with one step for each of *items*."""
    each = {"items": items, **more}
    return {"steps": [{"id": "each", "agent": "a", "for_each": each, "inputs": {"item": "{{ item }}"}}]}


def subtasks(*tasks: tuple[str, str, str], after: dict[str, list[str]] | None = None) -> Reply:
    """Return a manager's reply that gives out work: (id, agent, input) each."""
    listed = [
        {"id": name, "agent": agent, "input": work, "depends_on": (after or {}).get(name, [])}
        for name, agent, work in tasks
    ]
    return good(json.dumps({"subtasks": listed}))


def answer(text: str) -> Reply:
    """Return a manager's reply that answers."""
    return good(json.dumps({"answer": text}))
