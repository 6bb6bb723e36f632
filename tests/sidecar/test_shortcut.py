"""The short way of exchanges answers as the long way does, and leaves to it what is not plain."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from benchmarks.scripted import bodies
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.problems import Problem, ProblemCode
from tests.standin.world import SidecarProcess


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """Run a sidecar."""
    folder: Path = tmp_path_factory.mktemp("shortcut")
    with SidecarProcess(folder, env={"ENSEMBLE_WORKERS": "1", "ENSEMBLE_MAX_BODY_BYTES": "20000"}) as process:
        yield process


class Connection:
    """A kept connection, of whose first request the long way was taken."""

    def __init__(self, sidecar: SidecarProcess) -> None:
        parts = urlsplit(sidecar.url)
        self._sock = socket.create_connection((str(parts.hostname), int(parts.port or 0)), 10)
        self._fields = {
            "Host": parts.netloc,
            "Authorization": f"Bearer {sidecar.token}",
            "Content-Type": "application/json",
        }
        self._came = b""
        self.send(b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        self.hear()

    def request(self, body: bytes, line: str = "POST /v1/exchange HTTP/1.1", **fields: str) -> bytes:
        """Return a request, plain but for *fields*, whose underlines are hyphens."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        all_fields = {**self._fields, "Content-Length": str(len(body)), **named}
        head = "".join(f"{name}: {value}\r\n" for name, value in all_fields.items())
        return f"{line}\r\n{head}\r\n".encode() + body

    def send(self, *pieces: bytes) -> None:
        """Send *pieces*, each by itself."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self._sock.sendall(piece)

    def hear(self) -> tuple[int, bool, bytes]:
        """Return an answer's status, whether it came the short way, and its body."""
        while b"\r\n\r\n" not in self._came:
            self._more()
        head, _, self._came = self._came.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(self._came) < length:
            self._more()
        body, self._came = self._came[:length], self._came[length:]
        return int(head[9:12]), b"Server: gunicorn" not in head, body

    def head(self) -> bytes:
        """Return what comes first of an answer."""
        self._more()
        return self._came

    def _more(self) -> None:
        piece = self._sock.recv(65536)
        assert piece, "closed"
        self._came += piece

    def close(self) -> None:
        """Close it."""
        self._sock.close()


@pytest.fixture
def connection(sidecar: SidecarProcess) -> Iterator[Connection]:
    """Open a connection and use it once."""
    opened = Connection(sidecar)
    yield opened
    opened.close()


def unknown(run: str) -> bytes:
    """Return an exchange of a run that was never opened."""
    close = CloseRun(status=RunStatus.SUCCEEDED, answer="é")
    return Exchange(run_id=run, owner="1" * 32, epoch=1, close=close).model_dump_json().encode()


def test_a_plain_exchange_takes_the_short_way_and_is_answered_as_on_the_long_one(connection: Connection) -> None:
    """A run from its opening to its end; the same exchange over again, the long way, gets the same answer."""
    stream = bodies(1)
    for _ in range(5):
        body = next(stream)
        connection.send(connection.request(body))
        status, short, said = connection.hear()
        connection.send(connection.request(body, X_Other="1"))
        again = connection.hear()

        assert (status, short) == (200, True)
        assert again[:2] == (200, False)
        assert (
            ExchangeAnswer.model_validate_json(again[2]).run.run_id
            == ExchangeAnswer.model_validate_json(said).run.run_id
        )
        assert (
            ExchangeAnswer.model_validate_json(again[2]).admissions
            == ExchangeAnswer.model_validate_json(said).admissions
        )


def test_what_the_service_refuses_is_the_same_problem_on_both_ways(connection: Connection) -> None:
    """A run nobody knows."""
    connection.send(connection.request(unknown("a" * 32)))
    status, short, said = connection.hear()
    connection.send(connection.request(unknown("a" * 32), X_Other="1"))

    assert (status, short) == (404, True)
    assert Problem.model_validate_json(said).code is ProblemCode.NOT_FOUND
    assert connection.hear() == (404, False, said)


@pytest.mark.parametrize(
    ("body", "fields", "status"),
    [
        (unknown("b" * 32), {"Authorization": "Bearer wrong"}, 401),
        (unknown("b" * 32), {"Authorization": ""}, 401),
        (unknown("b" * 32), {"Content_Type": "text/plain"}, 415),
        (b'{"run_id": 1}', {}, 422),
        (b"{", {}, 400),
        (b'{"x": "' + b"x" * 30_000 + b'"}', {}, 413),
        (unknown("b" * 32), {"line": "POST /v1/exchange?x=1 HTTP/1.1"}, 422),
        (unknown("b" * 32), {"line": "GET /v1/exchange HTTP/1.1"}, 405),
    ],
)
def test_what_is_wrong_is_said_by_the_long_way(
    connection: Connection, body: bytes, fields: dict[str, str], status: int
) -> None:
    """Token, type, body and size are judged there as ever, and the body is there to be read again."""
    connection.send(connection.request(body, **fields))

    assert connection.hear()[:2] == (status, False)


@pytest.mark.parametrize(("value", "status"), [("x\x00y", 400), ("x" * 9000, 431)])
def test_a_field_the_servers_own_parser_refuses_is_refused(connection: Connection, value: str, status: int) -> None:
    """Control characters, and fields that are too long."""
    connection.send(connection.request(unknown("b" * 32), User_Agent=value))

    assert connection.hear()[0] == status


@contextmanager
def tampered(folder: Path, tamper: Callable[[Redis, bytes], object]) -> Iterator[tuple[Connection, bytes, Path]]:
    """Give a connection to a sidecar whose store *tamper* has put a hand on, a body that meets it, and the log's place."""
    log = folder / "log"
    with (
        SidecarProcess(folder, env={"ENSEMBLE_WORKERS": "1"}, log=log) as sidecar,
        closing(Connection(sidecar)) as connection,
        closing(Redis(unix_socket_path=str(next(folder.rglob("*.sock"))))) as store,
    ):
        body = next(bodies(1))
        connection.send(connection.request(body))
        assert connection.hear()[:2] == (200, True)
        (key,) = store.scan_iter("*:run:*")
        tamper(store, key)
        yield connection, body, log


def test_a_damaged_store_is_the_same_problem_on_both_ways(tmp_path: Path) -> None:
    """It names the key, and so does the log."""
    keys: list[bytes] = []

    def replace(store: Redis, key: bytes) -> None:
        keys.append(key)
        store.set(key, "other")

    with tampered(tmp_path, replace) as (connection, body, log):
        connection.send(connection.request(body))
        status, short, said = connection.hear()
        connection.send(connection.request(body, X_Other="1"))

        assert (status, short) == (500, True)
        problem = Problem.model_validate_json(said)
        assert problem.code is ProblemCode.STORE_DAMAGED
        assert [fault.field for fault in problem.errors] == [keys[0].decode().partition("}:")[2]]
        assert connection.hear() == (500, False, said)
        assert keys[0].decode() in log.read_text()


def test_a_fault_of_ours_is_said_by_the_long_way(tmp_path: Path) -> None:
    """The connection is not just closed: there is a problem document, and a log entry."""

    def tamper(store: Redis, key: bytes) -> None:
        store.hset(key, "run", b"no version\n" + bytes(store.hget(key, "run") or b"").partition(b"\n")[2])  # type: ignore[arg-type] # redis-py's

    with tampered(tmp_path, tamper) as (connection, body, log):
        connection.send(connection.request(body))

        assert connection.hear()[:2] == (500, False)
        assert "/v1/exchange failed" in log.read_text()


def test_a_request_in_pieces_is_put_together(connection: Connection) -> None:
    """Wherever it is cut; the next one is plain again."""
    request = connection.request(unknown("c" * 32))
    for cut in (1, 30, request.index(b"\r\n\r\n") + 2, len(request) - 1):
        connection.send(request[:cut], request[cut:])
        assert connection.hear()[0] == 404
    connection.send(request)
    assert connection.hear()[:2] == (404, True)


def test_two_requests_at_once_are_both_answered(connection: Connection) -> None:
    """In order, though the second came along with the first."""
    first, second = unknown("d" * 32), unknown("e" * 32)
    connection.send(connection.request(first) + connection.request(second))

    said = [connection.hear()[2] for _ in range(2)]

    assert b"d" * 32 in said[0]
    assert b"e" * 32 in said[1]


@pytest.mark.parametrize(
    "field",
    [
        "Transfer-Encoding: chunked",
        "Content-Length: 5",
        "Expect: 100-continue",
        "Host: y\nContent-Length: 3",
        "Host : z",
    ],
)
def test_what_could_be_read_in_two_ways_is_left_to_the_servers_own_parser(connection: Connection, field: str) -> None:
    """Lengths told twice, bare line ends, fields with a space: never the short way."""
    body = unknown("f" * 32)
    request = connection.request(body).replace(b"\r\nHost:", b"\r\n" + field.encode() + b"\r\nHost:", 1)
    connection.send(request)

    head = connection.head()

    assert head.startswith(b"HTTP/1.1 ")
    # The parser's refusals end the connection, the answers of the long way tell the server; those of the short way neither.
    assert b"problem+json" not in head or b"Server: gunicorn" in head or b"Connection: close" in head
