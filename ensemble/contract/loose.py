"""The JSON objects in what a model wrote: between other words, in fences, after thoughts, and often not quite JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.contract.plain import plain

__all__ = ["Fields", "Written", "objects", "unfenced", "without_thoughts"]

_MOST = 50
"""How many objects of one text are looked at."""
_MOST_UNCLOSED = 10
"""How many of them may never end: each is followed to the end of the text."""
_THOUGHT, _THOUGHT_OVER = "<think>", "</think>"
_FENCE = "```"
_OPENING = re.compile(r"```[^`\n]*")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
"""A text in quotes, which may break off, or a bracket outside of one."""
_TRAILING = re.compile(r",\s*([}\]])")


class Fields(dict[str, Any]):
    """What stands in an object, as plain JSON."""

    def __init__(self, values: Mapping[str, Any], torn: frozenset[str] = frozenset()) -> None:
        super().__init__(values)
        self.torn = torn
        """The names that stand twice in it, with two values; the last one counts."""


@dataclass(frozen=True, slots=True)
class Written:
    """An object as it stands in a text; or a text from a brace on that is never closed."""

    text: str
    whole: bool
    """Whether it is closed again. If not, this reaches to the end of the text it stands in."""
    quoted: tuple[int, ...]
    """Where in it the quoted texts at its own level begin: names of fields, and values."""

    def read(self, *, python: bool = True) -> Fields | None:
        """Return its fields, read as JSON, without trailing commas, or as *python*'s notation; None: it is none of these."""
        for written in (self.text, _TRAILING.sub(r"\1", self.text)):
            try:
                found = json.loads(written, strict=False, object_pairs_hook=_fields)
                return _plain(found) if isinstance(found, Fields) else None
            except (ValueError, RecursionError):
                continue
        return self._read_python() if python else None

    def _read_python(self) -> Fields | None:
        try:
            node = ast.parse(self.text, mode="eval").body
            if not isinstance(node, ast.Dict):
                return None
            names = [name.value if isinstance(name, ast.Constant) else None for name in node.keys]
            pairs = [(name, ast.literal_eval(value)) for name, value in zip(names, node.values, strict=True)]
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
        named = [(name, value) for name, value in pairs if isinstance(name, str)]
        return _plain(_fields(named)) if len(named) == len(pairs) else None


def objects(text: str) -> Iterator[Written]:
    """Yield the objects of *text* that stand in no other one.

    Where one is never closed, the text breaks off in it, or its brace belongs to a sentence; whoever asks may know. Those
    that stand whole in it come after it.
    """
    at, endless = text.find("{"), 0
    for _ in range(_MOST):
        if at < 0 or endless == _MOST_UNCLOSED:
            return
        end, quoted, unclosed = _walked(text, at)
        yield Written(text[at:end], end is not None, quoted)
        endless += end is None
        at = text.find("{", at + 1 if end is None else end)
        while at in unclosed:
            at = text.find("{", at + 1)


def without_thoughts(text: str) -> str:
    """Return *text* without what the model only thought; a thought that does not end is left."""
    said = []
    at = 0
    while (begin := text.find(_THOUGHT, at)) >= 0 and (end := text.find(_THOUGHT_OVER, begin)) >= 0:
        said.append(text[at:begin])
        at = end + len(_THOUGHT_OVER)
    return "".join(said) + text[at:]


def unfenced(text: str) -> str:
    """Return what stands in the code fence that *text* is; any other text as it is."""
    opening, _, rest = text.strip().partition("\n")
    if not _OPENING.fullmatch(opening) or not rest.endswith(_FENCE):
        return text
    return rest.removesuffix(_FENCE).rstrip(" \t").removesuffix("\n")


def _walked(text: str, at: int) -> tuple[int | None, tuple[int, ...], frozenset[int]]:
    """Follow the object at *at*.

    Returns:
        Where it ends, None if it does not; where the quoted texts at its own level begin, counted from *at*; and where
        the brackets stand that are not closed.

    """
    opened: list[int] = []
    quoted: list[int] = []
    for token in _TOKEN.finditer(text, at):
        place = token.start()
        match text[place]:
            case '"':
                if len(opened) == 1:
                    quoted.append(place - at)
            case "{" | "[":
                opened.append(place)
            case _:
                opened.pop()
                if not opened:
                    return token.end(), tuple(quoted), frozenset()
    return None, tuple(quoted), frozenset(opened)


def _fields(pairs: Sequence[tuple[str, Any]]) -> Fields:
    values = dict(pairs)
    return Fields(
        values, frozenset(name for name, value in pairs if value is not values[name] and value != values[name])
    )


def _plain(fields: Fields) -> Fields:
    return Fields(plain(fields), fields.torn)
