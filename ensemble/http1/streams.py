"""Bytes to and from a server, in the clear or over TLS, each wait as long as the line allows."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ensemble.http1.framing import PIECE
from ensemble.http1.lines import Line

__all__ = ["Plain", "Stream", "Tls"]


class Stream(Protocol):
    """Both ways of an open connection. Its methods raise OSError."""

    sock: socket.socket

    def send(self, content: bytes, line: Line) -> None:
        """Send all of it."""

    def receive(self, line: Line) -> bytes:
        """Return what comes next, at most 64 KiB; nothing at the end."""

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor said anything. Does not wait, nor let others run."""


class Plain:
    """In the clear."""

    def __init__(self, sock: socket.socket) -> None:
        """Speak over *sock*."""
        self.sock = sock

    def send(self, content: bytes, line: Line) -> None:
        """Send all of it."""
        self.sock.settimeout(line.left_s())
        self.sock.sendall(content)

    def receive(self, line: Line) -> bytes:
        """Return what comes next, at most 64 KiB; nothing at the end."""
        self.sock.settimeout(line.left_s())
        return self.sock.recv(PIECE)

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor said anything."""
        try:
            self.sock.settimeout(0.0)
            self.sock.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


class Tls:
    """Over TLS.

    The session stands between buffers of ours instead of around the socket. So every single read has the time that is
    left, also one of half a record, which gevent's own wrapper would wait for afresh; and a socket that is shut from
    outside is a plain one, whose session nobody takes away under a reader.
    """

    def __init__(self, sock: socket.socket, host: str, context: ssl.SSLContext) -> None:
        """Speak over *sock* to *host*, which has to prove that it is that. Raises ValueError: nobody is called so."""
        self.sock = sock
        self._plain = Plain(sock)
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._came, self._goes, server_hostname=host)

    def shake_hands(self, line: Line) -> None:
        """Agree on keys. Raises SSLError: there is no proof, or no TLS."""
        try:
            self._done(self._session.do_handshake, line)
        except ssl.SSLError:
            with suppress(OSError):  # The server may hear why.
                self._flush(line)
            raise

    def send(self, content: bytes, line: Line) -> None:
        """Send all of it."""
        self._done(lambda: self._session.write(content), line)

    def receive(self, line: Line) -> bytes:
        """Return what comes next, at most 64 KiB; nothing at the end."""
        try:
            return self._done(lambda: self._session.read(PIECE), line)
        except ssl.SSLEOFError:  # Closed without a word; whether that was the end, the framing of the answer tells.
            return b""

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor said anything; tickets for later sessions are no words."""
        try:
            self.sock.settimeout(0.0)
            with suppress(BlockingIOError):
                piece = self.sock.recv(PIECE)
                if not piece:
                    return False
                self._came.write(piece)
            self._session.read(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    def _done[T](self, act: Callable[[], T], line: Line) -> T:
        """Return what *act* does, as soon as enough has come for it."""
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush(line)
                if piece := self._plain.receive(line):
                    self._came.write(piece)
                else:
                    self._came.write_eof()
            else:
                self._flush(line)
                return done

    def _flush(self, line: Line) -> None:
        if content := self._goes.read():
            self._plain.send(content, line)
