"""A small HTTP proxy that leads every name to one server, and remembers what it was asked."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from ensemble.http1.asking import locate
from tests.ensemble.http1.serving import serving

LED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class Proxying:
    """What a test sees of it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The first line of each request it read."""
    heads: list[str] = field(default_factory=list)
    """Each of them whole."""


@contextmanager
def proxying(server_url: str, *, answer: bytes = LED) -> Iterator[Proxying]:
    """Lead whatever is asked for to the server at *server_url*; *answer* is what CONNECT is answered."""
    told = Proxying()
    port = locate(server_url)[0].port

    def play(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536) or b"\r\n\r\n"
        told.asked.append(head.decode("latin-1").partition("\r\n")[0])
        told.heads.append(head.decode("latin-1"))
        tunnel = head.startswith(b"CONNECT ")
        if tunnel:
            client.sendall(answer)
            if answer != LED:
                client.recv(1)
                return
        with socket.create_connection(("127.0.0.1", port)) as server:
            if not tunnel:
                server.sendall(re.sub(rb"^(\S+) http://[^/]+", rb"\1 ", head))
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(5)

    with serving(play) as url:
        told.url = url.removesuffix("/v1")
        yield told


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
