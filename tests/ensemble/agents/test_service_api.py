"""Calls go over real sockets to a server that answers, drips, hangs, lies and dies; each ends in time with an outcome."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ensemble.agents import connections as connections_module
from ensemble.agents.connections import Connections
from ensemble.agents.discovery import AppFacts, Discovery
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.service_api import ServiceApiAgent, probe
from ensemble.agents.stream import StreamReader
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from tests.ensemble.agents.wire import SSE_HEAD, Request, Server, answer, dify, finished, form, frame, info, reset

KEY = "app-abcdefghijklmnopqrstuvwx"
WRITTEN = Path(__file__).parent / "written"


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


@pytest.fixture
def discovery() -> Discovery:
    return Discovery()


class Caller:
    """An agent of a server under test, and the call it makes."""

    def __init__(self, connections: Connections, discovery: Discovery) -> None:
        self.connections, self.discovery = connections, discovery

    def agent(self, server: Server) -> ServiceApiAgent:
        return ServiceApiAgent(
            label="market", base_url=server.url, key=KEY, connections=self.connections, discovery=self.discovery
        )

    def __call__(self, server: Server, timeout_s: float = 5, scope: CallScope | None = None, **call: Any) -> Reply:
        return self.agent(server).call(Call(**{"query": "the task", **call}), scope or CallScope(timeout_s))


@pytest.fixture
def call(connections: Connections, discovery: Discovery) -> Caller:
    return Caller(connections, discovery)


def until(condition: Any) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What goes out, and what comes back


def test_a_workflow_app_is_given_the_task_and_its_answer_read(call: Caller) -> None:
    with dify("workflow", run=finished("Sales grew.")) as server:
        reply = call(server, user="ens-1", trace_id="0123456789abcdef0123456789abcdef")
        sent = server.seen("/workflows/run")[0]

    assert (Outcome.SUCCEEDED, "Sales grew.", {"result": "Sales grew."}) == (reply.outcome, reply.text, reply.data)
    assert Usage(tokens=7) == reply.usage
    assert reply.remote is not None
    assert ("t-1", "r-1") == (reply.remote.task_id, reply.remote.workflow_run_id)
    assert {"inputs": {"text": "the task"}, "response_mode": "blocking", "user": "ens-1"} == sent.body
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-trace-id"] == "0123456789abcdef0123456789abcdef"
    assert sent.headers["traceparent"].startswith("00-0123456789abcdef0123456789abcdef-")


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
def test_a_chat_like_app_is_asked_in_its_conversation_without_a_title_being_made(call: Caller, mode: str) -> None:
    files = [{"type": "image", "transfer_method": "remote_url", "url": "http://x.test/a.png"}]
    with dify(mode, run=answer(200, (WRITTEN / "chat.json").read_bytes())) as server:
        reply = call(server, conversation_id="c-1", files=files, trace_id="my trace?")
        sent = server.seen("/chat-messages")[0]

    assert sent.body == {
        "inputs": {},
        "query": "the task",
        "response_mode": "blocking",
        "user": "ens-anonymous",
        "auto_generate_name": False,
        "conversation_id": "c-1",
        "files": files,
    }
    assert "x-trace-id" not in sent.headers
    assert (Outcome.SUCCEEDED, "Sales grew by 12 %.") == (reply.outcome, reply.text)
    assert Usage(tokens=40, price=Decimal("0.000047"), currency="USD") == reply.usage
    assert [source["document_name"] for source in reply.sources] == ["q3.pdf"]


def test_a_trace_id_of_the_callers_own_becomes_a_w3c_one_by_its_hash(call: Caller) -> None:
    with dify("workflow", run=finished()) as server:
        call(server, trace_id="order-17")
        headers = server.seen("/workflows/run")[0].headers

    assert headers["traceparent"].split("-")[1] == hashlib.sha256(b"order-17").hexdigest()[:32]


def test_a_completion_app_is_given_its_declared_input(call: Caller) -> None:
    with dify("completion", run=answer(200, (WRITTEN / "completion.json").read_bytes())) as server:
        reply = call(server)
        sent = server.seen("/completion-messages")[0].body

    assert {"inputs": {"text": "the task"}, "response_mode": "blocking", "user": "ens-anonymous"} == sent
    assert ("A summary.", "RMB") == (reply.text, reply.usage.currency)


@pytest.mark.parametrize(
    ("mode", "name"), [("workflow", "workflow-paused.json"), ("advanced-chat", "chatflow-paused.json")]
)
def test_an_app_that_waits_for_a_person_says_so(call: Caller, mode: str, name: str) -> None:
    with dify(mode, run=answer(200, (WRITTEN / name).read_bytes())) as server:
        reply = call(server)

    assert (Outcome.INPUT_REQUIRED, 12) == (reply.outcome, reply.usage.tokens)
    assert "human input node" in reply.message


def test_an_agent_chat_app_is_streamed(call: Caller) -> None:
    pieces: list[str] = []
    stream = SSE_HEAD + (WRITTEN / "agent-chat.sse").read_bytes()

    def run(_: Request, sock: socket.socket) -> None:
        sock.sendall(stream)

    with dify("agent-chat", run=run) as server:
        reply = call(server, scope=CallScope(5, pieces.append))
        sent = server.seen("/chat-messages")[0].body

    assert sent["response_mode"] == "streaming"
    assert (Outcome.SUCCEEDED, "Sales grew by 12 %.") == (reply.outcome, reply.text)
    assert pieces == ["Sales ", "grew by 12 %."]


def test_an_app_that_cannot_block_is_asked_once_more_and_remembered(call: Caller) -> None:
    refusal = {"code": "invalid_param", "message": "Agent Chat App does not support blocking mode", "status": 400}
    stream = SSE_HEAD + (WRITTEN / "agent-chat.sse").read_bytes()

    def run(request: Request, sock: socket.socket) -> bytes | None:
        if request.body["response_mode"] == "blocking":
            return answer(400, refusal)
        sock.sendall(stream)
        return None

    with dify("chat", run=run) as server:
        replies = [call(server), call(server)]
        modes = [request.body["response_mode"] for request in server.seen("/chat-messages")]

    assert [reply.text for reply in replies] == ["Sales grew by 12 %."] * 2
    assert modes == ["blocking", "streaming", "streaming"]


# What is known about an app


def test_an_app_is_asked_once_what_it_is_however_many_call_it(call: Caller) -> None:
    with dify("workflow", run=finished()) as server:
        replies: list[Reply] = []
        threads = [threading.Thread(target=lambda: replies.append(call(server))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked = [len(server.seen(path)) for path in ("/info", "/parameters", "/workflows/run")]

    assert {reply.outcome for reply in replies} == {Outcome.SUCCEEDED}
    assert asked == [1, 1, 16]


def test_what_is_known_is_dropped_at_a_400(call: Caller) -> None:
    refusal = answer(400, {"code": "invalid_param", "message": "lang is required in input form", "status": 400})
    with dify("workflow", run=refusal) as server:
        replies = [call(server), call(server)]
        asked = len(server.seen("/info"))

    assert [reply.outcome for reply in replies] == [Outcome.REJECTED] * 2
    assert asked == 2


def test_what_is_only_remembered_refuses_no_call(call: Caller) -> None:
    """The app was changed since: it is asked again before a call is refused by its old inputs."""
    with dify("workflow", run=finished()) as server:
        old = AppFacts(name="", mode="workflow", variables=(), known_at=time.monotonic() - 60)
        call.discovery.facts(call.agent(server).identity, lambda: old, CallScope(1))
        reply = call(server)

    assert reply.outcome is Outcome.SUCCEEDED


def test_an_app_just_asked_is_not_asked_again_to_refuse_a_call(call: Caller) -> None:
    with dify("workflow", parameters=form("a", "b")) as server:
        replies = [call(server), call(server)]
        asked = len(server.seen("/info"))

    assert [reply.outcome for reply in replies] == [Outcome.REJECTED] * 2
    assert asked == 1


def test_a_failed_question_is_classified_like_a_failed_run_and_sent_nothing(call: Caller) -> None:
    unknown = answer(401, {"code": "unauthorized", "message": "Access token is invalid", "status": 401})
    unpublished = answer(400, {"code": "app_unavailable", "message": "App unavailable", "status": 400})
    for plays in ({"info": unknown}, {"parameters": unpublished}):
        with dify("workflow", run=finished(), **plays) as server:
            reply = call(server)

            assert (Outcome.MISCONFIGURED, False, 0) == (reply.outcome, reply.sent, len(server.seen("/workflows/run")))
        call.discovery.drop(call.agent(server).identity)


def test_an_app_of_a_kind_that_cannot_be_called_is_named(call: Caller) -> None:
    with dify("workflow", info=info("rag-pipeline")) as server:
        reply = call(server)

    assert reply.outcome is Outcome.MISCONFIGURED
    assert "'rag-pipeline' app" in reply.message


def test_a_key_is_probed_for_the_app_it_opens(connections: Connections) -> None:
    with dify("advanced-chat") as server:
        found = probe(connections, server.url, KEY, label="market")

    assert isinstance(found, AppFacts)
    assert ("Market", "advanced-chat") == (found.name, found.mode)


def test_a_probe_in_vain_says_why_and_shows_no_key(connections: Connections) -> None:
    echo = answer(401, {"code": "unauthorized", "message": f"Bad token {KEY}", "status": 401})
    with dify("chat", info=echo) as server:
        refused = probe(connections, server.url, KEY, label="market")
    gone = probe(connections, server.url, KEY, label="market", timeout_s=1)

    assert isinstance(refused, Reply)
    assert isinstance(gone, Reply)
    assert (Outcome.MISCONFIGURED, Outcome.UNAVAILABLE) == (refused.outcome, gone.outcome)
    assert KEY not in refused.message
    assert "accepts no connections" in gone.message


# A server that misbehaves


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
    monkeypatch.setattr(connections_module.Exchange.read_all, "__defaults__", (2**20,))
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


# Streaming


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
