"""What goes wrong between a client and its sidecar. Dify shows these names and texts to the builder as they are.

No text here ever holds a key or a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ensemble.contract.problems import Fault, ProblemCode
from ensemble.engine.ports import LedgerUnavailable

__all__ = ["BadCredentials", "EnsembleError", "SidecarRefused", "SidecarUnavailable", "in_words", "without_keys"]

_A_KEY = re.compile(r"app-[A-Za-z0-9]{16,}", re.IGNORECASE)
"""A key of Dify's, or the longer part of one; no name of an agent has so many letters without a break."""
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""What can't be stored as text, or turns the text around it."""
FAULTS_SHOWN = 40
"""The most faults one failure lists."""


class EnsembleError(Exception):
    """Anything this plugin fails a node with."""


class BadCredentials(EnsembleError):  # noqa: N818 - users read these names
    """The provider's credentials do not work as saved: a person has to put them right in Dify's plugin settings."""


class SidecarUnavailable(LedgerUnavailable, EnsembleError):  # noqa: N818
    """The sidecar does not answer, or not in a language this client understands."""


class SidecarRefused(EnsembleError):  # noqa: N818
    """The sidecar answered, and said no to the request itself."""

    def __init__(self, message: str, code: ProblemCode | None = None, fields: tuple[str, ...] = ()) -> None:
        """Say what it said; *code* is its word for it, *fields* are those of the request it blamed."""
        super().__init__(message)
        self.code = code
        self.fields = fields


def in_words(faults: Iterable[Fault]) -> str:
    """Return one line a fault: where, what, and what to do.

    What stands in a key's place is quoted as ``app-…``: faults quote what was typed, and somebody types a key where a
    name belongs.
    """
    lines = [f"{fault.field}: {fault.problem}{f' {fault.fix}' if fault.fix else ''}" for fault in faults]
    if len(lines) > FAULTS_SHOWN:
        lines[FAULTS_SHOWN:] = [f"And {len(lines) - FAULTS_SHOWN} more of the kind."]
    return _UNSHOWABLE.sub("?", without_keys("\n".join(lines)))


def without_keys(text: str) -> str:
    """Return *text* with ``app-…`` in place of every key of Dify's."""
    return _A_KEY.sub("app-…", text)
