"""What Dify leaves of a variable it does not know: its name without the braces, the same words in every call."""

from __future__ import annotations

import re

from ensemble.contract.problems import Fault
from ensemble.plan.faults import shortened
from ensemble.plan.templates import lost_braces

__all__ = ["key_in_use", "stripped_id", "stripped_task"]

_LEFT = "looks like what Dify leaves of a variable it does not know"
_INSERT = "insert it by typing / into the field."
_RUN_ID = "sys.workflow_run_id"
_OF_DIFY = re.compile(r"(?:sys|env|conversation|start|[0-9]{13})\.")
"""How names begin that only a variable of Dify's has: Studio calls its nodes by the millisecond they were made at."""


def stripped_task(task: str) -> tuple[str, ...]:
    """Return a warning where all of *task* looks like a variable's name without its braces; it may be meant."""
    if not lost_braces(task):
        return ()
    words = f"All there is to work on is '{shortened(task)}', which {_LEFT}."
    return (f"{words} If the variable's value was meant, {_INSERT}",)


def stripped_id(name: str, text: str, *, surely: bool = False) -> Fault | None:
    """Return what is wrong with the parameter *name*, which such words can't fill, where *text* looks like them.

    *surely*: only where it can hardly be anything else, for a parameter that may hold words of that shape.
    """
    if not lost_braces(text) or (surely and not _OF_DIFY.match(text)):
        return None
    # The words are not repeated: what stands in a parent's place may be a good part of a token.
    return Fault(field=name, problem=f"{_LEFT}, its bare name.", fix=f"For its value, {_INSERT}")


def key_in_use(run_key: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the run key to go by, and a warning where it looks like a variable's name without its braces.

    With such a key every execution would be the same run, and be given the answer of the first. One that can hardly mean
    anything else is left out: then each call is a run of its own.
    """
    if run_key is None:
        return None, ()
    told = f"run_key is '{shortened(run_key)}', which {_LEFT}: "
    if _RUN_ID in run_key or (lost_braces(run_key) and _OF_DIFY.match(run_key)):
        return None, (f"{told}it was left out, so a retry repeats every step. For the variable's value, {_INSERT}",)
    if lost_braces(run_key):
        again = "if so, all calls with the same task and inputs get the first one's answer. "
        name = "If it is the key you want, put a word before it."
        return run_key, (f"{told}{again}For the variable's value, {_INSERT} {name}",)
    return run_key, ()
