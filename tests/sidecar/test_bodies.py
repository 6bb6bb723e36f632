"""Bodies over a real connection: what is too long is refused whole, however it is sent, and nothing of it is stored."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.contract.problems import Problem, ProblemCode
from tests.standin.world import SidecarProcess

MOST = 100_000
RESULT = f"/v1/results/{'a' * 32}"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """Run a sidecar that takes short bodies."""
    folder: Path = tmp_path_factory.mktemp("bodies")
    with SidecarProcess(folder, env={"ENSEMBLE_MAX_BODY_BYTES": str(MOST)}) as process:
        yield process


def chunked(sidecar: SidecarProcess, method: str, path: str, body: bytes, piece: int = 30_000) -> tuple[int, bytes]:
    """Send *body* in chunks; return the status and what was said."""
    with socket.create_connection(("127.0.0.1", sidecar.port), 10) as asked:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sidecar.token}\r\n"
        asked.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for start in range(0, len(body), piece):
            part = body[start : start + piece]
            asked.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        asked.sendall(b"0\r\n\r\n")
        answer = http.client.HTTPResponse(asked)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize("rest", [b" ", b"}", b" " * MOST + b"garbage"])
def test_chunks_beyond_the_limit_are_refused_and_nothing_is_stored(sidecar: SidecarProcess, rest: bytes) -> None:
    """Though what stands before the limit is good JSON by itself."""
    status, said = chunked(sidecar, "PUT", RESULT, b'{"value":1}'.ljust(MOST) + rest)

    assert (status, Problem.model_validate_json(said).code) == (413, ProblemCode.TOO_LARGE)
    assert chunked(sidecar, "GET", RESULT, b"")[0] == 404


def test_an_exchange_in_too_many_chunks_opens_no_run(sidecar: SidecarProcess) -> None:
    """The way of exchanges has the same limit."""
    run = "b" * 32
    opening = {"run_key": "k", "fingerprint": "f" * 64, "trace_id": "t", "steps": []}
    body = json.dumps({"run_id": run, "owner": "c" * 32, "open": opening}).encode()

    assert chunked(sidecar, "POST", "/v1/exchange", body.ljust(MOST) + b"!")[0] == 413
    assert chunked(sidecar, "GET", f"/v1/runs/{run}", b"")[0] == 404
    assert chunked(sidecar, "POST", "/v1/exchange", body)[0] == 200


def test_chunks_up_to_the_limit_are_taken(sidecar: SidecarProcess) -> None:
    """The last byte included."""
    ref = "/v1/results/" + "d" * 32
    assert chunked(sidecar, "PUT", ref, b'{"value":1}'.ljust(MOST))[0] == 200
    assert chunked(sidecar, "GET", ref, b"")[0] == 200


def test_chunks_that_break_off_at_the_limit_store_nothing(sidecar: SidecarProcess) -> None:
    """Whether it goes on is not known then."""
    ref = "/v1/results/" + "e" * 32
    with socket.create_connection(("127.0.0.1", sidecar.port), 10) as asked:
        head = f"PUT {ref} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sidecar.token}\r\n"
        asked.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        asked.sendall(f"{MOST:x}\r\n".encode() + b'{"value":1}'.ljust(MOST) + b"\r\n")
        asked.shutdown(socket.SHUT_WR)
        assert b" 200 " not in asked.recv(4096).partition(b"\r\n")[0]

    assert chunked(sidecar, "GET", ref, b"")[0] == 404
