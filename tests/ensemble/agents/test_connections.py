"""The connections to Dify against a server that says whatever bytes it is given, or none."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest

from ensemble.agents.connections import _WORDS, Connections, NoAnswer
from ensemble.agents.port import CallScope
from ensemble.http1.failures import Why
from tests.ensemble.http1.serving import FINE, HEAD, https, saying, secured, serving, trusted


def ask(connections: Connections, url: str, body: bytes | None = b"{}", timeout_s: float = 5, **headers: str) -> bytes:
    """Post once and return the whole body of the answer."""
    with connections.send("POST", url, headers, body, CallScope(timeout_s)) as exchange:
        assert exchange.status == 200
        return exchange.read_all()


@pytest.mark.parametrize(
    "answer",
    [
        FINE,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + FINE,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nfi\r\n2\r\nne\r\n0\r\nTrailer: x\r\n\r\n",
        HEAD + b"\r\nfine",
        b"HTTP/1.0 200 OK\r\n\r\nfine",
        HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"fine", mtime=0),
        HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"fine"),
    ],
    ids=["length", "informational", "chunked", "until the end", "of old", "gzip", "deflate"],
)
def test_a_body_is_read_however_it_comes(connections: Connections, answer: bytes) -> None:
    """Packed ones too, though nobody asked for that."""
    with serving(saying(answer)) as url:
        assert ask(connections, url) == b"fine"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection without a whole answer"),
        (HEAD, "closed the connection without a whole answer"),
        (HEAD + b"Content-Length: 5\r\n\r\nfine", "closed the connection without a whole answer"),
        (HEAD + b"Content-Length: -5\r\n\r\nfine", "closed the connection without a whole answer"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfine", "closed the connection without a whole answer"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nfine", "closed the connection without a whole answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "closed the connection without a whole answer"),
        (HEAD + b"X: " + b"x" * 100_000, "closed the connection without a whole answer"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\nfine", "a body that can't be unpacked"),
        (HEAD + b"Content-Encoding: br\r\n\r\nfine", "a body that can't be unpacked"),
    ],
)
def test_what_is_no_whole_answer_is_none(connections: Connections, answer: bytes, words: str) -> None:
    """The request had been sent, so the app may have run."""
    with serving(saying(answer)) as url, pytest.raises(NoAnswer, match=words) as failed:
        ask(connections, url)

    assert failed.value.sent


def test_a_connection_serves_one_request_after_another(connections: Connections) -> None:
    """Unless the server closes it, or its answer was not read to the end."""
    seen: list[int] = []

    def play(client: socket.socket) -> None:
        seen.append(0)
        while client.recv(65536):
            seen[-1] += 1
            client.sendall(FINE)

    with serving(play) as url:
        assert [ask(connections, url) for _ in range(3)] == [b"fine"] * 3
        with connections.send("GET", url, {}, None, CallScope(5)) as exchange:
            assert exchange.headers["content-type"] == "text/plain"
        assert ask(connections, url) == b"fine"
        connections.close()

    assert seen == [4, 1]


def test_an_answer_that_comes_before_the_request_was_taken_is_read(connections: Connections) -> None:
    """As a server gives that finds a body too long."""

    def play(client: socket.socket) -> None:
        client.recv(10)
        client.sendall(HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nfine")
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass

    with serving(play) as url:
        assert ask(connections, url, b"x" * 5_000_000) == b"fine"


def test_the_deadline_holds_for_a_server_that_sends_a_byte_at_a_time(connections: Connections) -> None:
    """Each of which would have been in time."""
    over = threading.Event()

    def play(client: socket.socket) -> None:
        client.recv(65536)
        while not over.wait(0.05):
            client.sendall(b"H")

    with serving(play) as url:
        with pytest.raises(NoAnswer, match="did not answer in time"):
            ask(connections, url, timeout_s=0.3)
        over.set()


def test_a_call_that_is_cancelled_wakes_at_once(connections: Connections) -> None:
    """Whoever waits for its answer need not wait for the deadline."""
    scope = CallScope(30)

    def play(client: socket.socket) -> None:
        client.recv(65536)
        scope.cancel()
        client.recv(65536)

    with serving(play) as url, pytest.raises(NoAnswer), connections.send("POST", url, {}, b"", scope):
        pass

    assert scope.left_s() > 20


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nobody.invalid/v1", "The name nobody.invalid is not known"),
        ("http://127.0.0.1:1/v1", "accepts no connections"),
    ],
)
def test_nobody_there_is_said_to_be_that(connections: Connections, url: str, words: str) -> None:
    """Nothing was sent."""
    with pytest.raises(NoAnswer, match=words) as failed:
        ask(connections, url)

    assert not failed.value.sent
    assert not failed.value.misconfigured


@pytest.mark.parametrize("url", ["ftp://dify.example/v1", "http://dify.example:99999/v1", "dify"])
def test_an_address_that_is_none_is_not_asked_again(connections: Connections, url: str) -> None:
    """Only a setting mends it."""
    with pytest.raises(NoAnswer, match="can't be asked") as failed:
        ask(connections, url)

    assert not failed.value.sent
    assert failed.value.misconfigured


def test_no_field_ends_the_line_it_stands_in(connections: Connections) -> None:
    """What was smuggled in behind it would be another field, or another request."""
    with serving(saying(FINE)) as url, pytest.raises(NoAnswer) as failed:
        ask(connections, url, key="x\r\nHost: elsewhere")

    assert not failed.value.sent
    assert failed.value.misconfigured


def test_what_speaks_no_tls_is_said_to_be_that(connections: Connections) -> None:
    """A base URL that begins with https by mistake."""
    with serving(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url, pytest.raises(NoAnswer, match=r"\(TLS\)"):
        ask(connections, https(url))


def test_a_server_that_can_prove_who_it_is_is_spoken_to_over_tls(connections: Connections) -> None:
    """One whose certificate nobody here trusts is not."""
    with serving(secured(saying(FINE))) as url:
        with pytest.raises(NoAnswer, match=r"could not prove who it is \(TLS\)"):
            ask(connections, https(url))
        with trusted():
            assert ask(connections, https(url)) == b"fine"


def test_every_failure_has_words() -> None:
    """Whoever adds a reason says it here."""
    assert set(_WORDS) == set(Why)


def test_no_failure_shows_the_key(connections: Connections) -> None:
    """Not even one whose fault is the key itself, nor an address that holds one."""
    for url in ("http://127.0.0.1:1/v1", "http://app-secret@127.0.0.1:1/v1", "http://app-secret@/v1", "app-secret"):
        for key in ("app-secret", "app-secret\r\n", "app-secret\u20ac"):
            with pytest.raises(NoAnswer) as failed:
                ask(connections, url, Authorization=f"Bearer {key}")
            assert "app-secret" not in "".join(map(repr, _chain(failed.value)))
            assert not failed.value.sent


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
