"""Gunicorn's threaded worker, made to keep its threads for whoever sends: a silent client waits outside, a slow one is left.

By itself it would wait for the rest of a request for ever, and as many unfinished requests as there are threads would
stop the whole server. They need no malice, nor a token: a paused client or a broken network leaves them behind.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import struct
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, cast

from gunicorn import util
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread
from gunicorn.workers.gthread import TConn, ThreadWorker

from ensemble.contract.problems import Problem, ProblemCode
from sidecar.edge.unreadable import as_sent, unreadable

__all__ = ["PatientWorker"]

PIECE_S = 5
"""How long a thread waits for the next piece of a request, or for a client to take the next piece of an answer."""
REQUEST_S = 30.0
"""How long it waits for a request as a whole."""
LAST_S = 1.0
"""How long it waits for the first piece from who has connected to a process just before that was told to stop."""
REPLACED_S = 25
"""What requests under way are given in a process that makes way for a new one; those that wait take 20 s at most."""

log = logging.getLogger("sidecar.http")

_PIECE = struct.pack("ll", PIECE_S, 0)


class PatientWorker(ThreadWorker):
    """Serves clients as long as they send."""

    def init_signals(self) -> None:
        """Listen to signals; a SIGHUP says that the SIGTERM that follows is no hurry, since a new process serves by then."""
        super().init_signals()  # type: ignore[no-untyped-call] # gunicorn is not annotated
        signal.signal(signal.SIGHUP, lambda *_: self.cfg.set("graceful_timeout", REPLACED_S))
        signal.siginterrupt(signal.SIGHUP, False)

    def handle(self, conn: TConn) -> Any:
        """Serve one request; return whether the connection stays open."""
        if not conn.initialized:
            wait_s = 0 if self.alive else LAST_S
            if not conn.data_ready and not conn.wait_for_data(wait_s):  # type: ignore[no-untyped-call] # gunicorn's
                return gthread._DEFER if self.alive else False  # noqa: SLF001 -- come again once it has sent something
            for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                # The kernel's timeouts: gunicorn sets the socket's own anew for every request.
                conn.sock.setsockopt(socket.SOL_SOCKET, way, _PIECE)
            conn.init()  # type: ignore[no-untyped-call] # gunicorn is not annotated
            cast(Any, conn.parser).unreader = _Patient(conn.sock)  # type: ignore[no-untyped-call] # gunicorn's
        cast(Any, conn.parser).unreader.until = time.monotonic() + REQUEST_S
        return super().handle(conn)  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Let go of a connection, or keep it for its next request."""
        served = not fs.cancelled() and not fs.exception()
        if served and fs.result() is gthread._DEFER and not self.alive:  # noqa: SLF001
            # It was told to stop just after it had accepted the connection: gunicorn by itself would drop it unread.
            self.enqueue_req(conn)  # type: ignore[no-untyped-call] # gunicorn is not annotated
            return
        super().finish_request(conn, fs)  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what gunicorn can't read, or what failed outside of the app, as the app would: with a problem."""
        problem = unreadable(exc)
        if problem is None:
            log.error("%s failed", getattr(req, "method", "A request"), exc_info=exc)
            detail = "A fault of the sidecar; its log tells more."
            problem = Problem(title="Fault of the sidecar", status=500, code=ProblemCode.INTERNAL, detail=detail)
        else:
            peer = addr[0] if addr else ""
            # Not what stood in the request: that may be a token.
            log.warning("A request can't be read: %s", type(exc).__name__, extra={"peer": peer})
        with suppress(OSError):  # it has gone
            util.write_nonblock(client, as_sent(problem))  # type: ignore[no-untyped-call] # gunicorn is not annotated


class _Patient(SocketUnreader):
    """Reads from a client until it takes too long, which counts as if it had gone."""

    until = float("inf")
    """`time.monotonic()` when patience ends."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next piece. Raises ConnectionResetError."""
        if time.monotonic() < self.until:
            try:
                return super().chunk(size_hint)  # type: ignore[no-untyped-call, no-any-return] # gunicorn's
            except BlockingIOError:
                pass
        raise ConnectionResetError(errno.ECONNRESET, "the client stopped sending")
