"""Everything that is wrong with a plan, collected so that a builder hears all of it at once."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

from ensemble.contract.problems import Fault

__all__ = ["Faults", "PlanError", "folded", "nearest", "shortened", "suggestion"]

LISTED = 12
"""How many known names a message lists before it says how many more there are."""

MAX_FAULTS = 200
"""How many faults are told at once; whoever has more has one cause for most of them."""

COMPARED = 500
"""With how many known names an unknown one is compared."""

QUOTED = 60
"""How many characters of a user's own text a message quotes."""


class PlanError(Exception):
    """The plan can't run; *faults* names every field and its fix."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Take at least one fault."""
        self.faults = tuple(faults)
        super().__init__("\n".join(_line(fault) for fault in self.faults))


class Faults:
    """A growing list of faults."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, field: str, problem: str, fix: str = "") -> None:
        """Note that *field* is wrong and what to do about it.

        Raises:
            PlanError: there are :data:`MAX_FAULTS` by now.

        """
        self.found.append(Fault(field=field or "plan", problem=problem, fix=fix))
        if len(self.found) == MAX_FAULTS:
            more = Fault(field="plan", problem="There may be more.", fix="Mend these first.")
            raise PlanError([*self.found, more])

    def stop(self) -> None:
        """Raise what was found.

        Raises:
            PlanError: something was found.

        """
        if self.found:
            raise PlanError(self.found)


def folded(name: str) -> str:
    """Return *name* as it is compared with other names: neither case nor Unicode form tell two names apart."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that *word* probably means."""
    by_key = {folded(name): name for name in islice(known, COMPARED)}
    close = difflib.get_close_matches(folded(word), list(by_key), n=1, cutoff=0.6)
    return by_key[close[0]] if close else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return "Did you mean …? There are: …", or nothing where nothing is known."""
    if not known:
        return ""
    near = nearest(word, known)
    listed = ", ".join(known[:LISTED]) + (f" and {len(known) - LISTED} more" if len(known) > LISTED else "")
    return (f"Did you mean '{near}'? " if near else "") + f"There are: {listed}."


def shortened(value: object) -> str:
    """Return *value* as a message quotes it."""
    text = str(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"


def _line(fault: Fault) -> str:
    return f"{fault.field}: {fault.problem}" + (f" {fault.fix}" if fault.fix else "")
