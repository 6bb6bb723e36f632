"""Compares values with a tool's output_schema, more strictly than JSON Schema does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def violations(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield where *value* is not what *schema* says: nulls, other types, and fields that nobody declared.

    An object without declared properties is free: it is an agent's own.
    """
    wanted = TYPES[schema["type"]]
    if value is None or not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        yield f"{path} is {value!r}, not {schema['type']}"
    elif isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            yield from violations(each, schema["items"], f"{path}[{index}]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, each in value.items():
            if name in schema["properties"]:
                yield from violations(each, schema["properties"][name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is not declared"
