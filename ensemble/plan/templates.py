r"""Texts that refer to other steps, to the run's inputs and to the task: their grammar and what they refer to.

``{{ step.output }}`` and ``{{#step.output#}}`` mean the same; names outside ``[A-Za-z0-9_-]`` are quoted, as in
``{{ "市场".text }}``; paths go deeper with ``.name`` and ``[0]``; ``\{{`` writes the braces themselves.

Dify resolves ``{{#a.b#}}`` in every text typed into a tool node and leaves ``a.b`` of a reference it does not know. So
in a text that came that way, bare words of that shape are references too (:class:`BareWords`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.plan.faults import shortened

__all__ = [
    "RESERVED",
    "START",
    "TASK",
    "BareWords",
    "BrokenTemplate",
    "Reference",
    "Template",
    "lost_braces",
    "parse",
    "references",
    "walk",
]

START = "start"
"""The word that refers to the run's inputs."""
TASK = "task"
"""The word that refers to the run's task."""
RESERVED = {START: "the run's inputs", TASK: "the run's task"}
"""What no step can be called, and what it refers to."""

HOW_TO_REFER = "Write {{ step.output }}, {{ start.input }} or {{ task }}; write \\{{ for the braces themselves."

_QUOTED = r"""(?:"(?P<d{0}>[^"]+)"|'(?P<s{0}>[^']+)')"""
_NAME = r"(?P<n{0}>[\w-]+)"
_HEAD = re.compile(_QUOTED.format("") + "|" + _NAME.format(""))
_SEGMENT = re.compile(
    r"\.(?:" + _QUOTED.format(1) + "|" + _NAME.format(1) + r")|\[(?:(?P<i>[0-9]{1,9})|" + _QUOTED.format(2) + r")\]"
)
# The shape of what Dify strips the braces from, standing alone as a word: no part of an address, a path or a name.
_BARE = re.compile(
    r"(?<![\w.@-])(?<!//)(?P<head>[a-zA-Z0-9_]{1,50})(?P<path>(?:\.[a-zA-Z_][a-zA-Z0-9_]{0,29}){1,10})(?![\w-])(?!\.\w)"
)


class BrokenTemplate(Exception):  # noqa: N818 - what it says is about the template
    """Braces that hold no reference; the message says which and what to write."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One place where a text refers to something."""

    head: str
    """A step's id, ``start`` or ``task``."""
    path: tuple[str | int, ...] = ()
    """Names of outputs and fields, positions in lists."""

    def __str__(self) -> str:
        """Return the reference as a builder would write it, without braces."""
        head = self.head if re.fullmatch(r"[\w-]+", self.head) else f'"{self.head}"'
        return head + "".join(_written(part) for part in self.path)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with at least one reference in it."""

    parts: tuple[str | Reference, ...]

    @property
    def lone(self) -> Reference | None:
        """The one reference that is the whole text; its value keeps its type."""
        first = self.parts[0]
        return first if len(self.parts) == 1 and isinstance(first, Reference) else None

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every reference in the order of the text."""
        return tuple(part for part in self.parts if isinstance(part, Reference))


@dataclass(frozen=True, slots=True)
class BareWords:
    """Which words without braces are references: ``step.output`` of these steps, ``start.input`` of these inputs."""

    steps: Collection[str]
    inputs: Collection[str]

    def mean(self, head: str, path: tuple[str, ...]) -> bool:
        """Return whether the words are a reference."""
        return path[0] in self.inputs if head == START else head in self.steps


def parse(text: str, bare: BareWords | None = None) -> Template | str:
    """Return *text* as a template, or as it is where it refers to nothing.

    Args:
        text: What the builder wrote.
        bare: Given for a text whose braces Dify may have stripped.

    Raises:
        BrokenTemplate: something in braces is no reference.

    """
    parts = list(_braced(text) if bare is None else _bare(text, bare))
    if not any(isinstance(part, Reference) for part in parts):
        return "".join(str(part) for part in parts)
    return Template(tuple(parts))


def lost_braces(text: str) -> bool:
    """Return whether *text* is, as a whole, what Dify leaves of a reference to a variable it does not know."""
    return _BARE.fullmatch(text.strip()) is not None


def walk(value: Any, visit: Callable[[Any], Any]) -> Any:
    """Return *value* with *visit* applied to everything in it that is neither map nor list."""
    if isinstance(value, Mapping):
        return {key: walk(item, visit) for key, item in value.items()}
    if isinstance(value, list):
        return [walk(item, visit) for item in value]
    return visit(value)


def references(value: Any) -> tuple[Reference, ...]:
    """Return every reference in *value*, a template or maps and lists with templates in them."""
    found: list[Reference] = []

    def visit(item: Any) -> Any:
        if isinstance(item, Template):
            found.extend(item.references)
        return item

    walk(value, visit)
    return tuple(found)


def _written(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if re.fullmatch(r"[\w-]+", part) else f'."{part}"'


def _braced(text: str) -> Iterator[str | Reference]:
    # Searched by hand: a regular expression would look for the end of every opening again.
    end = 0
    words = ""
    while (start := text.find("{{", end)) >= 0:
        if start and text[start - 1] == "\\":
            words += text[end : start - 1] + "{{"
            end = start + 2
            continue
        close = text.find("}}", start)
        if close < 0:
            raise BrokenTemplate(f"'{shortened(text[start:])}' is never closed with }}}}. {HOW_TO_REFER}")
        if words := words + text[end:start]:
            yield words
        words = ""
        yield _reference(text[start + 2 : close])
        end = close + 2
    if words := words + text[end:]:
        yield words


def _reference(inside: str) -> Reference:
    words = inside.strip()
    if len(words) > 1 and words[0] == words[-1] == "#":
        words = words[1:-1].strip()
    head = _HEAD.match(words)
    if head is None:
        raise _no_reference(inside)
    at = head.end()
    path: list[str | int] = []
    while at < len(words):
        segment = _SEGMENT.match(words, at)
        if segment is None:
            raise _no_reference(inside)
        at = segment.end()
        path.append(int(segment["i"]) if segment["i"] else next(name for name in segment.groups() if name))
    name = next(name for name in head.groups() if name)
    if name == TASK and path:
        raise BrokenTemplate(f"'{shortened(words)}': the task is a text without fields. Write {{{{ task }}}}.")
    return Reference(name, tuple(path))


def _no_reference(inside: str) -> BrokenTemplate:
    return BrokenTemplate(f"'{shortened('{{' + inside + '}}')}' is no reference. {HOW_TO_REFER}")


def _bare(text: str, bare: BareWords) -> Iterator[str | Reference]:
    end = 0
    for match in _BARE.finditer(text):
        path = tuple(match["path"][1:].split("."))
        if not bare.mean(match["head"], path):
            continue
        if before := text[end : match.start()]:
            yield before
        yield Reference(match["head"], path)
        end = match.end()
    if end < len(text):
        yield text[end:]
