"""What can be checked of how pages look without looking: contrast by day and night, and that they hold no one else's file."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT

CONSOLE = ROOT / "sidecar" / "console"
CSS = (CONSOLE / "static" / "console.css").read_text(encoding="utf-8")
TEXT = ("ink", "soft", "faint", "link", "good", "bad", "warn", "busy", "calm")
GROUNDS = ("paper", "sheet", "wash")
READABLE = 4.5
"""What WCAG 2.2 asks of small text (1.4.3)."""
PURE = ("graph", "messages", "rows", "run_page", "waterfall", "words")


def palettes() -> list[dict[str, str]]:
    """Return the colours by day, and by night."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    day, night = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert day.keys() == night.keys()
    return [day, night]


def luminance(colour: str) -> float:
    """Return how light a colour is, as WCAG has it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("night", [False, True])
def test_every_text_is_readable_on_every_ground(night: bool) -> None:  # noqa: FBT001 -- one of two palettes
    """By day and by night."""
    colours = palettes()[night]
    poor = {}
    for text in TEXT:
        for ground in GROUNDS:
            lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            contrast = (lighter + 0.05) / (darker + 0.05)
            if contrast < READABLE:
                poor[text, ground] = round(contrast, 2)

    assert poor == {}


def test_every_colour_is_named_once() -> None:
    """So that the night has all of them."""
    rules = CSS.partition("* { box-sizing")[2]

    assert re.findall(r"#[0-9a-f]{3,8}\b", rules) == []
    assert {*re.findall(r"var\(--([\w-]+)\)", rules)} <= {*palettes()[0], "mono", "sans"}


def test_every_class_in_the_templates_is_one_the_style_knows() -> None:
    """A misspelled one would just look wrong."""
    known = {*re.findall(r"\.([a-zA-Z][\w-]*)", CSS)}
    used: set[str] = set()
    for path in (CONSOLE / "templates").glob("*.html"):
        plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for classes in re.findall(r'class="([^"]*)"', plain):
            used.update(each for each in classes.split() if not each.endswith("-"))

    assert used - known == set()


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_knows_neither_server_nor_store(name: str) -> None:
    """It is told everything, and tells what to draw."""
    source = (CONSOLE / f"{name}.py").read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    allowed = {f"sidecar.console.{each}" for each in PURE}
    foreign = {each for each in imported if each.partition(".")[0] not in sys.stdlib_module_names}

    assert {each for each in foreign if each not in allowed and not each.startswith("ensemble.contract.")} == set()
    assert imported.isdisjoint({"time", "random", "secrets"})


def test_the_pages_ask_nobody_else_for_anything() -> None:
    """No font, script or picture of another server, and nobody else's file beside ours."""
    files = [path for path in CONSOLE.rglob("*") if path.is_file() and path.suffix in (".html", ".css", ".js", ".svg")]
    text = "".join(Path(path).read_text(encoding="utf-8") for path in files)

    assert {path.name for path in (CONSOLE / "static").iterdir()} == {"console.css", "console.js", "icon.svg"}
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)", text) == []
