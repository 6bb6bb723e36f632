"""Spans in the form of OpenTelemetry's, packed into requests that any collector takes.

The only module that loads OpenTelemetry. Nothing of it is set up: no provider, no processor, no resource detector. It is
told every value, so that none comes from an ``OTEL_…`` variable, which would be meant for somebody else in the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sidecar.telemetry.spans import Span

__all__ = ["MOST_BYTES", "Packer", "rejected"]

MOST_BYTES = 768 * 1024
"""Of one request: what stands before a collector may let no more than 1 MiB pass."""
MOST_SPANS = 512
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Packer:
    """Packs spans as those of one service."""

    def __init__(self, version: str) -> None:
        """Say which *version* of the sidecar tells them."""
        self._resource = Resource({"service.name": "ensemble-sidecar", "service.version": version})
        self._scope = InstrumentationScope("ensemble", version)

    def packed(self, spans: Sequence[Span]) -> Iterator[tuple[bytes, int]]:
        """Yield the bodies of requests, none too long, and how many spans each holds."""
        for start in range(0, len(spans), MOST_SPANS):
            yield from self._halved([self._readable(span) for span in spans[start : start + MOST_SPANS]])

    def _halved(self, spans: Sequence[ReadableSpan]) -> Iterator[tuple[bytes, int]]:
        body = encode_spans(spans).SerializeToString()
        if len(body) <= MOST_BYTES or len(spans) == 1:
            yield body, len(spans)
            return
        half = len(spans) // 2
        yield from self._halved(spans[:half])
        yield from self._halved(spans[half:])

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(each.name, dict(each.attributes), each.at_ms * 1_000_000) for each in span.events],
            links=[Link(_context(*link)) for link in span.links],
            kind=SpanKind.CLIENT if span.outgoing else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start_ms * 1_000_000,
            end_time=span.end_ms * 1_000_000,
            instrumentation_scope=self._scope,
        )


def rejected(body: bytes) -> int:
    """Return how many spans a collector did not take, by its answer to a request it took; 0 where that can't be read."""
    try:
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # noqa: BLE001 -- whatever protobuf raises for what is none
        return 0


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
