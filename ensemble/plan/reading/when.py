"""Reading ``when``: a comparison as a map or in one line, a list of them, or ``and`` / ``or`` over such."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ensemble.plan.conditions import ALIASES, OPERATORS, WITHOUT_VALUE, AllOf, AnyOf, Comparison, Condition
from ensemble.plan.faults import nearest, shortened
from ensemble.plan.reading.fields import Fields, at
from ensemble.plan.reading.texts import Texts
from ensemble.plan.templates import Template

__all__ = ["read_when"]

HOW_TO_COMPARE = 'Write {field: "{{ step.output }}", operator: contains, value: yes}, or a list of such.'

_WORDS = sorted((*OPERATORS, *ALIASES), key=len, reverse=True)
_LINE = re.compile(
    r"(?P<field>\{\{.*?\}\}|\S+?)(?:\s+(?P<word>"
    + "|".join(re.escape(word) for word in _WORDS if word[0].isalpha())
    + r")(?!\w)|\s*(?P<sign>"
    + "|".join(re.escape(word) for word in _WORDS if not word[0].isalpha())
    + r"))\s*(?P<value>.*)",
    re.DOTALL | re.IGNORECASE,
)

_BESIDE_A_FIELD = re.compile(r"(?:\{\{.*?\}\}|\S+)\s+(?P<first>\S+)(?:\s+(?P<second>\S+))?", re.DOTALL)
"""Where an operator stands in a line that is read as none; the longest have two words."""


def read_when(data: Any, path: str, texts: Texts) -> Condition | None:
    """Return the condition at *path*, or None after noting what is wrong with it."""
    match data:
        case str():
            return _line(data, path, texts)
        case list():
            return _parts(data, path, texts, AllOf)
        case Mapping() if "and" in data or "or" in data:
            fields = Fields(data, path, texts.faults)
            both = fields.take("and"), fields.take("or")
            fields.close()
            if None not in both:
                texts.faults.add(path, "It has both 'and' and 'or'.", "Put one of them into the list of the other.")
                return None
            word, kind = ("and", AllOf) if both[1] is None else ("or", AnyOf)
            return _parts(both[0] if word == "and" else both[1], at(path, word), texts, kind)
        case Mapping():
            fields = Fields(data, path, texts.faults)
            field, operator, value = fields.text("field"), fields.text("operator"), fields.take("value")
            fields.close()
            return _comparison(field, operator, value, path, texts)
        case _:
            texts.faults.add(path, f"'{shortened(data)}' is no condition.", HOW_TO_COMPARE)
            return None


def _parts(data: Any, path: str, texts: Texts, kind: type[AllOf | AnyOf]) -> Condition | None:
    if not isinstance(data, list) or not data:
        texts.faults.add(path, "It is no list of conditions.", HOW_TO_COMPARE)
        return None
    parts = [read_when(part, at(path, index), texts) for index, part in enumerate(data)]
    return kind(tuple(part for part in parts if part is not None))


def _line(text: str, path: str, texts: Texts) -> Condition | None:
    match = _LINE.fullmatch(text.strip())
    if match is None or "{{" in match["value"][2:]:
        meant = "" if match else _meant(text.strip())
        texts.faults.add(path, f"'{shortened(text)}' is no single comparison.", f"{meant}{HOW_TO_COMPARE}")
        return None
    operator = match["word"] or match["sign"]
    value: Any = match["value"]
    if ALIASES.get(operator.lower(), operator.lower()) in {"in", "not in"} and not value.startswith("{{"):
        value = [_unquoted(part.strip()) for part in value.strip("[]()").split(",")]
    return _comparison(match["field"], operator, value if isinstance(value, list) else _unquoted(value), path, texts)


def _meant(text: str) -> str:
    """Return which operator a line without one probably means, as a question; nothing where none is near."""
    beside = _BESIDE_A_FIELD.match(text)
    if beside is None:
        return ""
    tried = (f"{beside['first']} {beside['second'] or ''}", beside["first"])
    return next((f"Did you mean '{near}'? " for words in tried if (near := nearest(words, _WORDS))), "")


def _comparison(field: str, operator: str, value: Any, path: str, texts: Texts) -> Condition | None:
    known = _operator(operator)
    if known is None:
        near = nearest(operator, (*OPERATORS, *ALIASES))
        meant = f"Did you mean '{near}'? " if near else ""
        problem = f"'{shortened(operator)}' is no operator." if operator else "The operator is missing."
        texts.faults.add(at(path, "operator"), problem, f"{meant}There are: {', '.join(OPERATORS)}.")
    elif known not in WITHOUT_VALUE and value is None:
        texts.faults.add(at(path, "value"), f"'{known}' needs a value.", "Add value: and what to compare with.")
    template = texts.text(field, at(path, "field"))
    if isinstance(template, str):
        problem = f"'{shortened(field)}' refers to nothing." if field else "The field is missing."
        texts.faults.add(at(path, "field"), problem, 'Write field: "{{ step.output }}".')
        return None
    value = texts.value(value, at(path, "value"))
    return Comparison(template, known, value) if known and isinstance(template, Template) else None


def _operator(word: str) -> str | None:
    plain = " ".join(word.replace("_", " ").lower().split())
    plain = ALIASES.get(plain, plain)
    return plain if plain in OPERATORS else None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
