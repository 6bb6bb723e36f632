"""Starts a stand-in Dify: `threaded` inside this process, `process` beside it, `main` as a program.

Both give the same handle. In a process of its own it keeps its pace while the test's process is busy or patched by
gevent; in a thread, answers may be Python functions.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from tests.standin.apps import App
from tests.standin.calllog import Log
from tests.standin.config import Config
from tests.standin.http import Wire
from tests.standin.server import Server

ROOT = Path(__file__).parent.parent.parent
CONTROL_TIMEOUT_S = 10.0


class StandIn(Protocol):
    """A running stand-in."""

    @property
    def host(self) -> str:
        """`http://127.0.0.1:<port>`."""

    @property
    def url(self) -> str:
        """The Service API's base URL, `http://127.0.0.1:<port>/v1`."""

    def log(self) -> Log:
        """What it saw since the last reset."""

    def reset(self) -> None:
        """Forget calls, conversations and runs; failures start over."""

    def put(self, *apps: App) -> None:
        """Serve these apps from now on; an app of the same name is replaced."""


@contextlib.contextmanager
def threaded(*apps: App, config: Config | None = None, **options: Any) -> Iterator[StandIn]:
    """Serve these apps from a thread of this process until the block ends; `options` are fields of `Config`."""
    server = _Thread(config or Config(apps=apps, **options))
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def process(*apps: App, config: Config | None = None, **options: Any) -> Iterator[StandIn]:
    """Serve these apps from a process of its own until the block ends; answers cannot be functions here."""
    server = _Process(config or Config(apps=apps, **options))
    try:
        yield server
    finally:
        server.close()


async def serve(server: Server, port: int = 0) -> tuple[asyncio.Server, int]:
    """Listen on the loopback address; 0 takes a free port. Gives the listener and its port."""
    limit = asyncio.Semaphore(server.config.connections) if server.config.connections else contextlib.nullcontext()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with limit:
                await _converse(server, Wire(reader, writer, server.config.version))
        except asyncio.CancelledError:
            # The stand-in is being shut down. Python 3.12 would log the cancellation as an error of the listener.
            writer.transport.abort()
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024, limit=2**24)
    bound: int = listener.sockets[0].getsockname()[1]
    return listener, bound


async def _converse(server: Server, wire: Wire) -> None:
    """Answer one request after another on one connection."""
    server.log.connections += 1
    idle_s = None
    while wire.alive and (request := await wire.read(idle_s)):
        # Dify's server closes a connection when the client asks for it, or never keeps one.
        last = not request.keeps_alive or not server.config.keep_alive_s
        wire.keeps = not last
        with contextlib.suppress(ConnectionError):
            await server.answer(request, wire)
        if last:
            break
        idle_s = server.config.keep_alive_s
    wire.close()


class _Thread:
    def __init__(self, config: Config) -> None:
        self._server = Server(config)
        self._loop = asyncio.new_event_loop()
        self._listener, self._port = self._loop.run_until_complete(serve(self._server))
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in Dify", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.host}/v1"

    def log(self) -> Log:
        return self._do(self._server.log.snapshot)

    def reset(self) -> None:
        self._do(self._server.reset)

    def put(self, *apps: App) -> None:
        self._do(lambda: self._server.put(*apps))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        # Whoever was accepted this instant has a task that never ran: on a closed listener it would leave its socket open.
        for listening in self._listener.sockets:
            self._loop.remove_reader(listening)
        await asyncio.sleep(0)
        self._listener.close()
        while running := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            # Closed transports say goodbye in the next round of the loop.
            await asyncio.sleep(0)

    def _do[T](self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(CONTROL_TIMEOUT_S)


class _Process:
    def __init__(self, config: Config) -> None:
        if any(callable(app.answer) or callable(app.outputs) for app in config.apps):
            raise TypeError("answers made by functions cannot cross into another process: use threaded()")
        command = [sys.executable, "-m", "tests.standin.service_api", "--config", "-"]
        self._child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._child.stdin
        assert self._child.stdout
        # Its stdin stays open: when this process dies, however it dies, the stand-in reads the end and goes too.
        self._child.stdin.write(config.model_dump_json().encode() + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in Dify ended with status {self._child.wait()} before it listened")
        self._port: int = json.loads(line)["port"]

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.host}/v1"

    def log(self) -> Log:
        return Log.model_validate_json(self._ask("GET", "calls"))

    def reset(self) -> None:
        self._ask("POST", "reset")

    def put(self, *apps: App) -> None:
        self._ask("POST", "apps", json.dumps([app.model_dump(mode="json") for app in apps]).encode())

    def close(self) -> None:
        self._child.terminate()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            assert stream
            stream.close()

    def _ask(self, method: str, name: str, body: bytes | None = None) -> bytes:
        url = f"{self.host}/_standin/{name}"
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - its own loopback address.
        # A proxy of the environment has no business on the loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=CONTROL_TIMEOUT_S) as answer:
            read: bytes = answer.read()
            return read


async def _serve_until_terminated(config: Config, port: int, *, bound_to_stdin: bool) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    if bound_to_stdin:
        loop.add_reader(sys.stdin.fileno(), done.set)
    listener, bound = await serve(Server(config), port)
    print(json.dumps({"port": bound}), flush=True)
    await done.wait()
    listener.close()
    # Calls that hang by script would keep the loop from ending.
    os._exit(0)


def main() -> None:
    """Serve what a configuration file says, and print `{"port": ...}` once it listens."""
    parser = argparse.ArgumentParser(description="A stand-in for Dify's Service API.")
    parser.add_argument(
        "--config",
        required=True,
        help="JSON of tests.standin.config.Config, or - for one line of it on stdin; then the end of stdin ends the server",
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    given = parser.parse_args()
    bound = given.config == "-"
    text = sys.stdin.readline() if bound else Path(given.config).read_text("utf-8")
    asyncio.run(_serve_until_terminated(Config.model_validate_json(text), given.port, bound_to_stdin=bound))


if __name__ == "__main__":
    main()
