"""Servers that say whatever bytes a test gives them, or none, in the clear or over TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest
import trustme

from ensemble.http1.trust import trust

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
FINE = HEAD + b"Content-Length: 4\r\n\r\nfine"

Play = Callable[[socket.socket], None]
"""What a server does with one connection; it is closed afterwards."""


@contextmanager
def serving(play: Play) -> Iterator[str]:
    """Let *play* do with every connection what it wants, until the block ends; give the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []
        clients: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    clients.append(client)
                    threads.append(threading.Thread(target=serve, args=(client,), daemon=True))
                    threads[-1].start()

        def serve(client: socket.socket) -> None:
            with suppress(OSError), client:
                play(client)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def saying(*answers: bytes) -> Play:
    """Answer one request after another, a few bytes at a time, so that every border is crossed; then close."""

    def play(client: socket.socket) -> None:
        for answer in answers:
            if not client.recv(65536):
                return
            for at in range(0, len(answer), 3):
                client.sendall(answer[at : at + 3])

    return play


def secured(play: Play, name: str = "127.0.0.1") -> Play:
    """Do the same over TLS, as *name*, by a certificate that only those believe who trust :func:`certificates`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(name).configure_cert(context)

    def secure(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as sock:
            play(sock)

    return secure


def https(url: str) -> str:
    """Return the same address, spoken to over TLS."""
    return url.replace("http:", "https:")


def certificates() -> str:
    """Return the PEM text of those who made the certificates of :func:`secured`."""
    return _authority().cert_pem.bytes().decode()


@contextmanager
def trusted() -> Iterator[None]:
    """Trust those who made the certificates of :func:`secured`, as a system does that is told to by SSL_CERT_FILE."""
    with _authority().cert_pem.tempfile() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", path)
        trust.cache_clear()
        try:
            yield
        finally:
            trust.cache_clear()


@cache
def _authority() -> trustme.CA:
    return trustme.CA()
