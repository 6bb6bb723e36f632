"""Connections to a sidecar among real threads: everybody gets the answer to what they asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ensemble.client.links import Links


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent; every seventh answer closes its connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body, last=int(body) % 7 == 0)

    def answer(self, body: bytes, *, last: bool = False) -> None:
        """Send *body*."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if last:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Lets as many connections wait as there are threads, and more."""

    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """Serve for the length of a block; yield the address."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Server(("127.0.0.1", 0), Echo)) as address:
        yield f"{address}/echo"


def test_answers_are_not_mixed_up(url: str) -> None:
    links = Links(connect_s=20, read_s=20)  # what is judged here is not time
    asked = [str(number).encode() for number in range(800)]

    with ThreadPoolExecutor(24) as pool:
        answered = list(pool.map(lambda body: links.ask("POST", url, "", body).body, asked))

    assert asked == answered
