"""What the stand-in does beyond single recorded answers: failures, time, streams, stops, limits and its log."""

import ast
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import urllib3

from tests.standin.apps import App, Usage, Variable
from tests.standin.config import Config
from tests.standin.failures import Failure, FailureKind, Failures, always, first, sometimes
from tests.standin.recordings import VERSIONS, Version
from tests.standin.service_api import ROOT, StandIn, process, threaded

WORKFLOW = App(name="flow", mode="workflow", inputs=(Variable(name="text"),))
CHAT = App(name="chat", answer="{query}!")

HTTP = urllib3.PoolManager(retries=False, timeout=10, maxsize=100)


def call(dify: StandIn, app: App, **body: Any) -> urllib3.BaseHTTPResponse:
    """Run an app."""
    path = {"workflow": "workflows/run", "completion": "completion-messages"}.get(app.mode, "chat-messages")
    ask = {"inputs": {}, "query": "hi", "user": "u", **body}
    return HTTP.request("POST", f"{dify.url}/{path}", json=ask, headers={"authorization": f"Bearer {app.key}"})


def events(dify: StandIn, app: App, **body: Any) -> Iterator[dict[str, Any]]:
    """Run an app and read its stream."""
    path = "workflows/run" if app.mode == "workflow" else "chat-messages"
    ask = {"inputs": {}, "query": "hi", "user": "u", "response_mode": "streaming", **body}
    headers = {"authorization": f"Bearer {app.key}"}
    answer = HTTP.request("POST", f"{dify.url}/{path}", json=ask, headers=headers, preload_content=False)
    assert answer.status == 200
    for line in "".join(chunk.decode() for chunk in answer.stream()).splitlines():
        if line:
            yield {"event": "ping"} if line == "event: ping" else json.loads(line.removeprefix("data: "))


def test_usage_and_price_are_told_as_scripted() -> None:
    """Tokens add up, prices are texts."""
    app = CHAT.model_copy(update={"usage": Usage(prompt_tokens=30, completion_tokens=70, total_price=Decimal("0.002"))})
    with threaded(app) as dify:
        usage = call(dify, app).json()["metadata"]["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (30, 70, 100)
    assert (usage["prompt_price"], usage["completion_price"], usage["total_price"]) == ("0.0006", "0.0014", "0.002")


def test_an_answer_can_be_a_function() -> None:
    """In a thread; braces it gives are data."""
    app = App(name="f", answer=lambda asked: f"{{query}} {asked.query} {asked.call}")
    with threaded(app) as dify:
        assert [call(dify, app).json()["answer"] for _ in range(2)] == ["{query} hi 1", "{query} hi 2"]


def test_functions_cannot_cross_into_another_process() -> None:
    """It is said before anything starts."""
    with pytest.raises(TypeError, match="threaded"), process(App(name="f", answer=lambda _: "")):
        pass


REFUSALS: list[tuple[FailureKind, int, str]] = [
    ("too_many_requests", 400, "Too many requests. Please try again later."),
    ("unauthorized", 401, "Access token is invalid"),
    ("forbidden", 403, "The app's API service has been disabled."),
    ("not_found", 404, "Conversation Not Exists."),
    ("unpublished", 400, "Workflow not published"),
    ("app_unavailable", 400, "App unavailable"),
    ("server_error", 500, "Internal Server Error"),
    ("html_error", 502, "<html>"),
    ("node_failed", 400, "Run failed: [Errno 111] Connection refused"),
    ("truncated", 400, "invalid_param"),
    ("completion_request_error", 400, "completion_request_error"),
    ("provider_not_initialize", 400, "provider_not_initialize"),
    ("rate_limit_error", 429, "rate_limit_error"),
]


@pytest.mark.parametrize(("kind", "status", "words"), REFUSALS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_scripted_refusal_hits_the_calls_it_is_scripted_for(
    version: Version, kind: FailureKind, status: int, words: str
) -> None:
    """The first call fails in Dify's words, the second is fine, and the log tells both."""
    app = CHAT.model_copy(update={"failures": first(kind)})
    with threaded(app, version=version) as dify:
        failed, fine = call(dify, app), call(dify, app)
        log = dify.log()

    assert (failed.status, fine.status) == (status, 200)
    assert words in failed.data.decode()
    assert failed.headers["x-version"] == version
    assert [(seen.status, seen.outcome) for seen in log.calls] == [(status, kind), (200, "succeeded")]


def test_a_daemon_that_cannot_be_reached_shows_as_the_version_shows_it() -> None:
    """1.14.0 answers 400; a workflow of 1.7.2 is a failed run."""
    app = WORKFLOW.model_copy(update={"failures": always("plugin_daemon")})
    with threaded(app, version="1.14.0") as dify:
        assert "Failed to request plugin daemon" in call(dify, app).json()["message"]
    with threaded(app, version="1.7.2") as dify:
        assert "Failed to request plugin daemon" in call(dify, app).json()["data"]["error"]


@pytest.mark.parametrize("kind", ["reset", "closed", "half_response"])
def test_a_connection_can_break(kind: FailureKind) -> None:
    """The client reads no whole answer."""
    app = CHAT.model_copy(update={"failures": first(kind)})
    with threaded(app) as dify:
        with pytest.raises(urllib3.exceptions.HTTPError):
            call(dify, app)
        assert call(dify, app).status == 200


def test_a_stream_can_end_in_the_middle() -> None:
    """Events come, then the connection ends without a terminal one."""
    app = WORKFLOW.model_copy(update={"failures": always("truncated")})
    with threaded(app) as dify, pytest.raises(urllib3.exceptions.ProtocolError):
        list(events(dify, app))


def test_a_hanging_call_ends_when_the_client_leaves() -> None:
    """Never a byte; the log knows that nobody waits any more."""
    app = CHAT.model_copy(update={"failures": always("hang")})
    with threaded(app) as dify:
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            HTTP.request(
                "POST",
                f"{dify.url}/chat-messages",
                json={"inputs": {}, "query": "x", "user": "u"},
                headers={"authorization": f"Bearer {app.key}", "connection": "close"},
                timeout=0.2,
            )
        while (seen := dify.log().calls[0]).ended_s is None:
            pass

    assert (seen.status, seen.outcome, seen.client_left) == (0, "hang", True)


def test_a_silent_stream_has_a_ping_and_an_end() -> None:
    """What 1.14.0 gives an abandoned child, and for missing inputs: HTTP 200 and nothing to read."""
    strict = WORKFLOW.model_copy(update={"inputs": (Variable(name="text", required=True),)})
    pings = App(name="pings", failures=always("pings_only"))
    with threaded(strict, pings, silence_s=0.05) as dify:
        assert list(events(dify, strict)) == [{"event": "ping"}]
        assert list(events(dify, pings)) == [{"event": "ping"}]


def test_a_slow_stream_pings() -> None:
    """Between the start of the node and its end, at the configured interval."""
    app = WORKFLOW.model_copy(update={"latency_s": 0.25})
    with threaded(app, ping_s=0.1, linger_s=0) as dify:
        names = [event["event"] for event in events(dify, app)]

    assert names.count("ping") == 3
    assert names[0] == "ping"
    assert names[-1] == "workflow_finished"


@pytest.mark.parametrize(
    ("version", "shape", "user", "ended"),
    [
        ("1.7.2", "stopped", "u", ("stopped", "Stopped by user.")),
        ("1.7.2", "stopped", "other", ("succeeded", "")),
        ("1.14.0", "stopped", "u", ("stopped", "Stopped by user.")),
        ("1.14.0", "stopped", "other", ("stopped", "Stopped by user.")),
        ("1.14.0", "aborted", "u", ("failed", "Aborted: User requested stop")),
    ],
)
@pytest.mark.parametrize("mode", ["workflow", "advanced-chat"])
def test_a_run_is_stopped_as_the_version_stops_it(
    version: Version, shape: Any, user: str, ended: tuple[str, str], mode: Any
) -> None:
    """Another user's stop says success too; only in 1.14.0 it also does it."""
    app = App(name="slow", mode=mode, latency_s=0.4)
    path = "workflows/run" if mode == "workflow" else "chat-messages"
    stop = "workflows/tasks" if mode == "workflow" else "chat-messages"
    headers = {"authorization": f"Bearer {app.key}"}
    with threaded(app, version=version, stop_shape=shape, linger_s=0) as dify:
        ask = {"inputs": {}, "query": "x", "user": "u", "response_mode": "streaming"}
        answer = HTTP.request("POST", f"{dify.url}/{path}", json=ask, headers=headers, preload_content=False)
        lines = (line.removeprefix("data: ") for chunk in answer.stream() for line in chunk.decode().splitlines())
        told = (json.loads(line) for line in lines if line.startswith("{"))
        task_id = next(told)["task_id"]
        said = HTTP.request("POST", f"{dify.url}/{stop}/{task_id}/stop", json={"user": user}, headers=headers)
        finished = next(event for event in told if event["event"] == "workflow_finished")
        answer.drain_conn()

    assert said.json() == {"result": "success"}
    assert (finished["data"]["status"], finished["data"]["error"]) == ended


def test_an_apps_limit_refuses_what_is_too_much() -> None:
    """As many run as Dify's setting says; the others get 400 with the number."""
    app = App(name="narrow", latency_s=0.3, max_active_requests=2)
    barrier = threading.Barrier(6)

    def one(_: int) -> int:
        barrier.wait()
        return call(dify, app).status

    with threaded(app) as dify, ThreadPoolExecutor(6) as pool:
        statuses = Counter(pool.map(one, range(6)))

    assert statuses == {200: 2, 400: 4}


def test_a_host_with_few_connections_serves_the_next_ones_later() -> None:
    """Four calls on two connections run two at a time."""
    app = App(name="a", latency_s=0.1)
    with threaded(app, connections=2, keep_alive_s=0) as dify, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: call(dify, app).status, range(4))) == {200}
        assert dify.log().peak == 2


def test_sixty_four_slow_calls_run_together() -> None:
    """In a process of its own; the log counts them."""
    app = App(name="slow", latency_s=0.5)
    with process(app) as dify, ThreadPoolExecutor(64) as pool:
        assert set(pool.map(lambda _: call(dify, app).status, range(64))) == {200}
        log = dify.log()

    assert log.peaks == {"slow": 64}
    assert log.counts == {"slow": 64}


def test_chance_is_seeded() -> None:
    """The same script fails the same calls; another seed fails others, at about the same rate."""

    def failed(seed: int) -> list[bool]:
        draw = sometimes(0.05, seed).draw()
        return [next(draw) is not None for _ in range(2000)]

    assert failed(1) == failed(1) != failed(2)
    assert 60 <= sum(failed(1)) <= 140


def test_an_app_is_rescripted_while_it_serves() -> None:
    """Through the control path of a process: another answer, a failure, a clean log."""
    with process(CHAT, WORKFLOW) as dify:
        assert call(dify, CHAT).json()["answer"] == "hi!"
        failing = Failures(sequence=(None, Failure(kind="node_failed", message="boom")))
        dify.put(CHAT.model_copy(update={"answer": "other", "failures": failing}))
        assert call(dify, CHAT).json()["answer"] == "other"
        assert call(dify, CHAT).json()["message"] == "Run failed: boom"
        dify.reset()
        assert dify.log().calls == []


def test_the_log_tells_who_asked_what_and_hides_the_key() -> None:
    """Inputs as sent, declared or not; no key anywhere."""
    with threaded(WORKFLOW) as dify:
        call(dify, WORKFLOW, inputs={"text": "x", "zz": 1}, user="ens-7")
        log = dify.log()

    [seen] = log.of("flow")
    assert (seen.inputs, seen.user, seen.in_flight) == ({"text": "x", "zz": 1}, "ens-7", 1)
    assert seen.ended_s is not None
    assert seen.started_s <= seen.ended_s
    assert WORKFLOW.key not in log.model_dump_json()


def test_a_connection_is_kept_and_closed_when_idle() -> None:
    """One connection carries several calls; Dify's server gives it up after a while."""
    pool = urllib3.PoolManager(retries=False, timeout=10)
    headers = {"authorization": f"Bearer {CHAT.key}"}
    with threaded(CHAT, keep_alive_s=0.2) as dify:
        for _ in range(3):
            assert pool.request("GET", f"{dify.url}/info", headers=headers).status == 200
        kept = pool.connection_from_url(dify.url)
        assert kept.num_connections == 1
        assert kept.pool
        connection = kept.pool.get_nowait()
        # Reading ends when the server closes, and only then.
        assert connection.sock.recv(1) == b""
        connection.close()


@pytest.mark.parametrize("status", ["partial-succeeded", "stopped", "paused"])
def test_a_run_can_end_otherwise_than_well(status: Any) -> None:
    """All of them are HTTP 200 in blocking mode."""
    app = WORKFLOW.model_copy(update={"status": status})
    with threaded(app) as dify:
        answer = call(dify, app, inputs={"text": "x"})

    assert answer.status == 200
    assert answer.json()["data"]["status"] == status


@pytest.mark.parametrize("mode", ["chat", "completion", "agent-chat"])
def test_apps_without_a_graph_answer(mode: Any) -> None:
    """Blocking but for agents, which can only stream."""
    app = App(name="simple", mode=mode, answer="fine")
    with threaded(app) as dify:
        if mode == "agent-chat":
            assert call(dify, app).json()["message"] == "Agent Chat App does not support blocking mode"
            told = list(events(dify, app))
            assert "".join(event["answer"] for event in told if event["event"] == "agent_message") == "fine"
            assert told[-1]["event"] == "message_end"
        else:
            assert call(dify, app).json()["answer"] == "fine"


def test_the_program_ends_when_whoever_started_it_is_gone() -> None:
    """With its configuration on stdin it lives as long as stdin does."""
    command = [sys.executable, "-m", "tests.standin.service_api", "--config", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        program.stdin.write(Config(apps=(CHAT,)).model_dump_json() + "\n")
        program.stdin.flush()
        port = json.loads(program.stdout.readline())["port"]
        headers = {"authorization": f"Bearer {CHAT.key}", "connection": "close"}
        assert HTTP.request("GET", f"http://127.0.0.1:{port}/v1/info", headers=headers).json()["name"] == "chat"
        program.stdin.close()

        assert program.wait(10) == 0


def test_the_folder_keeps_its_law() -> None:
    """No test framework, and nothing of what the stand-ins check."""
    for path in (ROOT / "tests" / "standin").glob("*.py"):
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not imported & {"pytest", "dify_plugin", "gevent", "ensemble", "plugin", "provider", "sidecar"}, (
            path.name
        )
