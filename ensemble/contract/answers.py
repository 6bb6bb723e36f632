"""Which of several outputs is the text of an answer: the same rule for what an app gave and what a plan says instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["text_of"]

_TEXT_NAMES = ("answer", "result", "text", "output", "report")
"""Which output is the text, the first of these there is."""


def text_of(outputs: Mapping[str, Any]) -> str:
    """Choose the text among *outputs*: a well-known name, else the only text, else everything as JSON.

    A text under a later name goes before a structure under an earlier one; nothing at all is no text.
    """
    named = [outputs[name] for name in _TEXT_NAMES if outputs.get(name) is not None]
    texts = [value for value in outputs.values() if isinstance(value, str)]
    for candidates in ([value for value in named if isinstance(value, str)], named, texts if len(texts) == 1 else []):
        if candidates:
            chosen = candidates[0]
            return chosen if isinstance(chosen, str) else _json(chosen)
    return _json(outputs) if outputs else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
