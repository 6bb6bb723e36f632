"""What the tools on the sidecar's stores have in common: the sidecar itself, their values, and how they tell what came."""

from __future__ import annotations

import ast
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.plain import plain
from ensemble.contract.problems import Fault
from ensemble.contract.wording import faults_in
from plugin.adapters.pools import Pools
from plugin.credentials import read_credentials
from plugin.errors import SidecarNeeded
from plugin.messages import Messenger
from plugin.reader import Reader
from plugin.sizing import fitted, pieces

__all__ = [
    "WRITER",
    "Said",
    "as_text",
    "faults_of",
    "names",
    "needed_trace_id",
    "number",
    "said_messages",
    "sidecar_for",
    "value",
]

WRITER = "workflow"
"""Who writes, or sends, where nobody says who."""
_MOST_NAMES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one call came to: the text output, and every declared variable."""

    text: str
    variables: Mapping[str, Any]


def sidecar_for(credentials: Mapping[str, Any], pools: Pools, what: str) -> SidecarLedger:
    """Return the sidecar's client.

    Raises:
        BadCredentials: they can't be read.
        SidecarNeeded: there is none, and *what* lives nowhere else.

    """
    sidecar = read_credentials(credentials).sidecar
    if sidecar is None:
        raise SidecarNeeded(
            f"{what} needs the sidecar, and none is configured. Start one, and enter its Sidecar URL and Sidecar token "
            "in the plugin's credentials."
        )
    return pools.sidecar(sidecar)


def needed_trace_id(reader: Reader) -> str:
    """Return the trace; a fault where there is none: what is shared is shared within one."""
    trace_id = reader.trace_id()
    if not trace_id and not reader.faults:
        fix = "Fill in the trace_id of an orchestrator's run, or any name both sides know, such as sys.workflow_run_id."
        reader.blame("trace_id", "is empty.", fix)
    return trace_id


def said_messages[M](tool: Messenger[M], said: Said) -> Generator[M]:
    """Yield the text, then every variable, each short enough for Dify's daemon."""
    yield from (tool.create_text_message(piece) for piece in pieces(plain(said.text)))
    for name, each in said.variables.items():
        found = plain(each)
        sent = fitted(found)[0] if isinstance(found, list) else (fitted([found])[0] or [type(found)()])[0]
        yield tool.create_variable_message(name, sent)


def value(reader: Reader, name: str) -> Any:
    """Return what *name* holds: JSON read as JSON, all else as text; None where there is nothing.

    What comes from a variable into a field of text was spelled by Python on its way through Dify.
    """
    found = reader.structure(name)
    if not isinstance(found, str):
        return plain(found)
    for read in (json.loads, ast.literal_eval) if found.startswith(("[", "{")) else (json.loads,):
        try:
            made = read(found)
            # What has no number JSON can write, such as 12e3456, is the beginning of a hash rather than infinity.
            json.dumps(made, default=repr, skipkeys=True, allow_nan=False)
            return plain(made)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return found


def number(reader: Reader, name: str, *, least: float, most: float, default: float | None = None) -> float | None:
    """Return the number *name* holds, *default* where there is none; a fault where it can't be."""
    text = reader.text(name)
    if text is None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        reader.blame(name, f"can't be {text[:64]!r}.", f"Write a number from {least:g} to {most:,.0f}.")
        return default
    return found


def names(reader: Reader, name: str) -> list[str]:
    """Return the names in *name*: a list, or text with commas, semicolons or lines between them."""
    found = value(reader, name)
    pieces_found = (
        found if isinstance(found, list) else str(found or "").replace(";", ",").replace("\n", ",").split(",")
    )
    each = [str(piece).strip() for piece in pieces_found if str(piece).strip()]
    if len(each) > _MOST_NAMES:
        reader.blame(name, f"holds {len(each):,} names.", f"At most {_MOST_NAMES} are taken.")
    return each[:_MOST_NAMES]


def as_text(found: Any) -> str:
    """Return a value as a workflow shows it: text as it is, all else as JSON."""
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def faults_of(error: ValidationError, parameters: Mapping[str, str]) -> list[Fault]:
    """Return what is wrong with parameters the contract does not take; *parameters* tells what fills its fields."""
    faults = []
    for each in faults_in(error.errors(include_url=False, include_input=False)):
        field, dot, within = each.field.partition(".")
        faults.append(
            Fault(field=parameters.get(field, field) + dot + within, problem=f"{each.problem}.", fix=each.fix)
        )
    return faults
