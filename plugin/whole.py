"""A run's results where they are too long for a workflow's variable: as a file, and stored with the sidecar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from ensemble.contract.plain import plain
from ensemble.contract.whole import MAX_WHOLE_BYTES, WholeParams, WholePut
from ensemble.engine.events import Report
from plugin.adapters.pools import POOLS, Pools
from plugin.credentials import read_credentials
from plugin.errors import EnsembleError
from plugin.outputs import error_entry, result_entry, usage_entry

__all__ = ["MAX_FILE_BYTES", "Keep", "document", "file_name", "keeper"]

MAX_FILE_BYTES = 28 * 1024 * 1024
"""The longest file; Dify takes 30 MB."""

type Keep = Callable[[str, Mapping[str, Any]], str | None]
"""Stores a document under a reference; returns why it could not, None where it did."""


def document(report: Report) -> dict[str, Any]:
    """Return everything the run gave, uncut, as plain JSON."""
    entries: dict[str, Any] = {
        "run_id": report.run_id,
        "trace_id": report.trace_id,
        "status": str(report.status),
        "answer": report.answer,
        "results": [result_entry(result) for result in report.results],
        "errors": [error_entry(result, result.error) for result in report.errors if result.error is not None],
        "parts": [result_entry(result) for result in report.parts],
        "usage": usage_entry(report.usage),
        "warnings": list(report.warnings),
    }
    whole: dict[str, Any] = plain(entries)
    return whole


def file_name(report: Report) -> str:
    """Return what the file is called."""
    return f"ensemble-{report.run_id}.json"


def keeper(credentials: Mapping[str, Any], pools: Pools = POOLS) -> Keep:
    """Return what stores documents with the sidecar of *credentials*."""

    def keep(ref: str, whole: Mapping[str, Any]) -> str | None:
        size = len(to_json(whole))
        if size > MAX_WHOLE_BYTES:
            return f"it has {size:,} bytes, and {MAX_WHOLE_BYTES:,} are stored at most"
        try:
            sidecar = read_credentials(credentials).sidecar
            if sidecar is None:
                return "no sidecar is configured"
            pools.sidecar(sidecar).put_result(WholeParams(ref=ref), WholePut(value=whole))
        except EnsembleError as error:
            return str(error)
        return None

    return keep
