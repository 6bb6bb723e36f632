"""What every way to run a team takes besides what is to be done, checked before anything begins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ensemble.contract.base import TRACE_ID_PATTERN
from ensemble.engine.events import Event

__all__ = ["RunOptions", "check_options"]

_RUN_KEY_CHARS = 256


class RunOptions(TypedDict, total=False):
    """What every way to run takes besides what is to be done."""

    inputs: Mapping[str, Any]
    """The run's inputs: what ``{{ start.… }}`` refers to, and values for variables that apps declare."""
    files: Sequence[Mapping[str, Any]]
    """Files for every app, in the form of Dify's Service API."""
    timeout: float
    """Of the whole run, seconds; 540 where neither this nor the plan says otherwise, the lower one where both do."""
    trace_id: str
    """The trace the run belongs to; a new one without it. Letters, digits, ``-`` and ``_``, at most 128."""
    run_key: str
    """By which the run is found again: a second call with it repeats only what had failed."""
    user: str
    """The end user; apps see ``ens-<user>``."""
    conversation: str
    """By which agents with ``memory: true`` remember; without it, each run for itself."""
    fail_fast: bool
    """Whether the first failed step ends the run."""
    on_event: Callable[[Event], None]
    """Is given lines of progress and pieces of the answer as they come, in the caller's thread."""


def check_options(options: RunOptions) -> None:
    """Refuse what can't be meant.

    Raises:
        TypeError: there is no such option, or one is of another kind.
        ValueError: one is out of bounds.

    """
    for name in options:
        if name not in RunOptions.__annotations__:
            known = ", ".join(RunOptions.__annotations__)
            raise TypeError(f"There is no option {name!r}. There are: {known}.")
    inputs = options.get("inputs")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise TypeError("inputs is no map. Pass the values by their names.")
    trace_id, run_key, timeout = options.get("trace_id"), options.get("run_key"), options.get("timeout")
    if trace_id and not re.fullmatch(TRACE_ID_PATTERN, trace_id):
        raise ValueError("trace_id takes letters, digits, - and _, at most 128 of them.")
    if run_key is not None and not 0 < len(run_key) <= _RUN_KEY_CHARS:
        raise ValueError(f"run_key takes 1 to {_RUN_KEY_CHARS} characters.")
    if timeout is not None and not timeout > 0:
        raise ValueError("timeout is in seconds, more than 0.")
