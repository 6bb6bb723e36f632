"""A real web server for tests: answers what it is told, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """What to answer; *drop* closes the connection without a word, *hold* waits for the event first."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hold: threading.Event | None = None


class Web:
    """Answers from a queue, the last answer again and again; or by a function of the request."""

    def __init__(self) -> None:
        """Listen at a free port of the loopback."""
        self.asked: list[Asked] = []
        self.connections = 0
        """How many it has accepted."""
        self.answers: deque[Told] = deque([Told()])
        self.rule: Callable[[Asked], Told] | None = None
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body of an answer are two writes; Nagle would hold the second one back for 40 ms.
            disable_nagle_algorithm = True

            def setup(self) -> None:
                web.connections += 1
                super().setup()

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
                told = web._answer(asked)
                if told.hold is not None:
                    told.hold.wait(10)
                if told.drop:
                    self.close_connection = True
                    return
                self.send_response(told.status)
                for name, value in {"Content-Length": str(len(told.body)), **told.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.body)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names http.server looks for

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, asked: Asked) -> Told:
        self.asked.append(asked)
        if self.rule is not None:
            return self.rule(asked)
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    def answer(self, *told: Told) -> None:
        """Answer with these, in order; the last one from then on."""
        self.answers = deque(told)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
