r"""Regular expressions as plans may hold them: a subset whose work is bounded, whatever text they are held against.

There are literals, ``.``, classes, ``\d \w \s \b`` and their opposites, groups, ``|``, ``^``, ``$`` and repeats. A
repeat reaches over :data:`LONGEST_REPEAT` times at most, so that ``*`` means up to that many. What remains is counted:
the ways in which a pattern can be tried at one place of a text. Backtracking can't take more steps than there are ways.
"""

from __future__ import annotations

import re

__all__ = ["LONGEST_REPEAT", "MOST_WAYS", "BadPattern", "read_pattern"]

LONGEST_REPEAT = 32
MOST_WAYS = 20_000
"""Ways of one pattern: two open repeats and some choices fit; nested repeats do not."""
LONGEST_PATTERN = 300

_CLASSES = frozenset("dDwWsS")
_EDGES = frozenset("bB")
_BLANKS = {"n": "\n", "t": "\t", "r": "\r"}
_COUNT = re.compile(r"\{([0-9]{0,4})(,?)([0-9]{0,4})\}")


class BadPattern(Exception):  # noqa: N818 - what it says is about the pattern
    """The pattern is outside of the subset; the message says how."""


def read_pattern(text: str) -> tuple[re.Pattern[str], int]:
    """Return *text* as a compiled expression that ignores case, and the ways it can be tried at one place.

    Raises:
        BadPattern: it is outside of the subset, or takes too much work.

    """
    if len(text) > LONGEST_PATTERN:
        raise BadPattern(f"It is {len(text)} characters long; at most {LONGEST_PATTERN} are taken.")
    reader = _Reader(text)
    try:
        written, ways = reader.choice()
        if reader.at < len(text):
            raise BadPattern("A bracket is closed that was never opened.")
        return re.compile(written, re.IGNORECASE), ways
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"It can't be read: {error}.") from None


class _Reader:
    """Reads one pattern from left to right; every part comes back rewritten, with its ways."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def choice(self) -> tuple[str, int]:
        parts = [self._row()]
        while self._next() == "|":
            self.at += 1
            parts.append(self._row())
        return "|".join(written for written, _ in parts), _bounded(sum(ways for _, ways in parts))

    def _row(self) -> tuple[str, int]:
        written, ways = [], 1
        while self._next() not in {"", "|", ")"}:
            part, more = self._repeated()
            written.append(part)
            ways = _bounded(ways * more)
        return "".join(written), ways

    def _repeated(self) -> tuple[str, int]:
        part, ways = self._atom()
        low, high = self._count()
        if (low, high) == (1, 1):
            return part, ways
        if self._next() == "?":
            self.at += 1  # Lazy or greedy: whether there is a match is the same.
        if self._next() in {"*", "+", "?"}:
            raise BadPattern("A repeat is repeated.")
        total = high - low + 1 if ways == 1 else sum(_bounded(ways**times) for times in range(low, high + 1))
        return f"{part}{{{low},{high}}}", _bounded(total)

    def _count(self) -> tuple[int, int]:
        """Return how often the atom before stands, at least and at most."""
        match self._next():
            case "*":
                low, high = 0, LONGEST_REPEAT
            case "+":
                low, high = 1, LONGEST_REPEAT
            case "?":
                low, high = 0, 1
            case "{" if (found := _COUNT.match(self.text, self.at)) and found[0] not in {"{}", "{,}"}:
                low = int(found[1] or 0)
                high = int(found[3]) if found[3] else LONGEST_REPEAT if found[2] else low
                self.at += len(found[0]) - 1
            case _:
                return 1, 1
        self.at += 1
        if not low <= high <= LONGEST_REPEAT:
            raise BadPattern(f"A repeat goes from a smaller to a larger number, {LONGEST_REPEAT} at most.")
        return low, high

    def _atom(self) -> tuple[str, int]:
        letter = self._next()
        self.at += 1
        match letter:
            case "(":
                return self._group()
            case "[":
                return self._class(), 1
            case "\\":
                return self._escape(), 1
            case "." | "^" | "$":
                return letter, 1
            case "*" | "+" | "?":
                raise BadPattern("A repeat stands behind nothing.")
            case _:
                return re.escape(letter), 1

    def _group(self) -> tuple[str, int]:
        if self.text.startswith("?", self.at):
            if not self.text.startswith("?:", self.at):
                raise BadPattern("Of the groups that begin with (? only (?:…) is taken.")
            self.at += 2
        inner, ways = self.choice()
        if self._next() != ")":
            raise BadPattern("A bracket is never closed.")
        self.at += 1
        return f"(?:{inner})", ways

    def _escape(self, *, in_class: bool = False) -> str:
        letter = self._next()
        self.at += 1
        if letter in _CLASSES or (letter in _EDGES and not in_class):
            return f"\\{letter}"
        if letter in _BLANKS:
            return re.escape(_BLANKS[letter])
        if not letter or letter.isalnum():
            raise BadPattern(f"\\{letter} is not taken.")
        return re.escape(letter)

    def _class(self) -> str:
        written = ["["]
        if self._next() == "^":
            self.at += 1
            written.append("^")
        first = self.at
        while (letter := self._next()) != "]" or self.at == first:
            self.at += 1
            if not letter:
                raise BadPattern("A class is never closed.")
            dash = letter == "-" and self.at - 1 > first and written[-1] != "-" and self._next() != "]"
            written.append(self._escape(in_class=True) if letter == "\\" else letter if dash else re.escape(letter))
        self.at += 1
        return "".join([*written, "]"])

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]


def _bounded(ways: int) -> int:
    if ways > MOST_WAYS:
        raise BadPattern("It can be tried in too many ways. Use fewer *, + and {…}, and none inside another.")
    return ways
