"""Sets up traces where a collector is named, and loads nothing of OpenTelemetry where none is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sidecar.store.connection import Client
from sidecar.store.store import Store

if TYPE_CHECKING:
    from sidecar.traces.tracer import Tracer

__all__ = ["start_tracing"]

LEASES = 2
"""For how many leases an engine that is lost may still come back before that is told."""


def start_tracing(
    endpoint: str | None, headers: Mapping[str, str] | None, redis: Client, *, version: str, lease_ms: int
) -> Tracer | None:
    """Return what tells a collector of runs, at work in this process; None where no *endpoint* is set."""
    if endpoint is None:
        return None
    from sidecar.traces.collector import Collector  # noqa: PLC0415 -- loaded by those only who want it
    from sidecar.traces.otlp import Packer  # noqa: PLC0415
    from sidecar.traces.tracer import Tracer  # noqa: PLC0415

    patience_s = LEASES * lease_ms / 1000
    tracer = Tracer(Store(redis), Collector(endpoint, headers or {}), Packer(version), patience_s=patience_s)
    tracer.start()
    return tracer
