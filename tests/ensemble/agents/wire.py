"""A server of a few lines on a real socket, whose every byte and pause a test decides."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    """Which connection it came over, counted from 0."""


def answer(status: int, body: Any, *headers: str, kind: str = "application/json") -> bytes:
    """A whole HTTP answer; *body* is sent as it is if it is bytes, else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def info(mode: str) -> bytes:
    return answer(200, {"name": "Market", "mode": mode})


def form(*names: str, required: bool = False) -> bytes:
    fields = [{"paragraph": {"variable": name, "type": "paragraph", "required": required}} for name in names]
    return answer(200, {"user_input_form": fields})


def finished(text: str = "fine", **data: Any) -> bytes:
    run = {"status": "succeeded", "outputs": {"result": text}, "error": "", "total_tokens": 7, **data}
    return answer(200, {"task_id": "t-1", "workflow_run_id": "r-1", "data": run})


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def frame(event: str, **fields: Any) -> bytes:
    return f"data: {json.dumps({'event': event, **fields})}\n\n".encode()


Play = Callable[[Request, socket.socket], bytes | None]
"""Answers a request: returns the bytes to send, or has sent what it wanted itself (None: close)."""


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@dataclass
class Server:
    """Plays *plays* by path (without /v1), the mode and form of an app included."""

    plays: dict[str, Play | bytes]
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over; plays that hang wait for it."""
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def seen(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == f"/v1{path}"]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                self._start(self._serve, sock, self.connections)
                self.connections += 1

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as lines:
            while request := self._read(lines, number):
                self.requests.append(request)
                play = self.plays.get(request.path.removeprefix("/v1"), answer(404, b"no", kind="text/html"))
                reply = play(request, sock) if callable(play) else play
                if reply is None:
                    return
                sock.sendall(reply)

    def _read(self, lines: Any, number: int) -> Request | None:
        first = lines.readline().decode()
        if not first:
            return None
        headers = {}
        while (line := lines.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        content = lines.read(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        return Request(method, path, headers, json.loads(content) if content else None, number)

    @contextmanager
    def running(self) -> Iterator[Server]:
        self._start(self._accept)
        try:
            yield self
        finally:
            self.over.set()
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for sock in self._sockets:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join(5)
            for sock in self._sockets:
                sock.close()


@contextmanager
def dify(mode: str, **plays: Play | bytes) -> Iterator[Server]:
    """A Dify with one app; *plays* by name: run, info, parameters, stop."""
    run = {"workflow": "/workflows/run", "completion": "/completion-messages"}.get(mode, "/chat-messages")
    stop = "/workflows/tasks/t-1/stop" if mode == "workflow" else f"{run}/t-1/stop"
    known: dict[str, Play | bytes] = {
        "/info": plays.get("info", info(mode)),
        "/parameters": plays.get("parameters", form("text") if run != "/chat-messages" else form()),
        run: plays.get("run", b""),
        stop: plays.get("stop", answer(200, {"result": "success"})),
    }
    with Server(known).running() as server:
        yield server
