"""Shortens one text to a number of tokens: its head and its tail around a mark, 60 to 40."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ensemble.packing.borders import end_before, start_after
from ensemble.packing.counting import TokenCounter
from ensemble.packing.fences import around, closed, fences
from ensemble.packing.model import CUT_MARK

__all__ = ["NOTHING", "Fitted", "head_tail", "longest"]

_HEAD = 0.6
_FIRST_GUESS = 4
"""Characters a token; Latin text has about so many."""
_GUESSES = 12
_GOOD_ENOUGH = 50
"""A guess that leaves at most one in so many tokens unused is taken."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text that fits, and how many characters of the original are in it."""

    text: str
    kept_chars: int


NOTHING = Fitted("", 0)


def head_tail(text: str, tokens: int, counter: TokenCounter) -> Fitted:
    """Return head and tail of *text* around the mark, at most *tokens* by *counter*; nothing where no part fits.

    Both end at borders, and a code fence that is cut is closed, and opened again behind the mark.
    """
    found = fences(text)
    room = tokens - counter.count(f"\n{CUT_MARK}\n")
    while room > 0:
        head = longest(lambda chars: text[:chars], len(text), round(room * _HEAD), counter)
        tail = longest(lambda chars: text[-chars:], len(text) - head, room - round(room * _HEAD), counter)
        end = end_before(text, head, found)
        start = max(end, start_after(text, len(text) - tail, found))
        if end == 0 and start == len(text):
            return NOTHING
        reopened = around(found, start)
        again = f"{reopened.opening}\n" if reopened is not None else ""
        cut = closed(f"{_line(closed(text[:end]))}{CUT_MARK}\n{again}{text[start:]}".rstrip("\n"))
        over = counter.count(cut) - tokens
        if over <= 0:
            return Fitted(cut, end + len(text) - start)
        room -= max(over, room // 16, 1)
    return NOTHING


def longest(piece: Callable[[int], str], most: int, tokens: int, counter: TokenCounter) -> int:
    """Return about how many characters ``piece(characters)`` may have to be at most *tokens*; *most* at most.

    Tokens hardly ever get fewer with more text, so a few guesses by the rate seen so far find the place.
    """
    low, low_tokens, high = 0, 0, most + 1
    guess = tokens * _FIRST_GUESS
    for _ in range(_GUESSES):
        guess = min(max(guess, low + 1), high - 1)
        if guess <= low:
            break
        counted = counter.count(piece(guess))
        rate = guess / max(1, counted)
        if counted <= tokens:
            low, low_tokens = guess, counted
            if tokens - counted <= tokens // _GOOD_ENOUGH:
                break
            guess = low + max(1, int((tokens - low_tokens) * rate * 0.98))
        else:
            high = guess
            guess = max(int(tokens * rate * 0.98), low + (high - low) // 8)
    return low


def _line(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
