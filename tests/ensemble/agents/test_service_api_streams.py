"""Streams from real servers: they end with the run, are stopped when left, and cost bounded memory."""

from __future__ import annotations

import socket
import time

import pytest

from ensemble.agents.stream import StreamReader
from ensemble.contract.outcomes import Outcome
from tests.ensemble.agents.calling import WRITTEN, Caller, until
from tests.ensemble.agents.wire import SSE_HEAD, Request, answer, dify, frame


def test_a_stream_ends_with_the_run_though_the_line_stays_open(call: Caller) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD + (WRITTEN / "workflow-text.sse").read_bytes())
        server.over.wait()

    with dify("workflow", run=run) as server:
        began = time.monotonic()
        reply = call(server, stream=True)
        took = time.monotonic() - began
        stops = server.seen("/workflows/tasks/t-1/stop")

    assert (Outcome.SUCCEEDED, "Sales grew.", 77) == (reply.outcome, reply.text, reply.usage.tokens)
    assert took < 1
    assert stops == []


def test_the_price_of_a_chatflow_is_waited_for_but_not_long(call: Caller) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD + (WRITTEN / "chatflow-1.13.0-no-message-end.sse").read_bytes())
        server.over.wait()

    with dify("advanced-chat", run=run) as server:
        began = time.monotonic()
        reply = call(server, stream=True)
        took = time.monotonic() - began

    assert (Outcome.SUCCEEDED, "Sales grew.", 40, None) == (
        reply.outcome,
        reply.text,
        reply.usage.tokens,
        reply.usage.price,
    )
    assert took < 1.5


def test_a_run_left_behind_at_the_deadline_is_stopped(call: Caller) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD + frame("workflow_started", task_id="t-1", workflow_run_id="r-1"))
        while not server.over.wait(0.05):
            sock.sendall(b"event: ping\n\n")

    with dify("workflow", run=run) as server:
        reply = call(server, stream=True, timeout_s=0.5)
        until(lambda: server.seen("/workflows/tasks/t-1/stop"))

    assert reply.outcome is Outcome.TIMED_OUT
    assert reply.remote is not None
    assert reply.remote.workflow_run_id == "r-1"


def test_pings_for_ever_end_at_the_deadline_and_are_named(call: Caller) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD)
        while not server.over.wait(0.02):
            sock.sendall(b"event: ping\n\n")

    with dify("workflow", run=run) as server:
        reply = call(server, stream=True, timeout_s=0.4)

    assert reply.outcome is Outcome.TIMED_OUT
    assert "waiting for a worker" in reply.message


def test_a_stream_that_breaks_off_is_unavailable(call: Caller) -> None:
    def run(_: Request, sock: socket.socket) -> None:
        head = SSE_HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
        started = frame("workflow_started", task_id="t-1")
        sock.sendall(head + f"{len(started):x}\r\n".encode() + started + b"\r\n")

    with dify("workflow", run=run) as server:
        reply = call(server, stream=True)
        until(lambda: server.seen("/workflows/tasks/t-1/stop"))

    assert (Outcome.UNAVAILABLE, True) == (reply.outcome, reply.sent)
    assert "broke off after 'workflow_started'" in reply.message


def test_a_refusal_of_a_streaming_call_is_plain_json(call: Caller) -> None:
    refusal = {"code": "invalid_param", "message": "Too many requests. Please try again later.", "status": 400}
    with dify("workflow", run=answer(400, refusal)) as server:
        reply = call(server, stream=True)

    assert reply.outcome is Outcome.THROTTLED


def test_a_stream_of_one_endless_line_costs_bounded_memory(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"max_event_bytes": 10**6, "max_stream_bytes": 10**7}
    monkeypatch.setattr(StreamReader.__init__, "__kwdefaults__", limits)

    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD + b"data: ")
        while True:
            sock.sendall(b"x" * 65_536)

    with dify("workflow", run=run) as server:
        reply = call(server, stream=True, timeout_s=20)

    assert (Outcome.UNAVAILABLE, False) == (reply.outcome, reply.retry_allowed)
    assert "in one event" in reply.message
