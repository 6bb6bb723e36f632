"""Clients that stop sending don't keep the server's threads from the others."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ensemble.contract.problems import Problem
from tests.standin.world import SidecarProcess

THREADS = 2
HEAD = b"POST /v1/exchange HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """Run a sidecar of few threads."""
    folder: Path = tmp_path_factory.mktemp("patience")
    with SidecarProcess(folder, env={"ENSEMBLE_WORKERS": "1", "ENSEMBLE_THREADS": str(THREADS)}) as process:
        yield process


def live(sidecar: SidecarProcess, timeout_s: float) -> int:
    """Return the status of a plain request; raises TimeoutError."""
    asked = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=timeout_s)
    try:
        asked.request("GET", "/v1/health/live")
        return asked.getresponse().status
    finally:
        asked.close()


def test_clients_that_say_nothing_hold_no_thread(sidecar: SidecarProcess) -> None:
    """However many are connected."""
    with ExitStack() as stack:
        for _ in range(20 * THREADS):
            stack.enter_context(socket.create_connection(("127.0.0.1", sidecar.port)))

        assert [live(sidecar, 4) for _ in range(3)] == [200, 200, 200]


def test_requests_that_never_end_are_given_up(sidecar: SidecarProcess) -> None:
    """Each thread has one, cut in the head or in the body, on a new connection or a kept one; then all is as before."""
    with ExitStack() as stack:
        for number in range(2 * THREADS):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", sidecar.port), 20))
            if number % 2:
                slow.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert slow.recv(4096).startswith(b"HTTP/1.1 200")
            token = b"Authorization: Bearer " + sidecar.token.encode()
            slow.sendall(HEAD[:-5] if number < THREADS else HEAD + token + b"\r\nContent-Length: 10\r\n\r\n{")

        assert live(sidecar, 30) == 200


def test_chunks_that_are_none_are_a_bad_request(sidecar: SidecarProcess) -> None:
    """No fault of ours."""
    with socket.create_connection(("127.0.0.1", sidecar.port), 10) as asked:
        token = b"Authorization: Bearer " + sidecar.token.encode()
        asked.sendall(HEAD + token + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")

        answer = http.client.HTTPResponse(asked)
        answer.begin()
        said = answer.read()

    assert answer.status == 400
    assert b"chunks" in said


@pytest.mark.parametrize(
    ("request_bytes", "status", "code", "field"),
    [
        (b"GET /v1/about HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", 431, "too_large", "header"),
        (b"GET /v1/about HTTP/1.1\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n", 431, "too_large", "header"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too_large", "request line"),
        (HEAD + b"Content-Length: secret\r\n\r\n", 400, "bad_request", "Content-Length"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request", "Content-Length"),
        (HEAD + b"Transfer-Encoding: secret\r\n\r\n", 501, "bad_request", "Transfer-Encoding"),
        (HEAD + b"Expect: secret\r\n\r\n", 417, "bad_request", "Expect"),
        (HEAD + b"secret\r\n\r\n", 400, "bad_request", "header"),
        (HEAD + b"Authorization: sec\x00ret\r\n\r\n", 400, "bad_request", "header"),
        (b"secret\r\n\r\n", 400, "bad_request", "request line"),
        (b"GET /v1/about HTTP/9.9\r\n\r\n", 400, "bad_request", "request line"),
        (b"g@t /v1/about HTTP/1.1\r\n\r\n", 400, "bad_request", "request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request", "request line"),
    ],
)
def test_what_the_servers_own_parser_refuses_is_a_problem_document_too(
    sidecar: SidecarProcess, request_bytes: bytes, status: int, code: str, field: str
) -> None:
    """On a new connection, which is closed then, and nothing of what stood there is repeated."""
    with socket.create_connection(("127.0.0.1", sidecar.port), 10) as asked:
        asked.sendall(request_bytes)
        answer = http.client.HTTPResponse(asked)
        answer.begin()
        problem = Problem.model_validate_json(answer.read())

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Connection"] == "close"
    assert (answer.status, problem.status, problem.code, problem.errors[0].field) == (status, status, code, field)
    assert all(fault.problem and fault.fix for fault in problem.errors)
    assert "secret" not in problem.model_dump_json()
    assert live(sidecar, 10) == 200
