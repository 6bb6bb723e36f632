"""Spans as OTLP spells them, packed into requests that any collector takes.

The only module that loads anything of OpenTelemetry's, and that is the messages alone, without its SDK. The SDK is made to
watch a process from within, and set up by ``OTEL_…`` variables, which in a shared environment are meant for somebody else;
the redis client would load it as well, once it were installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from sidecar.traces.spans import Span, Value

__all__ = ["MOST_BYTES", "Packer", "rejected"]

MOST_BYTES = 768 * 1024
"""Of one request: what stands before a collector may let no more than 1 MiB pass."""
MOST_SPANS = 512
_SAMPLED = 1
"""The flag of a trace that is recorded, as every ``traceparent`` of ours says."""
_NS = 1_000_000


class Packer:
    """Packs spans as those of one service."""

    def __init__(self, version: str) -> None:
        """Say which *version* of the sidecar tells them."""
        about = {"service.name": "ensemble-sidecar", "service.version": version}
        self._resource = Resource(attributes=_pairs(about))
        self._scope = InstrumentationScope(name="ensemble", version=version)

    def packed(self, spans: Sequence[Span]) -> Iterator[tuple[bytes, int]]:
        """Yield the bodies of requests, none too long, and how many spans each holds."""
        for start in range(0, len(spans), MOST_SPANS):
            yield from self._halved([_message(span) for span in spans[start : start + MOST_SPANS]])

    def _halved(self, spans: Sequence[Message]) -> Iterator[tuple[bytes, int]]:
        told = ResourceSpans(resource=self._resource, scope_spans=[ScopeSpans(scope=self._scope, spans=spans)])
        body = ExportTraceServiceRequest(resource_spans=[told]).SerializeToString()
        if len(body) <= MOST_BYTES or len(spans) == 1:
            yield body, len(spans)
            return
        half = len(spans) // 2
        yield from self._halved(spans[:half])
        yield from self._halved(spans[half:])


def rejected(body: bytes) -> int:
    """Return how many spans a collector refused, by its answer to a request it took; 0 where that can't be read."""
    try:
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # noqa: BLE001 -- whatever protobuf raises for what is none
        return 0


def _message(span: Span) -> Message:
    return Message(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        flags=_SAMPLED,
        name=span.name,
        kind=Message.SPAN_KIND_CLIENT if span.outgoing else Message.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_ms * _NS,
        end_time_unix_nano=span.end_ms * _NS,
        attributes=_pairs(span.attributes),
        events=[
            Message.Event(name=each.name, time_unix_nano=each.at_ms * _NS, attributes=_pairs(each.attributes))
            for each in span.events
        ],
        links=[
            Message.Link(trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id))
            for trace_id, span_id in span.links
        ],
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else Status(),
    )


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=str(name), value=_any(value)) for name, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    match value:
        case bool():  # before int, which it is, too
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)
