"""Reads a stream of server-sent events, however it is cut into pieces, up to the reply it ends with.

Pure: bytes in, reply out. Dify writes ``data: {json}`` and a blank line per event, names the event inside the JSON, and
keeps the line alive with ``event: ping``, which has no data. An app's run ends with whichever comes first of
``message_end``, ``workflow_finished``, ``workflow_paused`` and ``error``; the connection may stay open for long after.
Chatflows write ``workflow_finished`` before ``message_end`` up to Dify 1.13.0 and after it since 1.13.1. A failed
chatflow writes no ``message_end`` at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ensemble.agents.app_ids import app_id_in
from ensemble.agents.classification import Verdict, judge_event, judge_status, parse_json
from ensemble.agents.port import Reply
from ensemble.agents.reading import failure, read_chat, read_usage, remote_of, tokens_of, workflow_reply
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

__all__ = ["MAX_EVENT_BYTES", "MAX_STREAM_BYTES", "StreamReader"]

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""The longest single event that is read."""
MAX_STREAM_BYTES = 64 * 1024 * 1024
"""The longest stream that is read."""
_LINE_END = re.compile(rb"\r\n?|\n")


class StreamReader:
    """Takes a stream's bytes as they come; *on_text* gets each piece of the answer."""

    def __init__(
        self,
        subject: str,
        on_text: Callable[[str], None] | None = None,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_stream_bytes: int = MAX_STREAM_BYTES,
    ) -> None:
        """Begin; *subject* is how messages call the app."""
        self._subject = subject
        self._on_text = on_text
        self._max_event, self._max_stream = max_event_bytes, max_stream_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = self._event_size = 0
        self._after_cr = False
        self._pieces: list[str] = []
        self._ids: dict[str, Any] = {}
        self._seen = 0
        self._last_event = ""
        self._reply: Reply | None = None
        self._verdict: Verdict | None = None
        self._lacks_usage = False
        self._replaced = False
        self._over = False

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""
        return self._reply is not None

    @property
    def settled(self) -> bool:
        """Whether nothing worth waiting for can follow.

        False for a chatflow's ``workflow_finished`` that came before ``message_end``: only the latter tells the price.
        """
        return self.ended and not self._lacks_usage

    @property
    def remote(self) -> Remote | None:
        """What Dify calls the run, as far as events told."""
        return remote_of(self._ids)

    @property
    def unfinished_task(self) -> str | None:
        """What the run has to be stopped by if nobody reads on; None where it is over, or no event told."""
        remote = self.remote
        return remote.task_id if remote is not None and not self._over else None

    @property
    def only_pings(self) -> bool:
        """Whether nothing but keep-alives has come so far."""
        return not self._seen

    @property
    def verdict(self) -> Verdict | None:
        """Why there is no result; None while running, and where there is one."""
        return self._verdict

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what follows the end is ignored."""
        if self.settled:
            return
        room = self._max_stream - self._size
        self._size += len(chunk)
        self._consume(chunk[:room])
        if len(chunk) > room:
            self._too_large("stream", self._max_stream)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event that came whole, as reverse invocation hands them over; what follows the end is ignored."""
        name, data = event.get("event"), event.get("data")
        if self.settled or not isinstance(name, str):
            return
        pieces = (event.get("answer"), data.get("text") if isinstance(data, dict) else None)
        self._size += sum(len(piece) for piece in pieces if isinstance(piece, str))
        if self._size > self._max_stream:
            self._too_large("stream", self._max_stream)
        else:
            self._take(name, event)

    def end(self) -> Reply:
        """Take note that the connection closed, and return the reply. An event cut short counts if it is whole."""
        if not self.settled:
            if self._line:
                self._take_line(bytes(self._line))
                self._line.clear()
            self._dispatch(at_end=True)
        if self._reply is None:
            self._close(self._broken_off())
        return self.reply()

    def reply(self) -> Reply:
        """Return the reply; call it once :attr:`ended`."""
        if self._reply is None:
            raise RuntimeError("The stream has not ended.")
        return self._reply

    def _consume(self, chunk: bytes) -> None:
        """Split off whole lines; they end in LF, CR LF or CR, and the two of CR LF may come in separate pieces."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        scanned, start = len(self._line), 0
        self._line += chunk
        for end in _LINE_END.finditer(self._line, scanned):
            self._take_line(bytes(self._line[start : end.start()]))
            start = end.end()
            if self.settled:
                break
        self._after_cr = start == len(self._line) and self._line.endswith(b"\r")
        del self._line[:start]
        if len(self._line) + self._event_size > self._max_event:
            self._too_large("event", self._max_event)

    def _take_line(self, line: bytes) -> None:
        if len(line) + self._event_size > self._max_event:
            self._too_large("event", self._max_event)
        elif not line:
            self._dispatch()
        elif line.startswith(b"data:"):
            self._event_size += len(line)
            self._data.append(line[5:].removeprefix(b" "))

    def _dispatch(self, *, at_end: bool = False) -> None:
        data, self._data, self._event_size = b"\n".join(self._data), [], 0
        if not data or data == b"[DONE]":
            return
        try:
            event = parse_json(data.decode("utf-8"))
        except UnicodeDecodeError:
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            self._take(event["event"], event)
        elif not at_end and not self.ended:
            words = f"{self._subject} sent an event that is not JSON, so its answer can't be trusted."
            self._close(Verdict(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=True))

    def _take(self, name: str, event: Mapping[str, Any]) -> None:
        if name == "ping":
            return
        self._seen += 1
        self._last_event = name
        for key in ("task_id", "workflow_run_id", "conversation_id", "message_id"):
            if event.get(key) and key not in self._ids:
                self._ids[key] = event[key]
        data = event.get("data")
        data = data if isinstance(data, dict) else {}
        if name == "workflow_started":
            self._ids.setdefault("app_id", app_id_in(data.get("inputs")))
        if self.ended:
            if name == "message_end":
                self._add_usage(event)
        elif name in ("message", "agent_message"):
            self._text(event.get("answer"))
        elif name == "text_chunk":
            self._text(data.get("text"))
        elif name in ("message_replace", "text_replace"):
            self._replace(event.get("answer") if name == "message_replace" else data.get("text"))
        elif name == "message_end":
            self._over = True
            body = {**event, **self._ids, "answer": "".join(self._pieces)}
            self._reply = self._with_warnings(read_chat(body, {"files": event.get("files")}))
        elif name in ("workflow_finished", "workflow_paused"):
            self._over = True
            self._finish("paused" if name == "workflow_paused" else str(data.get("status") or ""), data)
        elif name == "error":
            self._over = True
            self._close(judge_event(event, self._subject))

    def _text(self, piece: Any) -> None:
        if isinstance(piece, str) and piece:
            self._pieces.append(piece)
            if self._on_text is not None:
                self._on_text(piece)

    def _replace(self, text: Any) -> None:
        """Take a moderated answer in place of what came so far."""
        if isinstance(text, str):
            self._pieces = [text]
            self._replaced = True

    def _finish(self, status: str, data: Mapping[str, Any]) -> None:
        """Take a run's end; only a chatflow's events carry a conversation or message."""
        chatflow = "conversation_id" in self._ids or "message_id" in self._ids
        usage, error = Usage(tokens=tokens_of(data.get("total_tokens"))), data.get("error")
        words = error if isinstance(error, str) else ""
        verdict = judge_status(status, words, self._subject, chatflow=chatflow)
        if verdict is not None:
            self._close(verdict, usage)
        elif chatflow:
            self._finish_chatflow(data, usage)
        else:
            self._reply = self._with_warnings(workflow_reply(data.get("outputs"), usage, remote_of(self._ids)))

    def _finish_chatflow(self, data: Mapping[str, Any], usage: Usage) -> None:
        outputs = data.get("outputs")
        outputs = outputs if isinstance(outputs, dict) else {}
        answer = outputs.get("answer")
        text = answer if isinstance(answer, str) and not self._replaced else "".join(self._pieces)
        reply = read_chat({**self._ids, "answer": text}, outputs)
        self._reply = self._with_warnings(replace(reply, usage=usage))
        self._lacks_usage = True

    def _add_usage(self, event: Mapping[str, Any]) -> None:
        metadata = event.get("metadata")
        told = read_chat({"answer": "", "metadata": metadata})
        reply = self.reply()
        usage = read_usage(metadata.get("usage")) if isinstance(metadata, dict) else Usage()
        if usage.tokens is None:
            usage = usage.model_copy(update={"tokens": reply.usage.tokens})
        self._reply = replace(reply, usage=usage, sources=reply.sources or told.sources)
        self._lacks_usage = False

    def _with_warnings(self, reply: Reply) -> Reply:
        if not self._replaced:
            return reply
        words = "Dify replaced the answer while it was streamed (moderation); the result holds the replacement."
        return replace(reply, warnings=(*reply.warnings, words))

    def _close(self, verdict: Verdict, usage: Usage | None = None) -> None:
        self._verdict = verdict
        self._reply = failure(verdict, usage=usage, remote=remote_of(self._ids))

    def _too_large(self, what: str, limit: int) -> None:
        """Read no further; what has already ended stays as it is."""
        if self.ended:
            self._lacks_usage = False
        else:
            words = f"{self._subject} sent more than {limit // 2**20} MiB in one {what}, more than is read."
            self._close(Verdict(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=False))
        self._line.clear()
        self._data = []

    def _broken_off(self) -> Verdict:
        if self.only_pings:
            words = (
                f"{self._subject} sent nothing but keep-alives and closed the stream. Dify 1.13 and later do so after "
                "300 s when all its workers are busy, or when it refuses the inputs of a streaming call."
            )
        else:
            words = f"{self._subject}'s stream broke off after {self._last_event!r}, before the run's end."
        return Verdict(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=True)
