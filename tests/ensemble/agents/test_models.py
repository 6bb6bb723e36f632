"""What a model wrote as its structured answer: one object that is whole, or none."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.agents.models import structure_in


@pytest.mark.parametrize(
    ("text", "structure"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure:\n```json\n{"a": {"b": [1]},}\n```', {"a": {"b": [1]}}),
        ('<think>{"a": 0}?</think>{"a": 1}', {"a": 1}),
        ('As {you} asked: {"a": 1}', {"a": 1}),
        ('{"a": 1} or {"a": 2}', None),
        ('{"a": {"b": 1}', None),
        ('{"a": {"b": 1}, "c": "it breaks', None),
        ("[1]", None),
        ("", None),
    ],
)
def test_a_structure_is_the_one_object_that_is_whole(text: str, structure: dict[str, Any] | None) -> None:
    """What stands inside of an object that breaks off is not the answer."""
    assert structure_in(text) == structure
