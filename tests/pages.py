"""Reading the pages under docs, for tests that compare them with the code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["APPS", "ROOT", "cells", "code", "fenced", "page", "rows"]

ROOT = Path(__file__).resolve().parents[1]
APPS = ("market", "tech", "finance", "competitor", "critic", "writer")
"""The names the examples' credentials hold."""


@cache
def page(name: str) -> str:
    """Return a page under docs."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str, *header: str) -> list[list[str]]:
    """Return the cells of the first table in *text* whose header begins with these words."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if cells(line)[: len(header)] == list(header))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(cells(line))
    return found


def cells(line: str) -> list[str]:
    """Return the cells of a table's line."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def code(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def fenced(text: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
