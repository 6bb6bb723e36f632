"""A plan of every pattern, the apps it takes, and the answer it has to come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.standin.apps import App, Usage

__all__ = ["ANSWERS", "PLANS", "SLOW", "several", "worker"]

TASKS = [
    {"id": "x", "agent": "market", "input": "find"},
    {"id": "y", "agent": "tech", "input": "judge", "depends_on": ["x"]},
]
AS_MANAGER = (
    ("The results so far follow.", '{"answer": "all of it is done"}'),
    ("", f"Sure!\n```json\n{json.dumps({'subtasks': TASKS})}\n```"),
)
AS_CRITIC = (("a better one", "APPROVED"), ("", "Make it better, please."))
AS_WRITER = (("better, please", "a better one"), ("", "a first one"))


def worker(name: str, **more: Any) -> App:
    """Return an app whose answer depends on nothing but what it is asked."""
    return App(**{"name": name, "answer": f"{name}: {{query}}", "usage": Usage(prompt_tokens=5), **more})


def several(**changes: Mapping[str, Any]) -> list[App]:
    """Return an app for every part of a pattern; *changes* by name."""
    apps = {
        "market": worker("market"),
        "tech": worker("tech"),
        "finance": worker("finance"),
        "boss": worker("boss", replies=AS_MANAGER),
        "writer": worker("writer", replies=AS_WRITER),
        "critic": worker("critic", replies=AS_CRITIC),
    }
    return [app.model_copy(update=dict(changes.get(name, {}))) for name, app in apps.items()]


SLOW: Mapping[str, Mapping[str, Any]] = {
    name: {"latency_s": 0.25} for name in ("market", "tech", "finance", "boss", "writer", "critic")
}
"""Changes of `several` that leave time to be killed in."""

PLANS: dict[str, dict[str, Any]] = {
    "for_each": {
        "steps": [
            {"id": "each", "agent": "market", "for_each": ["a", "b", "c"], "query": "{{ item }}"},
            {"id": "sum", "agent": "tech", "depends_on": "each"},
        ]
    },
    "loop": {"pattern": "loop", "agents": ["writer", "critic"]},
    "vote": {"steps": [{"id": "v", "query": "yes", "vote": {"agents": ["market", "tech", "market"], "agree": 2}}]},
    "race": {"steps": [{"id": "r", "race": ["market", "tech"]}]},
    "nested": {
        "steps": [
            {"id": "n", "steps": [{"id": "x", "agent": "market"}, {"id": "y", "agent": "tech", "depends_on": "x"}]},
            {"id": "z", "agent": "finance", "depends_on": "n"},
        ]
    },
    "hierarchical": {"pattern": "hierarchical", "manager": "boss", "agents": ["market", "tech"]},
    "inside each other": {
        "steps": [{"id": "each", "agent": "writer", "for_each": ["a", "b"], "loop": {"critic": "critic"}}],
        "output": "{{ each.texts }}",
    },
}
ANSWERS = {
    "for_each": "tech: go\n\n### each\n### 0\n\nmarket: a\n\n### 1\n\nmarket: b\n\n### 2\n\nmarket: c",
    "loop": "a better one",
    "vote": "market: yes",
    "nested": "finance: go\n\n### n\ntech: go\n\n### market\nmarket: go",
    "hierarchical": "all of it is done",
    "inside each other": '["a better one", "a better one"]',
}
"""A race has none: whoever is first."""
