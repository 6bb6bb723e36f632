"""The sidecar's own page tells every folder, every module and every key there is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ensemble.rules import addresses
from ensemble.rules.snapshot import Address
from sidecar.console.signing import CONSOLE_KEY
from sidecar.messages.keys import mailbox_keys
from sidecar.store.keys import full_key, kind_of
from tests.pages import ROOT, code, rows

PAGE = (ROOT / "sidecar" / "README.md").read_text(encoding="utf-8")
INDEXES = ("AGENTS", "BREAKERS", "BREAKERS_HELD", "BUDGETS", "LEASES", "RESERVATIONS", "RUNS", "SLOTS")
FIELDS = {"ABOUT", "ANSWER", "ATTEMPT", "LINEAGE", "RUN", "STEP", "STEPS"}
TYPES = {"hash": "hash", "sorted set": "zset", "string": "string"}


def shapes_told() -> Iterator[tuple[str, str]]:
    """Yield every key of the page, with ``*`` for each value in it, and its type."""
    for key, kind, *_ in rows(PAGE, "Key", "Type"):
        first, *more = code(key)
        for shape in [first + name for name in more] if first.endswith(":") else [first, *more]:
            yield re.sub(r"<[^>]*>", "*", shape), kind


def keys_of(found: Any) -> Iterator[str]:
    """Yield the keys in what a function of `addresses` returns."""
    if isinstance(found, Address):
        yield found.key
    elif isinstance(found, str):
        yield found
    else:
        for each in found:
            yield from keys_of(each)


def shapes_of_addresses() -> set[str]:
    """Return the keys the ledger's addresses spell."""
    functions: list[Callable[..., Any]] = [
        value for name, value in inspect.getmembers(addresses, inspect.isfunction) if name in addresses.__all__
    ]
    assert {*addresses.__all__} == {*INDEXES, *FIELDS, "CACHE"} | {function.__name__ for function in functions}
    found = {getattr(addresses, name) for name in INDEXES}
    for function in functions:
        needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        found.update(re.sub("[0-9a-f]{64}", "*", key) for key in keys_of(function(*("*" for _ in needed))))
    return found


def shapes_written() -> set[str]:
    """Return every text in the rules and the server that is put together like a key: a word, a colon, a value."""
    found = set()
    for path in [*(ROOT / "ensemble/rules").rglob("*.py"), *(ROOT / "sidecar").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(each.value) if isinstance(each, ast.Constant) else "*" for each in node.values]
                if re.fullmatch(r"[a-z]+:(\*|:)+", "".join(parts)):
                    found.add("".join(parts))
    return found


def test_every_key_is_told_and_no_other() -> None:
    """By the addresses of the ledger, by what else is spelled anywhere, and by the keys of messages."""
    messages = {re.sub(r"^.*}:", "", key) for key in mailbox_keys("t", "*", "*")}
    spelled = shapes_of_addresses() | shapes_written() | messages | {CONSOLE_KEY}
    told = {shape for shape, _ in shapes_told()}

    assert told == spelled - {"messages:*:*", "mailbox:*:*:*"}


def test_the_types_told_are_those_the_store_is_held_to() -> None:
    """Where one row is of one type."""
    checked = 0
    for shape, kind in shapes_told():
        if kind in TYPES:
            assert kind_of(full_key("t", shape.replace("*", "x"))) == TYPES[kind], shape
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("where", ["*.py", "*/__init__.py"])
def test_every_module_and_folder_stands_in_the_table(where: str) -> None:
    """And the table names none that is not there."""
    told = {name for row in rows(PAGE, "Where") for name in code(row[0])}
    there = {
        f"{path.parent.name}/" if path.name == "__init__.py" else path.name
        for path in (ROOT / "sidecar").glob(where)
        if path != ROOT / "sidecar" / "__init__.py"
    }

    assert {name for name in told if name.endswith("/") == (where != "*.py")} == there


@pytest.mark.parametrize("folder", ["edge", "launch"])
def test_every_module_of_what_stands_around_the_subjects_is_told(folder: str) -> None:
    """Each in the folder's own table."""
    told = {name for row in rows(PAGE, f"In `{folder}/`") for name in code(row[0])}

    assert told == {path.name for path in (ROOT / "sidecar" / folder).glob("*.py")} - {"__init__.py"}
