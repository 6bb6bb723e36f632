"""What goes out to an app over real sockets, and what is made of its answer."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from decimal import Decimal

import pytest

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import AppFacts
from ensemble.agents.port import CallScope, Reply
from ensemble.agents.service_api import probe
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from tests.ensemble.agents.calling import KEY, WRITTEN, Caller
from tests.ensemble.agents.wire import SSE_HEAD, Request, answer, dify, finished, form, info


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
