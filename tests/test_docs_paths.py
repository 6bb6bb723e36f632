"""Every file, folder and module that prose names is there: in pages, in docstrings and in comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.pages import ROOT, fenced

PACKAGES = ("benchmarks", "ensemble", "examples", "plugin", "provider", "scripts", "sidecar", "tests")
FOLDERS = (*PACKAGES, "deploy", "docs", "readme", "requirements")
PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
]
MODULES = [ROOT / "main.py", *(module for package in PACKAGES for module in (ROOT / package).rglob("*.py"))]

FILE = re.compile(r"(?<![\w/.:<>{-])((?:[\w-]+/)*[\w-]+\.(?:py|lua|md|ya?ml|toml|html|service|sh))\b(?!\.\w)")
FOLDER = re.compile(r"`((?:[\w-]+/)+)`")
BELOW = re.compile(rf"(?<![\w/.:<>{{-])((?:{'|'.join(FOLDERS)})(?:/[\w-]+)+)(?![\w-]*[.*/<{{…\w-])")
DOTTED = re.compile(rf"(?<![\w/.-])((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)")

ELSEWHERE = re.compile(
    r"(core|controllers)/.*|docker/volumes/.*|(docker/)?docker-compose\.yaml|backup\.py|build/|provider/(model|name)"
)
"""Dify's source, its compose file and its folders, a file the reader makes, what `make` makes, words of plans."""
WORDS = re.compile(r"ensemble\.(service|breaker)|sidecar\.md|ensemble\.(\w+\.)*md")
"""What looks like a module and is none."""


@cache
def names() -> frozenset[str]:
    """Return every file and folder of the repository, as a path from its root; what tools leave there is not of it."""
    own = [*ROOT.glob("*.*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    found = [path.relative_to(ROOT) for path in own if "__pycache__" not in path.parts and path.is_file()]
    return frozenset(str(each) for path in found for each in (path, *path.parents))


@cache
def ends() -> frozenset[str]:
    """Return the ends of all names, at a slash."""
    return frozenset(name[slash.end() :] for name in names() for slash in re.finditer("/", name))


def is_there(name: str, where: Path) -> bool:
    """Return whether *name* is a path from the root or from a folder *where* stands in, or the end of one."""
    name = name.rstrip("/")
    near = where.relative_to(ROOT).parents
    return any(str(folder / name) in names() for folder in near) or name in ends()


def can_be_had(dotted: str) -> bool:
    """Return whether *dotted* is a module or a package, or a name in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        module, package = "/".join(parts[:count]) + ".py", "/".join(parts[:count])
        source = module if module in names() else f"{package}/__init__.py"
        if source in names():
            rest = parts[count : count + 1]
            return not rest or re.search(rf"\b{rest[0]}\b", (ROOT / source).read_text(encoding="utf-8")) is not None
    return False


def prose_of(module: Path) -> Iterator[str]:
    """Yield the docstrings and comments of a module."""
    source = module.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def missing(text: str, where: Path) -> list[str]:
    """Return what *text* names that is not there."""
    paths = {found for shape in (FILE, FOLDER, BELOW) for found in shape.findall(text)}
    modules = {found for found in DOTTED.findall(text) if not WORDS.fullmatch(found)}
    return sorted(
        [each for each in paths if not ELSEWHERE.fullmatch(each) and not is_there(each, where)]
        + [each for each in modules if not can_be_had(each)]
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_what_is_there(page: Path) -> None:
    """Files, folders, modules; but attributes of spans, which are dotted as well."""
    text = page.read_text(encoding="utf-8")
    if page.name == "tracing.md":
        text = re.sub(r"`ensemble\.[\w.]+`", "", text)
    assert missing(text, page) == []


def test_docstrings_and_comments_name_only_what_is_there() -> None:
    """In all modules, the tests' own included."""
    found = {
        str(module.relative_to(ROOT)): gone
        for module in MODULES
        if (gone := [each for text in prose_of(module) for each in missing(text, module)])
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("see `ensemble/rules/" + "breaker.py`", ["ensemble/rules/" + "breaker.py"]),
        ("see rules/" + "breaker.py for it", ["rules/" + "breaker.py"]),
        ("in `engine/" + "reckoning/`", ["engine/" + "reckoning/"]),
        ("`ensemble/" + "reckoning` counts", ["ensemble/" + "reckoning"]),
        ("by :func:`~ensemble.rules." + "breaker.admit`", ["ensemble.rules." + "breaker.admit"]),
        ("by `ensemble.rules.breakers.breaker." + "reckon`", ["ensemble.rules.breakers.breaker." + "reckon"]),
        ("`rules/ring.py`, `breakers/`, `sidecar/edge` and ensemble.client.links.Links", []),
    ],
)
def test_what_has_moved_is_found(text: str, gone: list[str]) -> None:
    """The test itself: a name of before a move is no end of any path of now."""
    assert missing(text, ROOT / "ARCHITECTURE.md") == gone


def test_the_picture_of_the_architecture_has_every_room_of_the_library() -> None:
    """One line a folder."""
    picture = fenced((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), "")[0]
    rooms = {path.parent.name for path in (ROOT / "ensemble").glob("*/__init__.py")}

    assert set(re.findall(r"^ +│   (\w+)/ ", picture, re.MULTILINE)) == rooms
