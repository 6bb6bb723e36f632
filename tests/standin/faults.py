"""A proxy that stands between two parties on the wire and does to single requests what networks do.

It reads HTTP/1.1 only as far as it must, to know where a request and its answer end; a script decides what becomes of
each. Every connection has a thread of its own, and one connection to the target.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

PIECE_BYTES = 65_536
CONNECT_S = 5.0

type Kind = Literal["forward", "reset", "twice", "drop_answer", "silence", "cut", "half_close", "reset_answer"]


@dataclass(frozen=True)
class Fault:
    """What becomes of one request and its answer.

    `forward`: nothing but the delay. `reset`: RST instead of passing the request on. All others pass it on first:
    `twice` sends it two times, one after the other, and gives the second answer; `drop_answer` reads the whole answer,
    then closes without a word of it; `silence` likewise, but keeps the connection open; `cut`, `half_close` and
    `reset_answer` give the first `after_bytes` of the answer, then close, shut their sending side only, or send RST.
    """

    kind: Kind = "forward"
    after_bytes: int = 0
    """Of the answer, its head included."""
    delay_s: float = 0.0
    """From reading the request to passing it on."""


@dataclass(frozen=True)
class Request:
    """One request that came through."""

    connection: int
    """From 1."""
    number: int
    """From 1, over all connections."""
    method: str
    path: str
    body: bytes


@dataclass
class Exchange:
    """A request, what was done to it, and what the target answered."""

    request: Request
    fault: Fault | None
    answers: list[bytes] = field(default_factory=list)
    """Whole answers with their heads, as the target gave them; two for `twice`."""
    sent_s: list[float] = field(default_factory=list)
    """`time.monotonic()` when each was passed on."""


type Script = Callable[[Request], Fault | None]


def never(_: Request) -> Fault | None:
    """Let everything through."""
    return None


def at(*numbers: int, fault: Fault, path: str = "") -> Script:
    """Do it to the requests of these numbers, counted from 1 among those whose path ends with *path*."""
    seen = 0
    lock = threading.Lock()

    def script(request: Request) -> Fault | None:
        nonlocal seen
        if not request.path.endswith(path):
            return None
        with lock:
            seen += 1
            return fault if seen in numbers else None

    return script


def every(fault: Fault, path: str = "") -> Script:
    """Do it to every request whose path ends with *path*."""
    return lambda request: fault if request.path.endswith(path) else None


class FaultProxy:
    """Listens on a free port for one target; use it as a context manager."""

    def __init__(self, target: str, script: Script = never) -> None:
        """Stand before the server of the URL *target*; both can be changed while it runs, for requests to come."""
        self.target = target
        self.script = script
        self.exchanges: list[Exchange] = []
        """Everything that came through, in the order it was read."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._connections = 0
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

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
        self.disconnect()
        for thread in self._threads:
            thread.join(CONNECT_S)

    @property
    def url(self) -> str:
        """The target's URL with this proxy's host and port."""
        return urlunsplit(urlsplit(self.target)._replace(netloc=f"127.0.0.1:{self._port}"))

    def disconnect(self) -> None:
        """Break every connection that is open now."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="fault proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections += 1
                self._start(self._serve, client, self._connections)

    def _serve(self, client: socket.socket, number: int) -> None:
        """Pass one request after another on, until a side leaves or a fault ends the connection."""
        parts = urlsplit(self.target)
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            stack.enter_context(client)
            server = stack.enter_context(socket.create_connection((parts.hostname, parts.port or 80), CONNECT_S))
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = {client, server}
            with self._lock:
                self._sockets |= pair
            stack.callback(self._forget, pair)
            asked = stack.enter_context(client.makefile("rb"))
            answered = stack.enter_context(server.makefile("rb"))
            while _client_speaks(client, server) and (raw := b"".join(_message(asked, request=True))):
                exchange = self._judge(raw, number)
                if not self._pass(exchange, raw, client, server, answered):
                    return

    def _forget(self, pair: set[socket.socket]) -> None:
        with self._lock:
            self._sockets -= pair

    def _judge(self, raw: bytes, connection: int) -> Exchange:
        head, _, body = raw.partition(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        with self._lock:
            request = Request(connection, len(self.exchanges) + 1, method, path, body)
            exchange = Exchange(request, None)
            self.exchanges.append(exchange)
        exchange.fault = self.script(request)
        return exchange

    def _pass(
        self, exchange: Exchange, raw: bytes, client: socket.socket, server: socket.socket, answered: BufferedReader
    ) -> bool:
        """Do what the script says; return whether the connection goes on."""
        fault = exchange.fault or Fault()
        if fault.delay_s and self._over.wait(fault.delay_s):
            return False
        if fault.kind == "reset":
            _reset_on_close(client)
            return False

        def answer() -> Iterator[bytes]:
            exchange.sent_s.append(time.monotonic())
            server.sendall(raw)
            whole = bytearray()
            for piece in _message(answered, request=False):
                whole += piece
                yield piece
            exchange.answers.append(bytes(whole))

        match fault.kind:
            case "forward":
                pass
            case "twice":
                _exhaust(answer())
            case "drop_answer":
                _exhaust(answer())
                return False
            case "silence":
                _exhaust(answer())
                _until_gone(client)
                return False
            case _:
                for piece in _first(answer(), fault.after_bytes):
                    client.sendall(piece)
                if fault.kind == "half_close":
                    client.shutdown(socket.SHUT_WR)
                    _until_gone(client)
                elif fault.kind == "reset_answer":
                    _reset_on_close(client)
                return False
        for piece in answer():
            client.sendall(piece)
        return bool(exchange.answers[-1]) and b"\r\nconnection: close" not in _head(exchange.answers[-1])


def _client_speaks(client: socket.socket, server: socket.socket) -> bool:
    """Wait between two requests; an idle target that closes its connection closes the client's as well."""
    readable, _, _ = select.select([client, server], [], [])
    return client in readable


def _message(source: BufferedReader, *, request: bool) -> Iterator[bytes]:
    """Yield one HTTP message as it comes, its head first; nothing at all if the other side has left."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        line = source.readline()
        if not line:
            return
        head += line
    yield bytes(head)
    fields = dict(_fields(bytes(head)))
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        yield from _chunks(source)
    elif b"content-length" in fields or request:
        yield from _body(source, int(fields.get(b"content-length", b"0")))
    elif head.split(b" ", 2)[1] not in {b"204", b"304"}:
        yield from iter(lambda: source.read1(PIECE_BYTES), b"")


def _chunks(source: BufferedReader) -> Iterator[bytes]:
    """Yield a chunked body as it stands on the wire, its end included."""
    while line := source.readline():
        size = int(line.split(b";")[0], 16)
        yield line + source.read(size + 2)
        if not size:
            return


def _body(source: BufferedReader, length: int) -> Iterator[bytes]:
    """Yield *length* bytes as they come, fewer if the other side leaves."""
    while length > 0 and (piece := source.read1(min(length, PIECE_BYTES))):
        yield piece
        length -= len(piece)


def _first(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield the first *length* bytes of *pieces*, asking for one piece at least, and for none more than that takes."""
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip().lower()


def _head(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0].lower()


def _exhaust(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


def _until_gone(client: socket.socket) -> None:
    """Read what the client still says, until it closes."""
    while client.recv(PIECE_BYTES):
        pass


def _reset_on_close(sock: socket.socket) -> None:
    """Let closing send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
