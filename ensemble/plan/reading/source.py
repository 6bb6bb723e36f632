"""From a text, YAML or JSON or what models make of them, to plain maps, lists, texts and numbers."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

from ensemble.contract.loose import unfenced
from ensemble.plan.faults import Faults, shortened
from ensemble.plan.reading.bounds import MAX_CHARACTERS, bounded, encodable, half_a_character, unreadable
from ensemble.plan.reading.yaml_events import read_yaml

__all__ = ["parse_text"]

_PYTHON = re.compile(r"\A\s*(\{\s*'|\[\s*['{])")


def parse_text(text: str, name: str, faults: Faults) -> Any:
    """Return what *text* says; a text in a code fence, as models write it, counts without the fence.

    Faults that leave the text readable (a key given twice) go into *faults*.

    Raises:
        PlanError: the text can't be read at all. *name* is what the builder calls it.

    """
    if len(text) > MAX_CHARACTERS:
        raise unreadable(name, f"It is {len(text):,} characters long.", f"At most {MAX_CHARACTERS:,} are read.")
    if not encodable(text):
        raise half_a_character(name)
    body = unfenced(text)
    if body.lstrip()[:1] in {"{", "["}:
        twice: list[str] = []
        try:
            data = json.loads(body, object_pairs_hook=_pairs(twice), parse_constant=_refuse)
        except (ValueError, RecursionError):
            pass  # Not JSON after all; YAML has objects and lists in brackets too, and better errors.
        else:
            for key in twice:
                faults.add(name, f"The field '{shortened(key)}' is given twice in one object.", "Keep one of them.")
            return bounded(data, name)
    if _PYTHON.match(body):
        # Dify renders a constant object as Python's own notation.
        try:
            data = ast.literal_eval(body.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
        else:
            return bounded(data, name)
    return read_yaml(body, name, faults)


def _pairs(twice: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return values

    return build


def _refuse(word: str) -> Any:
    raise ValueError(word)
