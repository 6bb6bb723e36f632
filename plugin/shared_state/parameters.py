"""Reads the shared state tool's parameters, in whatever type Dify hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ensemble.contract.state import SHARED
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader
from plugin.stores import WRITER, names, needed_trace_id, number, value

__all__ = [
    "SHARED_STATE_PARAMETERS",
    "Operation",
    "SharedStateParameters",
    "read_shared_state_parameters",
]

SHARED_STATE_PARAMETERS = (
    "operation", "trace_id", "key", "value", "namespace", "agent", "expected_version", "at_most", "ttl_s",
)  # fmt: skip
"""Every parameter the shared state tool reads."""

_MOST_KEPT = 100_000
_LONGEST_TTL_S = 30 * 86_400
_MOST_VERSION = 2**53


class Operation(StrEnum):
    """What is done to shared state."""

    GET = "get"
    PUT = "put"
    INCREMENT = "increment"
    APPEND = "append"
    MERGE = "merge"
    ADD = "add"
    REMOVE = "remove"
    DELETE = "delete"
    LIST = "list"
    GET_MANY = "get_many"
    PUT_MANY = "put_many"


_NEEDS_VALUE = {Operation.APPEND, Operation.ADD, Operation.REMOVE}
_NEEDS_OBJECT = {Operation.MERGE, Operation.PUT_MANY}
_NEEDS_NO_KEY = {Operation.LIST, Operation.PUT_MANY}


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStateParameters:
    """One call of the tool, read."""

    operation: Operation
    trace_id: str
    keys: tuple[str, ...]
    """One, but for ``get_many``; for ``list`` the beginning of the keys."""
    value: Any
    namespace: str
    agent: str
    expected_version: int | None
    at_most: int | None
    ttl_s: int

    @property
    def key(self) -> str:
        """The one key, empty where none is needed."""
        return self.keys[0] if self.keys else ""


def read_shared_state_parameters(raw: Mapping[str, Any]) -> SharedStateParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    operation = reader.chosen("operation", Operation.GET)
    read = SharedStateParameters(
        operation=operation,
        trace_id=needed_trace_id(reader),
        keys=_keys(reader, operation),
        value=_value(reader, operation),
        namespace=reader.text("namespace") or SHARED,
        agent=reader.text("agent") or WRITER,
        expected_version=_whole(number(reader, "expected_version", least=0, most=_MOST_VERSION)),
        at_most=_whole(number(reader, "at_most", least=1, most=_MOST_KEPT)),
        ttl_s=int(number(reader, "ttl_s", least=1, most=_LONGEST_TTL_S, default=3600) or 3600),
    )
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read


def _keys(reader: Reader, operation: Operation) -> tuple[str, ...]:
    if operation is Operation.GET_MANY:
        keys = tuple(names(reader, "key"))
    else:
        key = reader.text("key")
        keys = (key,) if key else ()
    if not keys and operation not in _NEEDS_NO_KEY:
        reader.blame("key", "is empty.", f"Name the value to {operation}.")
    return keys


def _value(reader: Reader, operation: Operation) -> Any:
    found = value(reader, "value")
    if operation in _NEEDS_OBJECT and not (isinstance(found, dict) and found):
        reader.blame("value", "is not an object.", 'Write JSON such as {"status": "done"}.')
    if operation in _NEEDS_VALUE and found is None:
        reader.blame("value", "is empty.", f"Say what to {operation}.")
    if operation is Operation.INCREMENT and not (found is None or (type(found) is int and abs(found) <= _MOST_VERSION)):
        reader.blame("value", "is no whole number.", "Write how much to add, such as 1 or -1; empty adds 1.")
        return None
    return found


def _whole(found: float | None) -> int | None:
    return None if found is None else int(found)
