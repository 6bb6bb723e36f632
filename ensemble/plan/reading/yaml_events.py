"""YAML read from the parser's events, so that nothing recurses with the input and nothing unfolds unseen.

An alias counts as often as it is used, a key given twice is an error, and plain words mean what YAML 1.2 says: ``no``,
``on`` and ``12:30`` are texts, unlike with PyYAML's own constructors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ensemble.plan.faults import Faults, PlanError, shortened
from ensemble.plan.reading.bounds import MAX_DEPTH, MAX_VALUES, too_deep, too_many, unreadable

__all__ = ["read_yaml"]

QUOTE_BRACES = 'Put a text with braces in quotes: "{{ step.output }}".'

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"[-+]?((\.[0-9]{1,30}|[0-9]{1,30}\.[0-9]{0,30})([eE][-+]?[0-9]{1,2})?|[0-9]{1,30}[eE][-+]?[0-9]{1,2})"
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, name: str, faults: Faults) -> Any:
    """Return what *text* says; keys given twice and tags go into *faults*.

    Raises:
        PlanError: the text is no YAML, or passes the bounds. *name* is what the builder calls it.

    """
    return _Builder(name, faults).build(text)


@dataclass(slots=True)
class _List:
    """A list being filled."""

    anchor: str | None
    begun: int
    """How many values there were when it began."""
    values: list[Any] = field(default_factory=list)
    height: int = 1
    key: str | None = None

    def put(self, value: Any) -> None:
        self.values.append(value)

    def finished(self) -> list[Any]:
        return self.values


@dataclass(slots=True)
class _Map:
    """A map being filled; between a name and its value, *key* holds the name."""

    anchor: str | None
    begun: int
    values: dict[str, Any] = field(default_factory=dict)
    height: int = 1
    key: str | None = None
    merged: list[dict[str, Any]] = field(default_factory=list)

    def put(self, value: Any) -> None:
        key, self.key = self.key, None
        if key == "<<" and isinstance(value, dict):
            self.merged.append(value)
        elif key == "<<" and isinstance(value, list) and all(isinstance(item, dict) for item in value):
            self.merged.extend(value)
        elif key is not None:
            self.values[key] = value

    def finished(self) -> dict[str, Any]:
        for merged in self.merged:
            self.values.update({key: value for key, value in merged.items() if key not in self.values})
        return self.values


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    count: int
    height: int


class _Builder:
    """Builds one document out of YAML's events."""

    def __init__(self, name: str, faults: Faults) -> None:
        self._name = name
        self._faults = faults
        self._count = 0
        self._anchors: dict[str, _Anchored] = {}
        self._stack: list[_List | _Map] = []
        self._root: Any = None

    def build(self, text: str) -> Any:
        documents = 0
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                documents += isinstance(event, yaml.DocumentStartEvent)
                if documents > 1:
                    raise unreadable(self._name, "A second document begins at a line '---'.", "Write one plan.")
                self._take(event)
        except yaml.YAMLError as error:
            raise _explained(self._name, text, error) from error
        return self._root

    def _take(self, event: Any) -> None:
        match event:
            case yaml.MappingStartEvent():
                self._begin(_Map(event.anchor, self._count), event)
            case yaml.SequenceStartEvent():
                self._begin(_List(event.anchor, self._count), event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._stack.pop()
                self._keep(frame.anchor, frame.finished(), self._count - frame.begun, frame.height)
            case yaml.ScalarEvent():
                self._count_more(1, 0)
                if not self._took_key(event):
                    self._keep(event.anchor, self._value(event), 1, 0)
            case yaml.AliasEvent():
                self._alias(event)

    def _begin(self, frame: _List | _Map, event: Any) -> None:
        if self._expects_key():
            raise unreadable(self._name, f"{_line(event)}The name of a field is a map or a list.", QUOTE_BRACES)
        self._count_more(1, 1)
        self._stack.append(frame)

    def _keep(self, anchor: str | None, value: Any, count: int, height: int) -> None:
        if anchor:
            self._anchors[anchor] = _Anchored(value, count, height)
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height + 1)
        frame.put(value)

    def _alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None or self._expects_key():
            raise unreadable(
                self._name,
                f"{_line(event)}'*{shortened(event.anchor)}' stands for nothing that was named with '&' before it.",
                "A text that begins with * needs quotes.",
            )
        self._count_more(known.count, known.height)
        self._keep(None, known.value, known.count, known.height)

    def _took_key(self, event: Any) -> bool:
        """Take a scalar as the name of a field, if one is due."""
        frame = self._stack[-1] if self._stack else None
        if not isinstance(frame, _Map) or frame.key is not None:
            return False
        frame.key = event.value
        if event.value in frame.values:
            path = ".".join(part.key for part in self._stack if part.key is not None)
            self._faults.add(path, f"{_line(event)}The field is given twice.", "Keep one of them.")
        return True

    def _value(self, event: Any) -> Any:
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            problem = f"{_line(event)}The tag {shortened(event.tag)} is not allowed."
            self._faults.add(self._name, problem, "Remove the word that begins with '!'.")
        return _plain(event.value) if event.tag is None and event.implicit[0] else event.value

    def _expects_key(self) -> bool:
        frame = self._stack[-1] if self._stack else None
        return isinstance(frame, _Map) and frame.key is None

    def _count_more(self, count: int, height: int) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            raise too_many(self._name)
        if len(self._stack) + height > MAX_DEPTH:
            raise too_deep(self._name)


def _plain(word: str) -> Any:
    """Return an unquoted scalar by YAML 1.2's core schema, but ``007`` and very long numbers: those are ids."""
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(word):
        return int(word)
    if _FLOAT.fullmatch(word) and not _LEADING_ZERO.match(word):
        return float(word)
    return word


def _line(event: Any) -> str:
    return f"Line {event.start_mark.line + 1}: "


def _explained(name: str, text: str, error: yaml.YAMLError) -> PlanError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return unreadable(name, "It holds a control character, which no YAML text may.", "Remove it.")
    lines = text.splitlines()
    # The parser notices an open brace only once something later does not fit.
    near = [line for line in lines[max(0, mark.line - 2) : mark.line + 1] if line.strip()]
    line = near[-1] if near else ""
    fix = "Check the indentation, and put texts with ':' or '#' in quotes."
    if "\t" in line[: len(line) - len(line.lstrip())]:
        fix = "YAML is indented with spaces; replace the tab."
    elif any(re.search(r"[:\-,\[]\s*\{\{", candidate) for candidate in near):
        fix = QUOTE_BRACES
    problem = getattr(error, "problem", None) or "it does not fit"
    where = f"Line {mark.line + 1}, column {mark.column + 1}"
    return unreadable(name, f"{where} is no valid YAML ({problem}). Look near '{shortened(line.strip())}'.", fix)
