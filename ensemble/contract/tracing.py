"""The ids of traces and spans, made from ids that are there already: whoever makes one makes the same one.

So the header that goes out with a call names the span that is written down only once the run is over, in another process.
"""

from __future__ import annotations

import re
from hashlib import sha256

__all__ = ["attempt_span", "run_span", "step_span", "w3c_trace_id"]

_W3C_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACE_CHARS, _SPAN_CHARS = 32, 16


def w3c_trace_id(trace_id: str) -> str:
    """Return the 32 hex digits W3C knows a trace by: its own id where that is such, else the head of its SHA-256."""
    return trace_id if _W3C_TRACE_ID.fullmatch(trace_id) else _made_from(trace_id, _TRACE_CHARS)


def attempt_span(ticket: str) -> str:
    """Return the id of an attempt's span. Of the whole ticket: not everybody's ids differ at their beginning."""
    return _made_from(f"attempt {ticket}", _SPAN_CHARS)


def run_span(run_id: str, epoch: int) -> str:
    """Return the id of the span of what one engine did of a run."""
    return _made_from(f"run {run_id} {epoch}", _SPAN_CHARS)


def step_span(run_id: str, epoch: int, step: str) -> str:
    """Return the id of the span of what one engine did at a step."""
    return _made_from(f"step {run_id} {epoch} {step}", _SPAN_CHARS)


def _made_from(source: str, chars: int) -> str:
    """Return so many hex digits made from *source*: not only zeros, which stand for no id at all."""
    made = "0"
    while not made.strip("0"):
        source = sha256(source.encode()).hexdigest()
        made = source[:chars]
    return made
