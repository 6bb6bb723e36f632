"""A bad cable: a proxy for any stream of bytes that delays, swallows, cuts and resets what goes through it.

It knows no protocol, unlike `faults.py`, so it stands before a Redis as well as before a web server. Every connection has
a thread of its own, and one connection to the target.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

PIECE_BYTES = 65_536
CONNECT_S = 5.0

type Kind = Literal["delay", "drop", "reset", "half_close", "cut"]
type Target = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""


@dataclass(frozen=True)
class Trouble:
    """What becomes of one piece, and of its connection.

    `delay`: it comes later, and so does everything behind it. `drop`: it never comes, nor does anything behind it in its
    direction; nobody is told. `reset`: both sides get an RST instead. `half_close`: its receiver hears that nothing more
    will come, while the other direction stays open. `cut`: its first bytes come, then both sides are closed.
    """

    kind: Kind
    delay_s: float = 0.0
    after_bytes: int = 0


@dataclass(frozen=True)
class Piece:
    """Some bytes on their way, as many as were read at once."""

    connection: int
    """From 1."""
    towards_target: bool
    length: int


type Script = Callable[[Piece], Trouble | None]


def calm(_: Piece) -> Trouble | None:
    """Let everything through."""
    return None


class Cable:
    """Listens on a free port for one target; use it as a context manager."""

    def __init__(self, target: Target, script: Script = calm) -> None:
        """Lead to *target*; *script* can be changed while it runs, for pieces to come."""
        self.target = target
        self.script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections = 0

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._start(self._accept)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close every connection."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(CONNECT_S)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="cable", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                client, _ = self._listener.accept()
                self._connections += 1
                self._start(self._serve, client, self._connections)

    def _serve(self, client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), client, self._connected() as target:
            for sock in (client, target):
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Connection(number, client, target, self._over).carry(self)

    def _connected(self) -> socket.socket:
        if not isinstance(self.target, str):
            return socket.create_connection(self.target, CONNECT_S)
        target = socket.socket(socket.AF_UNIX)
        target.connect(self.target)
        return target


class _Connection:
    """Two sockets and what still goes from one to the other."""

    def __init__(self, number: int, client: socket.socket, target: socket.socket, over: threading.Event) -> None:
        self._number = number
        self._target = target
        self._other = {client: target, target: client}
        self._over = over
        self._reading = {client, target}
        """Those whose end has not come yet."""
        self._deaf: set[socket.socket] = set()
        """Those that are not told any more."""

    def carry(self, cable: Cable) -> None:
        """Pass everything on until both sides have ended, or trouble ends the connection."""
        while self._reading and not self._over.is_set():
            readable, _, _ = select.select(list(self._reading), [], [], 0.5)
            for source in readable:
                if not self._pass(source, cable.script):
                    return

    def _pass(self, source: socket.socket, script: Script) -> bool:
        """Pass on what came from *source*; return whether the connection goes on."""
        other = self._other[source]
        came = source.recv(PIECE_BYTES)
        if not came:
            self._reading.discard(source)
            if other not in self._deaf:
                other.shutdown(socket.SHUT_WR)
            return True
        if other in self._deaf:
            return True
        trouble = script(Piece(self._number, other is self._target, len(came)))
        match trouble:
            case Trouble(kind="delay"):
                self._over.wait(trouble.delay_s)
            case Trouble(kind="drop"):
                self._deaf.add(other)
                return True
            case Trouble(kind="half_close"):
                self._deaf.add(other)
                other.shutdown(socket.SHUT_WR)
                return True
            case Trouble(kind="reset"):
                for sock in self._other:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case Trouble(kind="cut"):
                other.sendall(came[: trouble.after_bytes])
                return False
        other.sendall(came)
        return True
