"""A request that is cut off from outside while it waits, at every place where it can wait; for threads and greenlets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ensemble.http1.asking import locate, request_head
from ensemble.http1.connection import Connection, connect
from ensemble.http1.failures import Failed, Why
from ensemble.http1.lines import Deadline, Line
from tests.ensemble.http1.serving import HEAD, Play, https, secured, serving, trusted

FAR_S = 30.0
"""So long nobody waits in a test that is right."""


def fetch(url: str, line: Line, within_s: float = FAR_S, body: bytes | None = b"{}") -> bytes:
    """Post once over a connection of its own and return the whole body of the answer. Raises Failed."""
    origin, _ = locate(url)
    with closing(connect(origin, line, within_s)) as connection:
        return ask(connection, url, line, body)


def ask(connection: Connection, url: str, line: Line, body: bytes | None = b"{}") -> bytes:
    """Post once over this connection and return the whole body of the answer. Raises Failed."""
    origin, path = locate(url)
    connection.ask(request_head("POST", origin, path, {}, len(body or b"")), body, line)
    return b"".join(iter(connection.read, b""))


@contextmanager
def crowded() -> Iterator[str]:
    """A server that accepts nobody any more, nor refuses: whoever connects waits. Give its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = []
        try:
            while True:
                waiting.append(socket.socket())
                waiting[-1].settimeout(0.2)
                try:
                    waiting[-1].connect(server.getsockname())
                except TimeoutError:
                    break
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        finally:
            for sock in waiting:
                sock.close()


def silent(*said: bytes) -> Play:
    """Take a request, say this much of the answer, and wait until the other side goes."""

    def play(client: socket.socket) -> None:
        client.recv(65536)
        for each in said:
            client.sendall(each)
        while client.recv(65536):
            pass

    return play


def full(client: socket.socket) -> None:
    """Take nothing more than a byte, until the other side goes."""
    client.recv(1)
    client.settimeout(FAR_S)
    while client.recv(1, socket.MSG_PEEK):
        time.sleep(0.01)


HALF = HEAD + b"Content-Length: 5\r\n\r\nfi"
STAGES: dict[str, tuple[Play, bool, bytes]] = {
    "handshake": (silent(), True, b"{}"),
    "half a handshake": (silent(b"\x16\x03\x03\x40\x00\x02"), True, b"{}"),
    "head": (silent(), False, b"{}"),
    "half a head": (silent(HEAD), False, b"{}"),
    "body": (silent(HALF), False, b"{}"),
    "head over TLS": (secured(silent()), True, b"{}"),
    "body over TLS": (secured(silent(HALF)), True, b"{}"),
    "request": (full, False, b"x" * 50_000_000),
}
"""Where a request waits: what the server does, whether it is asked over TLS, and what it is sent."""


def cut_while(stage: str) -> tuple[Why, float]:
    """Cut a request off while it waits there; return how it failed and how long after the cut."""
    play, tls, body = STAGES[stage]
    with serving(play) as url, trusted():
        return cut(https(url) if tls else url, body)


def cut(url: str, body: bytes) -> tuple[Why, float]:
    """Cut a request off after a moment; return how it failed and how long after the cut."""
    line = Deadline(time.monotonic() + FAR_S)
    cut_at: list[float] = []

    def cut_off() -> None:
        time.sleep(0.15)
        cut_at.append(time.monotonic())
        line.cut()

    cutting = threading.Thread(target=cut_off)
    cutting.start()
    try:
        fetch(url, line, body=body)
    except Failed as failed:
        return failed.why, time.monotonic() - cut_at[0]
    finally:
        cutting.join()
    raise AssertionError("The server answered.")
