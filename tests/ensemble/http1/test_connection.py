"""One connection: made in time, read whole or not at all, used again only where nothing is lost on it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from ensemble.http1.asking import locate
from ensemble.http1.connection import connect
from ensemble.http1.failures import Failed, Why
from ensemble.http1.lines import Deadline, Patience
from tests.ensemble.http1.cutting import FAR_S, HALF, STAGES, ask, crowded, cut, cut_while, fetch, silent
from tests.ensemble.http1.serving import FINE, HEAD, Play, https, saying, secured, serving, trusted


def again_and_again(client: socket.socket) -> None:
    """Answer every request."""
    while client.recv(65536):
        client.sendall(FINE)


def plain(play: Play) -> Play:
    """Do it in the clear."""
    return play


def soon(seconds: float = FAR_S) -> Deadline:
    """A deadline of its own."""
    return Deadline(time.monotonic() + seconds)


both_ways = pytest.mark.parametrize(("over", "address"), [(plain, str), (secured, https)], ids=["plain", "TLS"])
Over = Callable[[Play], Play]
Address = Callable[[str], str]


@both_ways
def test_a_connection_serves_one_request_after_another(over: Over, address: Address) -> None:
    """It lives while the server keeps it and says nothing, whatever TLS says by itself."""
    with serving(over(again_and_again)) as url, trusted(), closing(connect(locate(address(url))[0], soon(), 5)) as made:
        for _ in range(3):
            assert ask(made, url, soon()) == b"fine"
            assert (made.reusable, made.lives(), made.sent) == (True, True, True)


@both_ways
@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"], ids=["end", "words"])
def test_one_that_was_closed_or_spoken_on_unasked_lives_no_more(over: Over, address: Address, unasked: bytes) -> None:
    """It is noticed before another request is lost on it, or gets another one's answer."""
    said = threading.Event()

    def play(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(FINE)
        said.wait(5)
        client.sendall(unasked) if unasked else client.shutdown(socket.SHUT_RDWR)
        client.recv(1)

    with serving(over(play)) as url, trusted(), closing(connect(locate(address(url))[0], soon(), 5)) as made:
        assert ask(made, url, soon()) == b"fine"
        assert made.lives()
        said.set()
        deadline = time.monotonic() + 5
        while made.lives():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [FINE + b"HTTP/1.1 200 OK", HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nfine"],
    ids=["too much", "the last"],
)
def test_one_whose_answer_leaves_doubts_is_not_used_again(answer: bytes) -> None:
    """More than was asked for would be read as the next answer."""
    with serving(silent(answer)) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        assert ask(made, url, soon()) == b"fine"
        assert not made.reusable


def test_an_answer_that_was_not_read_is_not_behind_us() -> None:
    """Its rest would be read as the next answer."""
    with serving(silent(FINE)) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        assert made.ask(b"GET / HTTP/1.1\r\n\r\n", None, soon()).status == 200
        assert not made.reusable
        assert (made.read(), made.reusable) == (b"fine", False)
        assert (made.read(), made.reusable) == (b"", True)


def test_a_body_that_broke_does_not_end_well_at_the_next_look() -> None:
    """Whoever reads on after a failure is told again, and is not handed the end of a body."""
    with serving(silent(HALF)) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        made.ask(b"GET / HTTP/1.1\r\n\r\n", None, soon(0.2))
        assert made.read() == b"fi"
        with pytest.raises(Failed, match="silence"):
            made.read()
        for _ in range(2):
            with pytest.raises(Failed, match="broken"):
                made.read()
        assert not made.reusable


def test_nothing_waits_for_more_to_be_sent() -> None:
    """As TCP does by itself, and takes 40 ms for it."""
    with serving(silent()) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        assert made._way.stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first may be one nobody listens at."""
    with serving(saying(FINE)) as url:
        port = locate(url)[0].port
        known = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (1, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: known)
        assert fetch(url, soon()) == b"fine"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://nobody.invalid/", Why.UNKNOWN_NAME),
        ("http://a..b/", Why.UNKNOWN_NAME),
        ("http://127.0.0.1:1/", Why.NOBODY),
        ("https://127.0.0.1:1/", Why.NOBODY),
    ],
)
def test_nobody_there_is_said_to_be_that(url: str, why: Why) -> None:
    """Names by themselves."""
    with pytest.raises(Failed, match=why.value):
        fetch(url, soon())


def test_whoever_accepts_nobody_is_given_up() -> None:
    """After as long as a connection may take, or at the deadline."""
    with crowded() as url:
        for line, within_s in ((soon(), 0.2), (soon(0.2), 5.0), (Patience(FAR_S), 0.2)):
            began = time.monotonic()
            with pytest.raises(Failed, match="not_in_time"):
                fetch(url, line, within_s)
            assert time.monotonic() - began < 2


@pytest.mark.parametrize("line", [soon, lambda: Patience(FAR_S)], ids=["deadline", "patience"])
def test_a_handshake_a_byte_at_a_time_ends_in_time(line: Callable[[], Deadline | Patience]) -> None:
    """Each of which would have been in time."""
    with serving(dripping(b"\x16\x03\x03\x40\x00\x02")) as url:
        began = time.monotonic()
        with pytest.raises(Failed, match="not_in_time"):
            fetch(https(url), line(), within_s=0.4)
        assert time.monotonic() - began < 2


def test_half_a_record_a_byte_at_a_time_ends_in_time() -> None:
    """TLS gives nothing out of a record before it is whole."""
    with serving(secured(dripping(b"\x17\x03\x03\x40\x00"))) as url, trusted():
        began = time.monotonic()
        with pytest.raises(Failed, match="silence"):
            fetch(https(url), soon(0.5))
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["no TLS", "the end"])
def test_what_speaks_no_tls_is_said_to_be_that(answer: bytes) -> None:
    """The commonest slip in an address."""
    with serving(saying(answer)) as url, pytest.raises(Failed, match="no_tls"):
        fetch(https(url), soon())


def test_whose_certificate_is_not_trusted_is_not_told_anything() -> None:
    """Nor one whose certificate is somebody else's."""
    heard: list[bytes] = []
    with serving(secured(lambda client: heard.append(client.recv(65536)))) as url:
        with pytest.raises(Failed, match="no_tls"):
            fetch(https(url), soon())
        with trusted(), pytest.raises(Failed, match="no_tls"):
            fetch(https(url).replace("127.0.0.1", "localhost"), soon())

    assert heard == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_request_that_is_cut_off_wakes_at_once(stage: str) -> None:
    """Wherever it waits."""
    why, after_s = cut_while(stage)

    assert why in {Why.BROKEN, Why.NO_TLS}
    assert after_s < 1


def test_one_that_waits_for_its_connection_likewise() -> None:
    """So far nothing was sent."""
    with crowded() as url:
        _, after_s = cut(url, b"{}")

    assert after_s < 1


def test_one_that_was_cut_off_before_does_not_begin() -> None:
    """Nobody hears of it."""
    line = soon()
    line.cut()
    heard: list[socket.socket] = []
    with serving(heard.append) as url, pytest.raises(Failed, match="broken"):
        fetch(url, line)

    assert heard == []


def test_a_late_cut_does_not_hit_the_next_request() -> None:
    """Whose connection it is by then."""
    with serving(again_and_again) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        first = soon()
        assert ask(made, url, first) == b"fine"
        first.release()
        first.cut()
        assert ask(made, url, soon()) == b"fine"


def test_a_request_on_a_connection_whose_line_was_cut_is_not_sent() -> None:
    """Its answer is not waited for either."""
    heard: list[bytes] = []

    def play(client: socket.socket) -> None:
        while more := client.recv(65536):
            heard.append(more)
            client.sendall(FINE)

    with serving(play) as url, closing(connect(locate(url)[0], soon(), 5)) as made:
        assert ask(made, url, soon()) == b"fine"
        late = soon()
        late.cut()
        with pytest.raises(Failed, match="broken"):
            ask(made, url, late)
        assert not made.sent

    assert len(heard) == 1


def dripping(begin: bytes) -> Play:
    """Take a request, begin like this, and go on with a byte every 30 ms, past TLS if there is any."""

    def play(client: socket.socket) -> None:
        client.recv(65536)
        os.write(client.fileno(), begin)
        while True:
            time.sleep(0.03)
            os.write(client.fileno(), b"\0")

    return play
