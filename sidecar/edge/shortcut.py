"""The short way of exchanges: what the plugin sends is read, answered and written without gunicorn's parser and Flask.

An exchange stands between one step of a run and the next, and HTTP's generality took as long as deciding and storing
together. The short way is taken by a request that is whole, plain and in order; it says nothing but "ok" and what the
service itself refuses. Everything else - a first request on a connection, an unknown header field, a wrong token, a body
that does not fit - is left as it came to the long way, which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from logging import DEBUG
from time import perf_counter
from typing import Any, cast

from gunicorn.util import http_date
from gunicorn.workers.gthread import TConn
from pydantic import ValidationError

from ensemble.contract.base import Answer
from ensemble.contract.endpoints import EXCHANGE
from ensemble.contract.exchange import Exchange
from sidecar.edge.auth import Tenants
from sidecar.edge.http import Handler, problem_response
from sidecar.edge.patience import PatientWorker
from sidecar.edge.requestlog import log, tell_request
from sidecar.errors import SidecarError, Unauthorized
from sidecar.metrics.meters import Meters

__all__ = ["SHORTCUT", "Shortcut", "ShortcutWorker", "shortcut"]

type Shortcut = Callable[[str, bytes], tuple[str, list[tuple[str, str]], bytes] | None]
"""Takes the Authorization field and the body; returns status, header fields and body, or None: take the long way."""

SHORTCUT = "ensemble.shortcut"
"""The name of the app's extension that holds its shortcut."""
MOST_READ = 65536
"""Bytes of a request that are read at once; a longer one takes the long way."""
_REQUEST_LINE = f"{EXCHANGE.method} {EXCHANGE.path} HTTP/1.1".encode()
_KNOWN = frozenset(
    {b"host", b"authorization", b"content-type", b"content-length", b"accept", b"accept-encoding", b"user-agent"}
)
"""Fields that change nothing about how a request is read or answered."""
LONGEST_HEAD = 8190
"""Bytes; as many as the long way takes in one field."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_JSON = [("Content-Type", "application/json")]


def shortcut(tenants: Tenants, handler: Handler, most_bytes: int, meters: Meters) -> Shortcut:
    """Return a way past Flask to the *handler* of exchanges, for bodies up to *most_bytes*; *meters* count them."""

    def answered(authorization: str, body: bytes) -> tuple[str, list[tuple[str, str]], bytes] | None:
        if len(body) > most_bytes:
            return None
        began_s, code = perf_counter(), ""
        try:
            tenant, ask = tenants.of(authorization), Exchange.model_validate_json(body)
        except (Unauthorized, ValidationError):
            return None
        try:
            answer = cast(Answer, handler(tenant, None, ask))  # never a stream
            said = "200 OK", _JSON, answer.model_dump_json().encode()
        except SidecarError as error:
            code = error.code.value
            response = problem_response(error.problem())
            said = response.status, response.headers.to_wsgi_list(), response.get_data()
        except Exception:  # noqa: BLE001 -- a fault of ours; the long way meets it again, says so and logs it
            return None
        meters.answered(tenant, EXCHANGE.name, said[0][:3], code, perf_counter() - began_s)
        if log.isEnabledFor(DEBUG):
            trace_id = ask.open.trace_id if ask.open else ""
            tell_request(EXCHANGE.method, EXCHANGE.path, int(said[0][:3]), began_s, tenant=tenant, trace_id=trace_id)
        return said

    return answered


class ShortcutWorker(PatientWorker):
    """The sidecar's threaded worker, which looks first whether a request may take the short way."""

    def handle(self, conn: TConn) -> Any:
        """Serve one request; return whether the connection stays open."""
        if not self._may_be_short(conn):
            return super().handle(conn)
        try:
            conn.sock.setblocking(True)
            came = conn.sock.recv(MOST_READ)
            if not came:
                return False
            said = self._answer(came)
            if said is not None:
                conn.sock.sendall(said)
                self.nr += 1
                return True
        except OSError:
            return False
        parser: Any = conn.parser
        parser.unreader.unread(came)
        return super().handle(conn)

    def _may_be_short(self, conn: TConn) -> bool:
        """Whether nothing about connection or worker asks for more than an answer."""
        parser: Any = conn.parser  # gunicorn's, which reads the first request of every connection
        return (
            conn.initialized
            and not conn.is_http2
            and not parser.unreader.buf.getvalue()
            and self.alive
            and len(self.keepalived_conns) < self.max_keepalived
        )

    def _answer(self, came: bytes) -> bytes | None:
        """Return what is said to a request, or None where it has to take the long way."""
        request = _plain(came)
        if request is None:
            return None
        short: Shortcut = self.wsgi.extensions[SHORTCUT]
        answered = short(*request)
        if answered is None:
            return None
        status, fields, body = answered
        fields = [*fields, ("Date", http_date())]  # type: ignore[no-untyped-call] # gunicorn is not annotated
        lines = [f"{name}: {value}\r\n" for name, value in fields if name.lower() != "content-length"]
        return f"HTTP/1.1 {status}\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def _plain(came: bytes) -> tuple[str, bytes] | None:
    """Return Authorization and body of a request that is whole and has nothing special about it."""
    head, _, body = came.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    if line != _REQUEST_LINE or not len(lines) == head.count(b"\n") == head.count(b"\r"):
        return None
    if len(head) > LONGEST_HEAD or _CONTROLS.search(head):
        return None
    fields: dict[bytes, bytes] = {}
    for each in lines:
        name, _, value = each.partition(b": ")
        name = name.lower()
        if name not in _KNOWN or name in fields:
            return None
        fields[name] = value
    if fields.get(b"content-length") != b"%d" % len(body) or fields.get(b"content-type") != b"application/json":
        return None
    return fields.get(b"authorization", b"").decode("latin-1"), body
