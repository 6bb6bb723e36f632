"""The bad cable does to a stream what its script says, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.standin.cable import Cable, Piece, Trouble


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that says again whatever it hears, until its client has ended, then "bye"."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with contextlib.suppress(ConnectionError), client:
                while came := client.recv(100):
                    client.sendall(came)
                client.sendall(b"bye")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def up(trouble: Trouble) -> tuple[list[Piece], Cable]:
    """Return a cable, not led to anything yet, whose pieces towards the target run into trouble, and what it saw."""
    seen: list[Piece] = []

    def script(piece: Piece) -> Trouble | None:
        seen.append(piece)
        return trouble if piece.towards_target else None

    return seen, Cable(("", 0), script)


def talk(cable: Cable) -> socket.socket:
    """Say hello through the cable."""
    client = socket.create_connection(("127.0.0.1", cable.port), timeout=5)
    client.sendall(b"hello")
    return client


def test_without_trouble_everything_passes_both_ways(echo: tuple[str, int]) -> None:
    """Ends of one direction are passed on as well."""
    with Cable(echo) as cable, talk(cable) as client:
        assert client.recv(100) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"bye"
        assert client.recv(100) == b""


def test_a_delay_comes_before_the_piece(echo: tuple[str, int]) -> None:
    """Nothing is lost."""
    seen, cable = up(Trouble("delay", delay_s=0.2))
    cable.target = echo
    with cable:
        begun = time.monotonic()
        with talk(cable) as client:
            assert client.recv(100) == b"hello"

    assert time.monotonic() - begun >= 0.2
    assert seen[:2] == [Piece(1, towards_target=True, length=5), Piece(1, towards_target=False, length=5)]


def test_a_dropped_piece_never_comes_and_the_connection_stays(echo: tuple[str, int]) -> None:
    """Nor does anything behind it; nobody is told."""
    _, cable = up(Trouble("drop"))
    cable.target = echo
    with cable, talk(cable) as client:
        client.settimeout(0.2)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                client.recv(100)
            client.sendall(b"and this")


def test_a_reset_is_one(echo: tuple[str, int]) -> None:
    """Not the end of a stream."""
    _, cable = up(Trouble("reset"))
    cable.target = echo
    with cable, talk(cable) as client, pytest.raises(ConnectionResetError):
        client.recv(100)


def test_half_closed_the_other_direction_stays_open(echo: tuple[str, int]) -> None:
    """The server hears an end instead of the piece, and answers."""
    _, cable = up(Trouble("half_close"))
    cable.target = echo
    with cable, talk(cable) as client:
        assert client.recv(100) == b"bye"


def test_a_cut_comes_after_some_bytes(echo: tuple[str, int]) -> None:
    """Then both sides are closed."""

    def script(piece: Piece) -> Trouble | None:
        return None if piece.towards_target else Trouble("cut", after_bytes=2)

    with Cable(echo, script) as cable, talk(cable) as client:
        assert client.recv(100) == b"he"
        assert client.recv(100) == b""
