"""The connections to sidecars against a server that says whatever bytes it is given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ensemble.client.links import Links, Unanswered

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """Answers one request after another with the bytes it was given; an empty answer closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.accepted = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            with client:
                while self._answers and client.recv(65536):
                    answer = self._answers.pop(0)
                    # A byte at a time, so that every border is crossed.
                    for at in range(len(answer)):
                        client.sendall(answer[at : at + 1])
                    if b"keep-alive" not in answer:
                        break

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self._thread.join(5)


@pytest.fixture
def links() -> Links:
    """Return connections that wait but a moment."""
    return Links(connect_s=0.5, read_s=0.5)


@pytest.fixture
def scripted() -> Iterator[list[Scripted]]:
    """Return a list of servers that are closed in the end."""
    servers: list[Scripted] = []
    yield servers
    for server in servers:
        server.close()


def ask(links: Links, server: Scripted, servers: list[Scripted]) -> bytes:
    """Return the body of the answer to one request."""
    if server not in servers:
        servers.append(server)
    return links.ask("POST", f"{server.url}/v1/x", {"A": "b"}, b"{}").body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n",
    ],
)
def test_a_body_is_read_however_its_end_is_told(links: Links, scripted: list[Scripted], answer: bytes) -> None:
    """By its length, by chunks, by the end of the connection; proxies choose."""
    assert ask(links, Scripted(answer), scripted) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
)
def test_half_an_answer_is_none(links: Links, scripted: list[Scripted], answer: bytes) -> None:
    """What breaks off, and what is no HTTP, says only that the connection broke."""
    with pytest.raises(Unanswered, match="the connection broke"):
        ask(links, Scripted(answer), scripted)


def test_a_connection_is_used_again_unless_the_other_side_ends_it(links: Links, scripted: list[Scripted]) -> None:
    """One that was closed meanwhile is noticed before anything is sent, so nothing is lost on it."""
    kept = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"
    last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n2"
    server = Scripted(kept, last, kept)

    assert [ask(links, server, scripted) for _ in range(3)] == [b"1", b"2", b"1"]
    assert server.accepted == 2


def test_silence_is_told_from_a_break(links: Links, scripted: list[Scripted]) -> None:
    """Somebody who keeps the connection and says nothing more."""
    server = Scripted(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n1", b"never sent")

    with pytest.raises(Unanswered, match=r"no answer within 0\.5 s"):
        ask(links, server, scripted)


def test_after_silence_no_idle_connection_is_trusted(links: Links) -> None:
    """They may all lead to one worker that was stopped; a new one is accepted by whoever lives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/x"
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(links.ask, "POST", url, {}, b"{}") for _ in range(2)]
            stopped = [server.accept()[0] for _ in asked]
            for sock in stopped:
                sock.sendall(OK)
            assert [each.result().body for each in asked] == [b"ok"] * 2
            with pytest.raises(Unanswered, match=r"no answer within 0\.5 s"):
                links.ask("POST", url, {}, b"{}")
            again = pool.submit(links.ask, "POST", url, {}, b"{}")
            server.settimeout(5)
            living, _ = server.accept()
            living.sendall(OK)
            assert again.result().body == b"ok"
        for sock in (*stopped, living):
            sock.close()


def test_plain_http_behind_https_is_said_to_be_that(links: Links, scripted: list[Scripted]) -> None:
    """The commonest slip in an address."""
    server = Scripted(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    scripted.append(server)

    with pytest.raises(Unanswered, match="does not speak TLS"):
        links.ask("GET", server.url.replace("http:", "https:") + "/v1/about", {}, None)
