"""Reads the list of agents out of the one line that Dify's form for app keys holds.

Dify's secret input is a single line: what was pasted as lines arrives without its line breaks. So an entry must be told
from the next one by its own shape. A key of Dify's Service API is ``app-`` and 24 letters or digits, and ends there; an
address behind ``@`` ends after its first ``/v1``, or at a space, a comma or a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ensemble.agents.identity import BaseUrlError, normalise_base_url
from ensemble.contract.problems import Fault
from ensemble.http1.passage import DIRECT, Passage
from ensemble.plan.faults import folded

__all__ = ["LOOKS_LIKE_A_KEY", "AppKey", "read_app_keys"]

FIELD = "App keys"
"""What the form calls this field."""

_SEPARATORS = re.compile(r"[\s,;]*")
_NAME = re.compile(r"[^=,;\r\n]*")
_NAME_SHAPE = re.compile(r"[\w .\-]{1,64}")
_EQUALS = re.compile(r"\s*=\s*")
_KEY = re.compile(r"app-[A-Za-z0-9]{24}")
_ADDRESS = re.compile(r"\s*@\s*(?:([^\s,;]*?/v1)/?|([^\s,;]*))")
LOOKS_LIKE_A_KEY = re.compile(r"app-[A-Za-z0-9]{6}", re.IGNORECASE)
"""What no text of ours may quote. Agents whose names look so are asked to be called otherwise."""
_SHAPE = "Write one entry per agent: name = app-… (24 characters follow app-), with @ https://host/v1 for another Dify."


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """One agent as the credentials know it."""

    name: str
    key: str = field(repr=False)
    base_url: str | None = None
    """Where its Dify is; None: where the Service API base URL says."""
    passage: Passage = DIRECT
    """The way there."""


def read_app_keys(text: str) -> tuple[tuple[AppKey, ...], tuple[Fault, ...]]:
    """Return the entries of *text* in order, and everything that is wrong with it.

    A fault names its entry and never shows a key, nor what may be a piece of one. What follows an entry that can't be
    read is not judged: nobody can tell where it begins.
    """
    reader = _Reader(text)
    entries = tuple(reader.entries())
    return entries, tuple(reader.faults)


class _Reader:
    """One pass over the text; stops at the first entry that does not have the shape of one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._seen: dict[str, str] = {}
        self._last = ""
        self.faults: list[Fault] = []

    def entries(self) -> Iterator[AppKey]:
        while True:
            self._take(_SEPARATORS)
            if self._at == len(self._text):
                return
            name = self._name()
            if name is None:
                return
            key = self._take(_KEY)
            if not key:
                self._blame(f"{name!r}: after = there is no complete key.", _SHAPE)
                return
            base_url = self._address(name)
            self._last = name
            if self._is_new(name):
                yield AppKey(name=name, key=key, base_url=base_url)

    def _name(self) -> str | None:
        name = self._take(_NAME).strip()
        place = f"after {self._last!r}" if self._last else "at the beginning"
        if LOOKS_LIKE_A_KEY.search(name):
            self._blame(f"{place}: a key stands where the next name was expected.", _SHAPE)
        elif not self._take(_EQUALS):
            self._blame(f"{place}: text is left over that is no entry.", _SHAPE)
        elif not name:
            missing = f" Is the key of {self._last!r} complete?" if self._last else ""
            self._blame(f"{place}: an = has no name before it.{missing}", _SHAPE)
        elif not _NAME_SHAPE.fullmatch(name):
            self._blame(f"{place}: the next name is not usable.", "Names are 1-64 letters, digits, spaces and _ . -")
        else:
            return name
        return None

    def _address(self, name: str) -> str | None:
        found = _ADDRESS.match(self._text, self._at)
        if not found:
            return None
        self._at = found.end()
        try:
            return normalise_base_url(found.group(1) or found.group(2))
        except BaseUrlError as error:
            # It quotes the path, in which a key may stand that was pasted at the wrong place.
            why = "" if LOOKS_LIKE_A_KEY.search(str(error)) else str(error)
            self._blame(f"{name!r}: the address after @ can't be used.", why or "Write it like https://host/v1.")
            return None

    def _is_new(self, name: str) -> bool:
        earlier = self._seen.get(folded(name))
        if earlier is None:
            self._seen[folded(name)] = name
            return True
        same = "is there twice" if earlier == name else f"and {earlier!r} differ by case only"
        self._blame(f"{name!r} {same}.", "Give each agent a name of its own.")
        return False

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found.group()

    def _blame(self, problem: str, fix: str) -> None:
        self.faults.append(Fault(field=FIELD, problem=problem, fix=fix))
