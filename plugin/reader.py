"""Reads the parameters that tools have in common, in whatever type Dify hands them over.

What is typed into a tool node arrives as text, even where it looks like an object or a number; what comes from a
variable keeps its type; what is unset is absent, None or "". A model that calls the tool may send any of these.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ensemble.agents.files import as_file, is_file
from ensemble.contract.base import TRACE_ID_PATTERN
from ensemble.contract.budgets import Money
from ensemble.contract.problems import Fault
from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.limits import Limits
from ensemble.plan.reading.budgets import read_budgets
from ensemble.plan.reading.money import read_money
from ensemble.plan.reading.source import parse_text
from plugin.credentials import ON_SIDECAR_LOSS
from plugin.stripped import stripped_id

__all__ = ["LIMITS", "Reader"]

LIMITS = {
    "max_parallel": 1000,
    "timeout": 86_400,
    "max_tokens": 10**12,
    "max_calls": 10**9,
    "max_seconds": 10**9,
    "max_money": 9_000_000,
    "priority": 9,
}
"""Every name the parameter *limits* may hold, and the highest number that means something."""
_LOWEST = {"priority": -9}
"""The lowest number where it is not just above 0."""

MAX_TEXT_CHARS = 1_000_000
MOST_FILES = 100
_RUN_KEY_CHARS = 256
_TRACE_ID = re.compile(TRACE_ID_PATTERN)
_PAIR = re.compile(r"\s*[\"']?(\w+)[\"']?\s*[:=]\s*[\"']?([^\"'\s]+(?:\s+[A-Za-z]{3,8})?)[\"']?\s*")


class Reader:
    """Takes one value after the other and gathers what is wrong with them."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self.faults: list[Fault] = []

    def text(self, name: str) -> str | None:
        """Return a value as text, None where there is none; objects become JSON."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, Mapping | list):
            value = json.dumps(value, ensure_ascii=False, default=str)
        text = str(value).encode("utf-8", "replace").decode().strip()
        if len(text) > MAX_TEXT_CHARS:
            self.blame(name, f"is {len(text):,} characters long.", f"At most {MAX_TEXT_CHARS:,} are taken.")
            return None
        return text or None

    def structure(self, name: str) -> Any:
        """Return text, list or map; None where there is nothing in it."""
        value = self._raw.get(name)
        if isinstance(value, Mapping | list | tuple):
            return value or None
        return self.text(name)

    def task(self) -> str:
        """Return what shall be done; a fault where there is nothing."""
        task = self.text("task")
        if task is None and "task" not in {fault.field for fault in self.faults}:
            self.blame("task", "is empty.", "Say what the team shall do.")
        return task or ""

    def inputs(self) -> Mapping[str, Any]:
        """Return the inputs by name."""
        value = self.structure("inputs")
        if isinstance(value, str):
            blamed = len(self.faults)
            value = self.parsed("inputs", value)
            if len(self.faults) > blamed:
                return {}
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.blame("inputs", "is not an object.", 'Write JSON or YAML such as {"company": "ACME"}.')
            return {}
        return {str(key): each for key, each in value.items()}

    def files(self) -> tuple[Mapping[str, Any], ...]:
        """Return the files in the form of the Service API."""
        value = self._raw.get("files") or ()
        given = value if isinstance(value, list | tuple) else [value]
        # Dify makes a list of one nothing out of a parameter that is not set.
        shown = [_as_dict(each) for each in given if each is not None and str(each).strip()]
        if len(shown) > MOST_FILES:
            self.blame("files", f"are {len(shown):,}.", f"At most {MOST_FILES} are taken.")
            return ()
        files = [as_file(each) if is_file(each) else None for each in shown]
        for number, file in enumerate(files):
            if file is None:
                fix = "Choose file variables; if they are, set FILES_URL in Dify's environment."
                self.blame(f"files[{number}]", "has no address it could be fetched from.", fix)
        return tuple(file for file in files if file is not None)

    def run_key(self) -> str | None:
        """Return what the caller calls this run by."""
        key = self.text("run_key")
        if key is not None and len(key) > _RUN_KEY_CHARS:
            self.blame("run_key", f"is {len(key):,} characters long.", f"At most {_RUN_KEY_CHARS} are taken.")
        return key

    def trace_id(self) -> str:
        """Return the trace to join, empty for a new one."""
        trace_id = self.text("trace_id") or ""
        if (stripped := stripped_id("trace_id", trace_id)) is not None:
            self.faults.append(stripped)
        elif trace_id and not _TRACE_ID.fullmatch(trace_id):
            self.blame("trace_id", "holds other characters.", "Use 1-128 letters, digits, - and _, or leave it empty.")
        return trace_id

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """Return one of *words*, the first where nothing is said; it may be empty: then nothing is."""
        choice = self.text(name) or words[0]
        if choice not in words:
            self.blame(name, f"knows no {choice[:64]!r}.", f"Write {' or '.join(filter(None, words))}.")
        return choice

    def chosen[E: StrEnum](self, name: str, default: E) -> E:
        """Return the word *name* holds, *default* where there is none or, with a fault, one that nobody knows."""
        kind = type(default)
        word = self.choice(name, (default, *(each for each in kind if each is not default)))
        return kind(word) if word in set(kind) else default

    def fail_open(self) -> bool | None:
        """Return whether the run shall go on without its sidecar; None where nobody chose."""
        return ON_SIDECAR_LOSS.get(self.choice("on_sidecar_loss", ("", *ON_SIDECAR_LOSS)))

    def budgets(self) -> tuple[str, ...]:
        """Return the names of budgets: a list, JSON or YAML of one, or names with commas."""
        value = self.structure("budgets")
        if isinstance(value, str) and value.startswith(("[", "- ")):
            value = self.parsed("budgets", value)
        found = Faults()
        try:
            names = read_budgets(list(value) if isinstance(value, tuple) else value, "budgets", found)
        except PlanError as error:
            self.faults.extend(error.faults)
            return ()
        self.faults.extend(found.found)
        return names

    def limits(self) -> Limits:
        """Return the limits, each None where it is not given."""
        value = self.structure("limits")
        found = value or {}
        if isinstance(value, str):
            found = _pairs(value) or _parsed("limits", value)[0]
        if not isinstance(found, Mapping):
            self.blame("limits", "can't be read.", "Write it like max_parallel: 4, timeout: 300, max_tokens: 50000.")
            return Limits()
        given = {str(name): each for name, each in found.items() if each not in (None, "")}
        money = self._money(given.pop("max_money", None))
        numbers = {name: self._number(name, each) for name, each in given.items() if self._is_limit(name)}
        numbers["timeout_s"] = numbers.pop("timeout", None)
        return Limits(**numbers, max_money=money)

    def _money(self, value: Any) -> Money | None:
        found = Faults()
        money = read_money(value, "limits.max_money", found)
        self.faults.extend(found.found)
        return money

    def _is_limit(self, name: str) -> bool:
        if name not in LIMITS:
            self.blame("limits", f"knows no {name[:64]!r}.", f"It knows {', '.join(LIMITS)}.")
        return name in LIMITS

    def _number(self, name: str, value: Any) -> Any:
        """Return the number behind *value*: whole, but for the timeout; None and a fault where there is none."""
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        whole, lowest = name != "timeout", _LOWEST.get(name)
        enough = number > 0 if lowest is None else number >= lowest
        if not (enough and number <= LIMITS[name]) or (whole and number != int(number)):
            least = "above 0" if lowest is None else f"from {lowest}"
            fix = f"Write a {'whole number' * whole or 'number'} {least}, at most {LIMITS[name]:,}."
            self.blame(f"limits.{name}", f"can't be {str(value)[:64]!r}.", fix)
            return None
        return int(number) if whole else number

    def parsed(self, name: str, text: str) -> Any:
        """Return what JSON or YAML *text* holds; None and faults where it can't be read."""
        value, faults = _parsed(name, text)
        self.faults.extend(faults)
        return value

    def blame(self, name: str, problem: str, fix: str) -> None:
        """Take down what is wrong with a parameter, and what to do."""
        self.faults.append(Fault(field=name, problem=problem, fix=fix))


def _parsed(name: str, text: str) -> tuple[Any, list[Fault]]:
    found = Faults()
    try:
        return parse_text(text, name, found), found.found
    except PlanError as error:
        return None, [*found.found, *error.faults]


def _as_dict(file: Any) -> Any:
    """Return a file as Dify shows it: the SDK makes an object of its own of one."""
    return file.model_dump(mode="json") if hasattr(file, "model_dump") else file


def _pairs(text: str) -> dict[str, str] | None:
    """Return the limits in *text* where it is pairs in one line, like ``timeout: 300, max_calls=9``; else None."""
    pieces = [piece for piece in re.split(r"[,;\n{}]", text) if piece.strip()]
    pairs = [_PAIR.fullmatch(piece) for piece in pieces]
    return {pair[1]: pair[2] for pair in pairs if pair} if all(pairs) else None
