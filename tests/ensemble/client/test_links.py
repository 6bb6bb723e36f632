"""Connections to a sidecar: among real threads everybody gets the answer to what they asked; failures have words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ensemble.client import links as links_module
from ensemble.client.links import _WORDS, Links, Unanswered
from ensemble.http1.failures import Why
from tests.ensemble.http1.cutting import silent
from tests.ensemble.http1.serving import HEAD, serving


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
def listening(server: Server) -> Iterator[str]:
    """Serve for the length of a block; yield the address."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url() -> Iterator[str]:
    with listening(Server(("127.0.0.1", 0), Echo)) as address:
        yield f"{address}/echo"


def test_answers_are_not_mixed_up(url: str) -> None:
    links = Links(connect_s=20, read_s=20)  # what is judged here is not time
    asked = [str(number).encode() for number in range(800)]

    with ThreadPoolExecutor(24) as pool:
        answered = list(pool.map(lambda body: links.ask("POST", url, {}, body).body, asked))

    assert asked == answered


def test_every_failure_has_words() -> None:
    """Whoever adds a reason says it here."""
    assert set(_WORDS) == set(Why)


@pytest.mark.parametrize("url", ["sidecar:8787", "http://sidecar/v1\r\nHost: x", "http://sidecar/v1"])
def test_what_can_t_be_sent_is_not(url: str) -> None:
    """Nor is a token repeated that holds more than one."""
    with pytest.raises(Unanswered, match="no way to send") as failed:
        Links().ask("GET", url, {"Authorization": "Bearer secret\r\nX: y"}, None)

    assert "secret" not in str(failed.value)


def test_a_stream_is_given_as_it_comes_and_its_break_is_told() -> None:
    """Nobody waits for its end; a stream that falls silent is left."""
    begun = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n"
    for end, words in ((b"", "no answer within 0.3 s"), (b"4\r\nnone", "no answer"), (b"no size\r\n", "broke")):
        got: list[bytes] = []
        with serving(silent(begun + end)) as url, pytest.raises(Unanswered, match=words):
            _follow(url, got)
        assert got[0] == b"fine"


def test_what_never_ends_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever sends more than a sidecar would is none, and is not collected."""
    monkeypatch.setattr(links_module, "_LONGEST_BODY", 100_000)
    with serving(silent(HEAD + b"\r\n" + b"x" * 10_000_000)) as url, pytest.raises(Unanswered, match="broke"):
        Links().ask("GET", url, {}, None)


def _follow(url: str, got: list[bytes]) -> None:
    with Links(read_s=0.3).follow("GET", url, {}) as (head, pieces):
        assert (200, "text/plain") == (head.status, head.fields["content-type"])
        for piece in pieces:
            got.append(piece)  # noqa: PERF402 - extend would forget what came before the break
