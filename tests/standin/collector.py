"""A collector of traces: takes what is posted to it by OTLP over HTTP, for real, and shows the spans."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Seen:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ms: int
    end_ms: int
    attributes: Mapping[str, Any]
    error: str
    """Empty where its status is not an error."""
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    links: tuple[tuple[str, str], ...]
    resource: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Conduct:
    """How a request is answered."""

    status: int = 200
    delay_s: float = 0.0
    rejects: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Posted:
    """One request."""

    path: str
    headers: Mapping[str, str]
    size: int
    status: int


class Collector:
    """What came, and how the next requests are answered."""

    def __init__(self) -> None:
        """Take everything."""
        self.url = ""
        self.posted: list[Posted] = []
        self.conduct: Callable[[int], Conduct] = lambda _: Conduct()
        """Given the number of a request, from 0."""
        self._spans: list[Seen] = []
        self._lock = threading.Lock()

    @property
    def spans(self) -> list[Seen]:
        """Every span that was taken, in order."""
        with self._lock:
            return list(self._spans)

    def of(self, run_id: str) -> list[Seen]:
        """Return the spans of one run."""
        return [each for each in self.spans if each.attributes["ensemble.run.id"] == run_id]

    def wait(self, enough: Callable[[list[Seen]], Any], within_s: float = PATIENCE_S) -> list[Seen]:
        """Return the spans once they are *enough*."""
        until = time.monotonic() + within_s
        while not enough(spans := self.spans):
            assert time.monotonic() < until, f"after {within_s} s there are only {[each.name for each in spans]}"
            time.sleep(0.02)
        return spans

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[Conduct, bytes]:
        """Take a request, and return how it is answered."""
        with self._lock:
            conduct = self.conduct(len(self.posted))
            self.posted.append(Posted(path, dict(headers), len(body), conduct.status))
        time.sleep(conduct.delay_s)
        request = ExportTraceServiceRequest.FromString(body)
        if conduct.status == 200:
            with self._lock:
                self._spans += _seen(request)
        partial = ExportTracePartialSuccess(rejected_spans=conduct.rejects, error_message="no" * bool(conduct.rejects))
        return conduct, ExportTraceServiceResponse(partial_success=partial).SerializeToString()


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector until the block ends."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            conduct, answer = made.take(self.path, dict(self.headers.items()), body)
            self.send_response(conduct.status)
            for name, value in {"Content-Type": "application/x-protobuf", **conduct.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="collector", daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _seen(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        told = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    start_ms=span.start_time_unix_nano // 1_000_000,
                    end_ms=span.end_time_unix_nano // 1_000_000,
                    attributes=_attributes(span.attributes),
                    error=span.status.message if span.status.code == 2 else "",
                    events=tuple((event.name, _attributes(event.attributes)) for event in span.events),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    resource=told,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
