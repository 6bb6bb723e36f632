"""Servers that mean no good, seen by a run in the plugin: an outcome in time, memory in bounds, nothing left behind."""

from __future__ import annotations

import gc
import gzip
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from greenlet import greenlet

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.service_api import ServiceApiAgent
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.events import Report
from ensemble.engine.ledger.book import Book
from ensemble.engine.request import RunRequest
from ensemble.engine.run import run
from ensemble.plan.reading.plan import read_plan
from plugin.adapters.greenlets import GreenletRunner
from plugin.adapters.reverse import ReverseAgent
from tests.ensemble.agents.wire import SSE_HEAD, Request, answer, dify, frame
from tests.plugin.backwards import ScriptedApps

KEY = "app-KEYKEYKEYKEYKEYKEYKEYKEY"
MIB = 1024 * 1024
SAID = frame("agent_message", conversation_id="c", task_id="t-1", answer="so far")
END = frame("message_end", conversation_id="c", task_id="t-1", metadata={"usage": {"total_tokens": 3}})
FAILED = frame("workflow_finished", conversation_id="c", task_id="t-1", data={"status": "failed", "error": "no"})


def rss() -> int:
    """The memory this process holds now, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel's
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def greenlets() -> int:
    """How many greenlets live that were not there for ever."""
    gc.collect()
    return sum(isinstance(each, gevent.Greenlet) and not each.dead for each in gc.get_objects())


def play(agent: Any, timeout_s: float = 1.0) -> tuple[Report, float]:
    """Run one step with *agent*; return the report and how long it took."""
    plan = read_plan({"steps": [{"id": "a", "agent": "a", "timeout": timeout_s, "stream": True}]}, known=("a",))
    request = RunRequest(plan=plan, agents={"a": agent}, task="do it")
    begun = time.monotonic()
    conducting = run(request, ledger=Book(), runner=GreenletRunner(), hosts=Hosts(), chance=lambda: 0.0)
    while True:
        try:
            next(conducting)
        except StopIteration as ended:
            return ended.value, time.monotonic() - begun


def flood(sock: socket.socket, piece: bytes, times: int) -> None:
    for _ in range(times):
        sock.sendall(piece)


def sends(*pieces: bytes) -> Callable[[Request, socket.socket], bytes | None]:
    def stream(_request: Request, sock: socket.socket) -> None:
        sock.sendall(SSE_HEAD)
        for piece in pieces:
            sock.sendall(piece)

    return stream


def pings(_request: Request, sock: socket.socket) -> None:
    sock.sendall(SSE_HEAD)
    while True:
        sock.sendall(b"event: ping\n\n")
        gevent.sleep(0.01)


def silence(_request: Request, sock: socket.socket) -> None:
    sock.sendall(SSE_HEAD + SAID)
    sock.recv(1)


def one_line_of_50_mb(_request: Request, sock: socket.socket) -> None:
    sock.sendall(SSE_HEAD + b"data: ")
    flood(sock, b"x" * MIB, 50)


def many_events_for_ever(_request: Request, sock: socket.socket) -> None:
    sock.sendall(SSE_HEAD)
    event = frame("agent_message", conversation_id="c", task_id="t-1", answer="y" * 1000)
    while True:
        sock.sendall(event * 50)


def bomb(head: bytes) -> Callable[[Request, socket.socket], bytes | None]:
    packed = gzip.compress(b"x" * 200 * MIB)

    def send(_request: Request, sock: socket.socket) -> None:
        sock.sendall(head.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + packed)

    return send


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
PLAYS: dict[str, tuple[Any, set[str]]] = {
    "pings for ever": (pings, {"timed_out"}),
    "silence in the middle": (silence, {"timed_out"}),
    "a page of HTML": (answer(200, b"<html>hello</html>", kind="text/html"), {"unavailable"}),
    "a page of HTML as a stream": (sends(b"<html>\n\n<body>data: x\n\n</body>"), {"unavailable"}),
    "invalid UTF-8": (sends(b'data: {"event": "agent_message", "answer": "\xff\xfe"}\n\n', END), {"unavailable"}),
    "the end twice": (sends(SAID, END, END), {"succeeded"}),
    "everything twice": (sends(SAID, END, SAID, END), {"succeeded"}),
    "an end before any text": (sends(END, SAID), {"succeeded"}),
    "a failure after the end": (sends(SAID, END, FAILED), {"succeeded"}),
    "a failure before the end": (sends(SAID, FAILED, END), {"agent_failed"}),
    "a line of 50 MB": (one_line_of_50_mb, {"unavailable"}),
    "events for ever": (many_events_for_ever, {"unavailable", "timed_out"}),
    "a bomb of gzip as a stream": (bomb(SSE_HEAD), {"unavailable", "timed_out"}),
    "a bomb of gzip as an answer": (bomb(JSON_HEAD), {"unavailable", "timed_out"}),
}


@pytest.fixture(scope="module")
def connections() -> Iterator[Connections]:
    shared = Connections()
    yield shared
    shared.close()


@pytest.mark.parametrize("name", PLAYS)
def test_a_hostile_server_gets_an_outcome_in_time_and_nothing_more(name: str, connections: Connections) -> None:
    """Within the step's second and a little; a stream of any length costs what may be kept of one."""
    plays, outcomes = PLAYS[name]
    gc.collect()
    before, held = greenlets(), rss()

    with dify("agent-chat", run=plays) as server:
        agent = ServiceApiAgent(label="a", base_url=server.url, key=KEY, connections=connections, discovery=Discovery())
        report, seconds = play(agent)

    result = report.results[0]
    assert (result.error.code if result.error else "succeeded") in outcomes
    assert seconds < 2.5
    assert rss() - held < 200 * MIB
    wait_until(lambda: greenlets() <= before)


@pytest.mark.parametrize("end", range(0, len(SAID + END), 7))
def test_a_stream_cut_at_any_byte_is_whole_or_unavailable(end: int, connections: Connections) -> None:
    """Never an answer that is a part of one."""
    with dify("agent-chat", run=sends((SAID + END)[:end])) as server:
        discovery = Discovery()
        agent = ServiceApiAgent(label="a", base_url=server.url, key=KEY, connections=connections, discovery=discovery)
        report, seconds = play(agent)

    assert report.status is RunStatus.FAILED
    assert report.results[0].error is not None
    assert report.results[0].error.code == "unavailable"
    assert seconds < 2.5


def reverse_pings() -> Iterator[dict[str, Any]]:
    while True:
        gevent.sleep(0.01)
        yield {"event": "ping"}


def reverse_flood() -> Iterator[dict[str, Any]]:
    while True:
        gevent.sleep(0)
        yield {"event": "message", "conversation_id": "c", "answer": "z" * MIB}


@pytest.mark.parametrize(
    ("events", "outcomes"),
    [
        (reverse_pings, {"timed_out"}),
        (reverse_flood, {"unavailable", "timed_out"}),
        (
            lambda: iter([{"event": 3}, {}, {"event": "message", "answer": None}, {"event": "x" * 9999}]),
            {"unavailable"},
        ),
        (lambda: iter([]), {"unavailable"}),
    ],
)
def test_a_hostile_stream_by_reverse_call_likewise(events: Callable[[], Any], outcomes: set[str]) -> None:
    """The daemon hands over whatever Dify sends."""
    before, held = greenlets(), rss()
    apps = ScriptedApps(lambda _: events())

    report, seconds = play(ReverseAgent("a" * 36, label="a", apps=apps, discovery=Discovery(), host="dify"))

    assert report.results[0].error is not None
    assert report.results[0].error.code in outcomes
    assert seconds < 2.5
    assert rss() - held < 300 * MIB
    wait_until(lambda: greenlets() <= before)
    assert apps.chat.left == len(apps.chat.asked)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what ends by itself within moments: a call to stop a run, a server's last words."""
    until = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < until, [each for each in gc.get_objects() if isinstance(each, greenlet)]
        gevent.sleep(0.05)
