"""The connections that lie idle: the freshest is used again, the stale and the doubtful are closed."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from ensemble.http1.asking import Origin, locate
from ensemble.http1.connection import Connection, connect
from ensemble.http1.idle import Idle
from ensemble.http1.lines import Patience
from tests.ensemble.http1.cutting import ask
from tests.ensemble.http1.serving import FINE, serving


class Server:
    """One that answers every request, and closes a connection when told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.origin: Origin = locate(url)[0]

    def used(self) -> Connection:
        """Return a connection that has had its answer."""
        made = connect(self.origin, Patience(5), 5)
        assert ask(made, self.url, Patience(5)) == b"fine"
        return made


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(answering) as url:
        yield Server(url)


@pytest.fixture
def other() -> Iterator[Server]:
    with serving(answering) as url:
        yield Server(url)


def answering(client: socket.socket) -> None:
    """Answer every request."""
    while client.recv(65536):
        client.sendall(FINE)


def is_open(connection: Connection) -> bool:
    return connection._way.stream.sock.fileno() >= 0


def age(connection: Connection, seconds: float) -> None:
    """Let it have been used so long ago."""
    connection._way.used_at -= seconds


def test_the_one_used_last_is_taken(server: Server) -> None:
    """It has the longest time before it; of none, none."""
    with closing(Idle(10)) as idle:
        assert idle.take(server.origin) is None
        first, second = server.used(), server.used()
        idle.give(first)
        idle.give(second)

        assert [idle.take(server.origin) for _ in range(3)] == [second, first, None]
        first.close()
        second.close()


def test_one_that_lay_too_long_is_closed_and_not_used(server: Server) -> None:
    """The server may be closing it at this very moment."""
    with closing(Idle(10)) as idle:
        stale = server.used()
        idle.give(stale)
        age(stale, 10)

        assert idle.take(server.origin) is None
        assert not is_open(stale)


def test_one_that_was_closed_by_the_server_is_not_used() -> None:
    """Which is seen before anything is lost on it."""
    end = threading.Event()

    def play(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(FINE)
        end.wait(5)

    with serving(play) as url, closing(Idle(10)) as idle:
        closed = Server(url).used()
        idle.give(closed)
        end.set()
        deadline = time.monotonic() + 5
        while closed.lives():
            assert time.monotonic() < deadline
            time.sleep(0.01)

        assert idle.take(closed.origin) is None
        assert not is_open(closed)


def test_no_more_are_kept_than_may_be(server: Server, other: Server) -> None:
    """For each server; the one used longest ago goes."""
    with closing(Idle(10, most=2)) as idle:
        made = [server.used() for _ in range(3)]
        elsewhere = other.used()
        for each in (*made, elsewhere):
            idle.give(each)

        assert [is_open(each) for each in (*made, elsewhere)] == [False, True, True, True]


def test_whom_we_do_not_trust_we_come_to_anew(server: Server, other: Server) -> None:
    """Others are not meant."""
    with closing(Idle(10)) as idle:
        ours, theirs = server.used(), other.used()
        idle.give(ours)
        idle.give(theirs)
        idle.distrust(server.origin)

        assert idle.take(server.origin) is None
        assert not is_open(ours)
        assert idle.take(other.origin) is theirs
        theirs.close()


def test_servers_that_are_never_asked_again_keep_no_sockets(server: Server, other: Server) -> None:
    """Whoever gives another one back takes them away."""
    with closing(Idle(0.05)) as idle:
        forgotten, fresh = other.used(), server.used()
        idle.give(forgotten)
        age(forgotten, 1)
        time.sleep(0.06)
        fresh._way.used_at = time.monotonic()
        idle.give(fresh)

        assert (is_open(forgotten), is_open(fresh)) == (False, True)
        assert list(idle._kept) == [server.origin]


def test_who_drops_them_all_need_not_close_them(server: Server) -> None:
    """Even where a circle of references holds them."""
    idle = Idle(10)
    idle.give(server.used())
    kept = server.used()
    idle.give(kept)
    circle: list[object] = [idle]
    circle.append(circle)
    del idle, circle
    gc.collect()

    assert not is_open(kept)


def test_many_threads_share_them(server: Server) -> None:
    """Nobody gets one that somebody else has."""
    idle = Idle(10, most=4)
    taken: list[Connection] = []
    failed: list[BaseException] = []

    def work() -> None:
        for _ in range(50):
            made = idle.take(server.origin) or server.used()
            try:
                assert made not in taken
                taken.append(made)
                assert ask(made, server.url, Patience(5)) == b"fine"
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)
            finally:
                with suppress(ValueError):
                    taken.remove(made)
            idle.give(made)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    idle.close()

    assert failed == []
