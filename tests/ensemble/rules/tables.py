"""The tests' tables as the docs show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[3] / "docs"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; rows that say the same stand once."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += dict.fromkeys(f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join(lines) + "\n"


def holds(page: str, told: str) -> None:
    """Fail unless *page* shows the table *told*, with what to paste there."""
    assert told in (DOCS / page).read_text(encoding="utf-8"), f"docs/{page} should hold:\n\n{told}"


def cases(test: Any, mark: int = 0) -> list[Any]:
    """Return the parameter sets of a parametrised test; *mark* counts its decorators from the lowest."""
    found: list[Any] = test.pytestmark[mark].args[1]
    return found
