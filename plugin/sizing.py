"""Keeps what the plugin says to Dify's daemon sayable: valid JSON, and short enough for one line.

The daemon kills a plugin's process that writes a line of more than 5 MiB, with every call of every workspace in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

__all__ = ["MAX_MESSAGE_BYTES", "fitted", "pieces"]

MAX_MESSAGE_BYTES = 1024 * 1024
"""The longest message, as the SDK writes it."""
_ENVELOPE_BYTES = 1024
"""What the SDK writes around a value."""
_CUTS = (64 * 1024, 16 * 1024, 4 * 1024, 1024, 256, 64)
_PIECE_CHARS = 64 * 1024


def fitted(entries: list[Any], where: str = "") -> tuple[list[Any], int | None]:
    """Return *entries*, plain JSON, short enough for one message, and after how many characters texts were cut.

    Texts are cut first, wherever they stand; where that is not enough, the fields *data* and *sources* go, then whole
    entries from the end. Entries that fit as they are come back untouched, with None. *where* is the reference put
    behind what is left of a text: what names the whole.
    """
    if _fits(entries):
        return entries, None
    bare = entries
    for chars in _CUTS:
        cut = [_shortened(entry, chars, where) for entry in entries]
        if _fits(cut):
            return cut, chars
        bare = [_without(entry, {"data", "sources"}) for entry in cut]
        if _fits(bare):
            return bare, chars
    while not _fits(bare):
        bare = bare[: len(bare) // 2]
    return bare, _CUTS[-1]


def pieces(text: str) -> Iterator[str]:
    """Yield *text* in pieces that each fit into a message: Dify joins the text messages of a call."""
    for start in range(0, len(text), _PIECE_CHARS):
        yield text[start : start + _PIECE_CHARS]


def _fits(value: Any) -> bool:
    return len(to_json(value)) <= MAX_MESSAGE_BYTES - _ENVELOPE_BYTES


def _shortened(value: Any, chars: int, where: str) -> Any:
    match value:
        case str() if len(value) > chars:
            whole = f"; whole: {where}" if where else ""
            return f"{value[:chars]}… [cut: {len(value):,} characters in all{whole}]"
        case dict():
            return {key[:chars]: _shortened(each, chars, where) for key, each in value.items()}
        case list():
            return [_shortened(each, chars, where) for each in value]
        case _:
            return value


def _without(entry: Any, fields: set[str]) -> Any:
    return {name: each for name, each in entry.items() if name not in fields} if isinstance(entry, dict) else entry
