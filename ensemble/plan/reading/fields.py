"""Reading the fields of one map of a plan: each with its type and bounds, and the unknown ones named at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ensemble.contract.base import is_name
from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.wording import faults_in
from ensemble.plan.faults import Faults, nearest, shortened

__all__ = ["Fields", "at", "entries", "name_of"]

NAME_RULE = "Names are 1-64 letters, digits, spaces or _ . - long."
MAX_TIMEOUT_S = 86_400
MAX_RETRIES = 100
MAX_TOKENS = 10**9

_NUMBER = re.compile(r"\s*[-+]?[0-9]{1,15}(\.[0-9]{1,9})?\s*")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def at(path: str, key: str | int) -> str:
    """Return the path of *key* inside the map or list at *path*."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def name_of(value: Any, path: str, faults: Faults) -> str | None:
    """Return *value* as the name of an agent or step, or None after noting what is wrong with it."""
    name = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if is_name(name):
        return name
    faults.add(path, f"'{shortened(value)}' is no name." if value is not None else "It is empty.", NAME_RULE)
    return None


def entries(value: Any, path: str, faults: Faults) -> list[tuple[str, Any]]:
    """Return the entries of a list, each with its path; a single text counts as a list of one, nothing as none."""
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [(at(path, index), item) for index, item in enumerate(value)]
    if isinstance(value, str | int | float):
        return [(path, value)]
    faults.add(path, "It is no list.", "Write a list, such as [a, b].")
    return []


class Fields:
    """The fields of one map. Each is asked for once; :meth:`close` names those nobody asked for."""

    def __init__(self, data: Any, path: str, faults: Faults) -> None:
        """Take what stands at *path*; what is no map is noted as a fault and read as an empty one."""
        self.path = path
        self._faults = faults
        self._asked: list[str] = []
        self._data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
        if data is not None and not isinstance(data, Mapping):
            faults.add(path or "plan", f"'{shortened(data)}' is no map.", "Write 'field: value' pairs.")

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return at(self.path, name)

    def take(self, name: str) -> Any:
        """Return a field as it is, None where it is missing or empty."""
        self._asked.append(name)
        return self._data.get(name)

    def has(self, name: str) -> bool:
        """Return whether a field is given and not null."""
        return self._data.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text; a number counts as one."""
        value = self.take(name)
        if value is None:
            return ""
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        self._faults.add(self.at(name), "It is no text.", "Write a text.")
        return ""

    def name(self, name: str) -> str | None:
        """Return the name of an agent or step, None where it is missing or wrong."""
        value = self.take(name)
        return None if value is None else name_of(value, self.at(name), self._faults)

    def flag(self, name: str) -> bool | None:
        """Return a yes or no."""
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _FLAGS:
            return _FLAGS[value.strip().lower()]
        self._faults.add(self.at(name), f"'{shortened(value)}' is neither true nor false.", "Write true or false.")
        return None

    def choice(self, name: str, words: Sequence[str]) -> str | None:
        """Return one of *words*."""
        value = self.take(name)
        if value is None or value == "":
            return None
        word = str(value).strip().lower()
        if word in words:
            return word
        near = nearest(word, words)
        meant = f"Did you mean '{near}'? " if near else ""
        self._faults.add(self.at(name), f"'{shortened(value)}' is unknown.", f"{meant}There are: {', '.join(words)}.")
        return None

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number."""
        number = self._number(name, low, high, "a whole number")
        if number is None:
            return None
        if number != int(number):
            self._faults.add(self.at(name), f"{number} is no whole number.", f"Write one from {low} to {high}.")
            return None
        return int(number)

    def seconds(self, name: str) -> float | None:
        """Return a time in seconds, more than 0."""
        number = self._number(name, 0, MAX_TIMEOUT_S, "seconds")
        if number == 0:
            self._faults.add(
                self.at(name), "0 seconds are over at once.", "Write seconds, such as 120, or leave it out."
            )
            return None
        return number

    def share(self, name: str, high: float) -> float | None:
        """Return a number from 0 to *high*."""
        return self._number(name, 0, high, "a number")

    def given(self) -> Mapping[str, Any]:
        """Return all that stands there."""
        return self._data

    def breaker(self, name: str) -> BreakerPolicy | None:
        """Return a breaker's policy; its fields and bounds are the contract's."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            known = ", ".join(BreakerPolicy.model_fields)
            self._faults.add(self.at(name), "It is no map.", f"Write some of these fields with numbers: {known}.")
            return None
        numbers = {
            str(key): float(item) if isinstance(item, str) and _NUMBER.fullmatch(item) else item
            for key, item in value.items()
        }
        try:
            return BreakerPolicy.model_validate(
                {
                    key: int(item) if isinstance(item, float) and item.is_integer() else item
                    for key, item in numbers.items()
                }
            )
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                self._breaker_fault(self.at(name), problem)
        return None

    def close(self) -> None:
        """Note every field nobody asked for."""
        for name in self._data:
            if name not in self._asked:
                self._unknown(self.at(name), name, self._asked)

    def _unknown(self, path: str, name: str, known: Sequence[str]) -> None:
        near = nearest(name, known)
        meant = f"Did you mean '{near}'? " if near else ""
        self._faults.add(path, "There is no such field.", f"{meant}There are: {', '.join(dict.fromkeys(known))}.")

    def _breaker_fault(self, path: str, problem: ErrorDetails) -> None:
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            self._unknown(at(path, name), name, list(BreakerPolicy.model_fields))
            return
        (fault,) = faults_in([problem], BreakerPolicy)
        self._faults.add(at(path, name), f"It is {fault.problem}.", fault.fix)

    def _number(self, name: str, low: float, high: float, kind: str) -> float | None:
        value = self.take(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._faults.add(self.at(name), f"'{shortened(value)}' is no number.", f"Write {kind}, such as 2.")
        elif not low <= value <= high:
            self._faults.add(self.at(name), f"{value} is out of bounds.", f"Write {kind} from {low} to {high}.")
        else:
            return float(value)
        return None
