"""Under which trace a call belongs: the headers that hand it on, and the trace that headers tell of.

Pure, but where nobody knows the span a call belongs to: then its id is chance.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from ensemble.contract.tracing import w3c_trace_id

__all__ = ["trace_headers", "trace_of"]

_TRACE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_W3C_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_W3C_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_headers(trace_id: str, span_id: str = "") -> dict[str, str]:
    """``X-Trace-Id`` for Dify's own tracing, ``traceparent`` for whatever lies between; none for an unusable id.

    *span_id*: of the span the call is made in, an attempt's mostly, below which hangs whatever lies behind the call.
    Without one the trace is told, and a parent that nobody has heard of.
    """
    if not _TRACE_ID.fullmatch(trace_id):
        return {}
    parent = span_id if _W3C_SPAN_ID.fullmatch(span_id) else secrets.token_hex(8)
    return {"X-Trace-Id": trace_id, "traceparent": f"00-{w3c_trace_id(trace_id)}-{parent}-01"}


def trace_of(headers: Mapping[str, str]) -> str:
    """Return the trace a request came under: its ``X-Trace-Id``, else that of its ``traceparent``; empty without one.

    Names of headers are looked up whatever their case; what can't be a trace's id counts as none.
    """
    told = {name.lower(): value.strip() for name, value in headers.items()}
    if _TRACE_ID.fullmatch(told.get("x-trace-id", "")):
        return told["x-trace-id"]
    found = _TRACEPARENT.fullmatch(told.get("traceparent", ""))
    return found.group(1) if found and _W3C_TRACE_ID.fullmatch(found.group(1)) else ""
