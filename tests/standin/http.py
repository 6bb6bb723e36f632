"""Just enough HTTP/1.1 on asyncio streams: one request in (by Content-Length), one answer or stream out."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

JSON = "application/json"
JSON_UTF8 = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"

RESET = struct.pack("ii", 1, 0)
"""Lingering switched on with no time: closing the socket sends RST instead of FIN."""


class Request(BaseModel):
    """A request, read to its end."""

    model_config = ConfigDict(frozen=True)

    method: str
    path: str
    """Without the query string."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection again."""
        return self.headers.get("connection", "").lower() != "close"


class Answer(BaseModel):
    """A whole answer."""

    model_config = ConfigDict(frozen=True)

    status: int = 200
    body: Any = None
    """Text is sent as HTML, anything else as JSON."""
    headers: Mapping[str, str] = {}
    content_type: str = JSON
    compact: bool = False

    def encode(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, str):
            return self.body.encode()
        return dump(self.body, compact=self.compact).encode()


def dump(value: Any, *, compact: bool) -> str:
    """JSON as Dify writes it: with spaces and escapes (standard library), or compact and raw (orjson)."""
    if compact:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value)


class Wire:
    """One connection of one client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: str) -> None:
        """Serve a client on an accepted connection; `version` goes into every answer as `x-version`."""
        self._reader = reader
        self._writer = writer
        self._version = version
        self.alive = True
        """Whether the connection can carry another request."""
        self.keeps = True
        """What the answer's `connection` header says."""

    async def read(self, idle_s: float | None) -> Request | None:
        """Read a request; None when the client left, or stayed silent for `idle_s` seconds."""
        try:
            async with asyncio.timeout(idle_s):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        try:
            body = await self._reader.readexactly(length) if length else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Request(method=method, path=target.partition("?")[0], headers=headers, body=body)

    async def send(self, answer: Answer, *, cut: bool = False) -> None:
        """Send a whole answer; with `cut` promise it all, send half of it and close."""
        body = answer.encode()
        content_type = HTML if isinstance(answer.body, str) else answer.content_type
        headers = {"content-type": content_type, "content-length": str(len(body)), **answer.headers}
        sent = body[: len(body) // 2] if cut else body
        await self._write(self._head(answer.status, headers) + sent)
        if cut:
            self.close()

    async def start_stream(self) -> None:
        """Send the headers of a stream of events."""
        await self._write(self._head(200, {"content-type": EVENTS, "transfer-encoding": "chunked"}))

    async def event(self, text: str) -> None:
        """Send one event as one chunk."""
        data = text.encode()
        await self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end_stream(self) -> None:
        """End a stream properly."""
        await self._write(b"0\r\n\r\n")

    @property
    def client_left(self) -> bool:
        """Whether the client closed its side, as far as is known."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def gone(self) -> None:
        """Wait until the client has left; what it still sends is dropped."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.close()

    def close(self) -> None:
        """Close the connection in order."""
        self.alive = False
        self._writer.close()

    def reset(self) -> None:
        """Break the connection: the client reads `Connection reset by peer`."""
        self.alive = False
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._writer.transport.abort()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"x-version: {self._version}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"connection: {'keep-alive' if self.keeps else 'close'}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
