"""Servers that drip, hang, lie and die: each call ends in time with an outcome."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from typing import Any

import pytest

from ensemble.agents import connections as connections_module
from ensemble.agents.port import CallScope, Reply
from ensemble.contract.outcomes import Outcome
from tests.ensemble.agents.calling import Caller, until
from tests.ensemble.agents.wire import SSE_HEAD, Request, Server, answer, dify, finished, frame, reset


def drip(request: Request, sock: socket.socket, head: bytes, server: Server) -> None:
    """Send a byte every 50 ms, for ever."""
    sock.sendall(head)
    while not server.over.wait(0.05):
        sock.sendall(b"x")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 ",
        SSE_HEAD + b"data: ",
    ],
    ids=["body", "header", "status line", "stream"],
)
def test_dripping_bytes_do_not_stretch_the_deadline(call: Caller, head: bytes) -> None:
    server: Server
    with dify("workflow", run=lambda request, sock: drip(request, sock, head, server)) as server:
        began = time.monotonic()
        reply = call(server, timeout_s=0.6)
        took = time.monotonic() - began

    assert (Outcome.TIMED_OUT, True, True) == (reply.outcome, reply.sent, reply.retry_allowed)
    assert "did not answer within 0.6 s" in reply.message
    assert 0.5 < took < 1.2


def test_a_server_that_says_nothing_times_out(call: Caller) -> None:
    def run(*_: Any) -> None:
        server.over.wait()

    with dify("workflow", run=run) as server:
        reply = call(server, timeout_s=0.3)

    assert (Outcome.TIMED_OUT, True) == (reply.outcome, reply.sent)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda _, sock: reset(sock), "closed the connection"),
        (lambda _, sock: sock.shutdown(socket.SHUT_RDWR), "closed the connection"),
        (lambda _, sock: sock.sendall(finished()[:-20]), "without a whole answer"),
        (lambda _, sock: sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "closed"),
        (lambda _, sock: sock.sendall(b"\x00\x01\x02 hello\r\n\r\n"), "closed the connection"),
        (lambda *_: answer(200, b"<html>Log in</html>", kind="text/html"), "did not answer as Dify does"),
        (lambda *_: answer(200, b"not packed at all", "Content-Encoding: gzip"), "can't be unpacked"),
    ],
    ids=["reset", "half close", "cut body", "cut chunk", "no http", "login page", "no gzip"],
)
def test_a_broken_answer_is_unavailable_and_was_sent(call: Caller, run: Any, words: str) -> None:
    with dify("workflow", run=run) as server:
        reply = call(server)

    assert (Outcome.UNAVAILABLE, True, True) == (reply.outcome, reply.sent, reply.retry_allowed)
    assert words in reply.message
    assert reply.message.startswith("market (127.0.0.1:")


def test_a_refused_connection_was_not_sent(call: Caller) -> None:
    with dify("workflow") as server:
        pass
    reply = call(server)

    assert (Outcome.UNAVAILABLE, False, True) == (reply.outcome, reply.sent, reply.retry_allowed)
    assert "accepts no connections" in reply.message


def test_a_redirect_is_not_followed(call: Caller) -> None:
    with dify("workflow", run=finished()) as other:
        moved = answer(307, b"", f"Location: {other.url}/workflows/run?key=1")
        with dify("workflow", run=moved) as server:
            reply = call(server)
        taken = other.requests

    assert (Outcome.MISCONFIGURED, []) == (reply.outcome, taken)
    assert "answered with a redirect to http://127.0.0.1" in reply.message


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_body_is_not_collected(call: Caller, monkeypatch: pytest.MonkeyPatch, *, packed: bool) -> None:
    monkeypatch.setattr(connections_module.Response.read_all, "__defaults__", (2**20,))
    body = b'"' + b"x" * 8 * 2**20 + b'"'
    run = answer(200, gzip.compress(body), "Content-Encoding: gzip") if packed else answer(200, body)
    with dify("workflow", run=run) as server:
        reply = call(server)

    assert (Outcome.UNAVAILABLE, False) == (reply.outcome, reply.retry_allowed)
    assert "more than 1 MiB" in reply.message


def test_a_429_says_when_to_come_back(call: Caller) -> None:
    with dify("workflow", run=answer(429, {"code": "rate_limit_error"}, "Retry-After: 3")) as server:
        reply = call(server)

    assert (Outcome.THROTTLED, 3.0) == (reply.outcome, reply.retry_after_s)


# Connections


def test_a_connection_is_used_again_while_fresh_and_given_up_before_dify_closes_it(call: Caller) -> None:
    with dify("workflow", run=finished()) as server:
        call(server)
        call(server)
        time.sleep(1.6)
        call(server)
        used = [request.connection for request in server.requests]

    assert used == [0, 0, 0, 0, 1]


def test_a_late_cancel_does_not_hit_the_connections_next_call(call: Caller) -> None:
    with dify("workflow", run=finished()) as server:
        first = CallScope(5)
        call(server, scope=first)

        def run(*_: Any) -> bytes:
            first.cancel()
            return finished("still here")

        server.plays["/workflows/run"] = run
        reply = call(server)

    assert (Outcome.SUCCEEDED, "still here") == (reply.outcome, reply.text)


# Cancelling


@pytest.mark.parametrize("head", [b"", SSE_HEAD + frame("workflow_started", task_id="t-1")], ids=["blocking", "stream"])
def test_a_cancel_from_another_thread_ends_the_call_at_once(call: Caller, head: bytes) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(head)
        server.over.wait()

    with dify("workflow", run=run) as server:
        scope, replies = CallScope(30), list[Reply]()
        thread = threading.Thread(target=lambda: replies.append(call(server, scope=scope)))
        thread.start()
        until(lambda: server.seen("/workflows/run"))
        time.sleep(0.05)
        began = time.monotonic()
        scope.cancel()
        thread.join(5)
        took = time.monotonic() - began
        if head:
            until(lambda: server.seen("/workflows/tasks/t-1/stop"))
            assert server.seen("/workflows/tasks/t-1/stop")[0].body == {"user": "ens-anonymous"}

    assert took < 0.5
    assert (Outcome.CANCELLED, True, False) == (replies[0].outcome, replies[0].sent, replies[0].retry_allowed)


def test_a_call_cancelled_before_it_began_sends_nothing(call: Caller) -> None:
    scope = CallScope(5)
    scope.cancel()
    with dify("workflow", run=finished()) as server:
        reply = call(server, scope=scope)

    assert (Outcome.CANCELLED, False, []) == (reply.outcome, reply.sent, server.requests)


def test_a_call_without_time_sends_nothing(call: Caller) -> None:
    with dify("workflow", run=finished()) as server:
        reply = call(server, timeout_s=0)

    assert (Outcome.TIMED_OUT, False, []) == (reply.outcome, reply.sent, server.requests)
