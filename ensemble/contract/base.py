"""The two kinds of body that cross the wire, and the ids they carry.

An *ask* is refused when it holds a field nobody knows: a typo must not pass for a default. An *answer* ignores unknown
fields, so that an older client reads a newer server.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

__all__ = [
    "AgentName",
    "Answer",
    "Ask",
    "Fingerprint",
    "HexId",
    "Identity",
    "Namespace",
    "RunKey",
    "StateKey",
    "StepId",
    "TraceId",
    "is_name",
    "is_part",
]

NAME_PATTERN = r"^[\w .\-]{1,64}$"
"""Names of agents and steps: 1-64 letters of any script, digits, space, ``_ . -``."""

STEP_PATTERN = r"^[\w .\-/\[\]]+$"
"""Ids of steps: names, joined by ``/`` and with numbers in brackets where groups have made parts of them."""
STEP_CHARS = 480

TRACE_ID_PATTERN = r"^[A-Za-z0-9_\-]{1,128}$"
"""What Dify itself accepts as an external trace id."""

HexId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A 32-hex id minted by the engine: run ids, owners, tickets."""
TraceId = Annotated[str, StringConstraints(pattern=TRACE_ID_PATTERN)]
RunKey = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""What the caller calls this run by; the same key with the same fingerprint is the same run."""
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, in hex, of everything that decides what a run does."""
AgentName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
StepId = Annotated[str, StringConstraints(pattern=STEP_PATTERN, max_length=STEP_CHARS)]
"""A step of the plan by its name, or a part of a group, which no plan can write: ``group/part``, ``group[3]``."""
Identity = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""What an agent *is*, whatever it is called: ``app:<id>``, ``api:<base URL>#<key hash>``, ``model:…``, ``tool:…``."""


def _survives_a_path(name: str) -> str:
    if {".", ".."} & set(name.split("/")):
        raise ValueError("'.' and '..' mean something else in an address; choose another name")
    return name


Namespace = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_survives_a_path)]
StateKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_survives_a_path),
]


_NAMES: TypeAdapter[str] = TypeAdapter(AgentName)


def is_name(text: str) -> bool:
    """Return whether *text* can be the name of an agent or step, by the very check that the contract makes.

    Python's own regular expressions see other characters as letters and digits ('²', the accents of Hindi).
    """
    try:
        _NAMES.validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


def is_part(step: str) -> bool:
    """Return whether *step* is a part of a group rather than a step of the plan."""
    return "/" in step or "[" in step


class Ask(BaseModel):
    """A body sent to the sidecar: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Answer(BaseModel):
    """A body sent by the sidecar: frozen, strict, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
