"""Calls an app of the caller's own workspace through Dify itself: by its id, without a key.

What Dify does here: the app's mode can't be asked for, only seen in an answer. One method takes every mode, for Dify
goes by the app's own: chat-like apps read the query, workflow and completion apps the inputs. A stream is sent when its
first event is asked for, has no keep-alives, and is cut by the plugin daemon after 240 s in all. There is no way to
stop a run. A call after the tool's end is answered by nobody, so every call ends with its scope.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Literal, Protocol, overload

import gevent

from ensemble.agents.backwards import judge_text, mode_of_answer, mode_of_event
from ensemble.agents.classification import Verdict
from ensemble.agents.discovery import AppFacts, Discovery
from ensemble.agents.identity import app_identity
from ensemble.agents.inputs import Given, fit, parse_form
from ensemble.agents.parents import handed_out, kept_quiet, quietly
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.reading import failure, read_answer
from ensemble.agents.stream import StreamReader
from ensemble.contract.outcomes import Outcome

__all__ = ["Apps", "ReverseAgent"]

STREAM_WALL_S = 240.0
"""How long the plugin daemon lets one streamed reverse call last in a stock Dify, whatever comes meanwhile."""
_WALL_SLACK_S = 5.0
_FRESH_S = 5.0
"""How old knowledge of an app may be to refuse a call by it without asking again."""
_USAGE_GRACE_S = 0.25
"""How long a chatflow's price is waited for after its answer is there."""
_STREAMING_MODES = frozenset({"agent-chat"})
_WALL = (
    " Dify's plugin daemon cuts a streamed reverse call after 240 s; raise DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT (in "
    "milliseconds) there, let the step answer in one piece (stream: false), or call the app by its key."
)


class Chat(Protocol):
    """The part of the SDK's ``session.app.chat`` that is used."""

    @overload
    def invoke(
        self, app_id: str, query: str, inputs: dict[str, Any], response_mode: Literal["streaming"],
        conversation_id: str | None = None,
    ) -> Generator[dict[str, Any]]: ...  # fmt: skip
    @overload
    def invoke(
        self, app_id: str, query: str, inputs: dict[str, Any], response_mode: Literal["blocking"],
        conversation_id: str | None = None,
    ) -> dict[str, Any]: ...  # fmt: skip


class Apps(Protocol):
    """The part of the SDK's ``session.app`` that is used."""

    @property
    def chat(self) -> Chat:
        """Runs an app of any mode."""

    def fetch_app(self, app_id: str) -> Mapping[str, Any]:
        """Return ``{"data": {user_input_form, …}}``."""


class ReverseAgent:
    """One app of the workspace, for the length of one tool call."""

    def __init__(
        self, app_id: str, *, label: str, apps: Apps, discovery: Discovery, host: str, wall_s: float = STREAM_WALL_S
    ) -> None:
        """Take the app's id, the tool call's way into Dify, and what is known of this workspace's apps.

        *host* is whose connections a call takes; *wall_s* is the daemon's limit for a stream.
        """
        self._app_id = app_id
        self._subject = f"{label} (app {app_id[:8]}… of this workspace)"
        self._apps = apps
        self._discovery = discovery
        self._host = host
        self._wall_s = wall_s

    @property
    def identity(self) -> str:
        """``app:<app id>``."""
        return app_identity(self._app_id)

    @property
    def host(self) -> str:
        """The workspace's own Dify."""
        return self._host

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt; an app that answers *does not support blocking mode* has not run and is asked again."""
        try:
            with gevent.Timeout(scope.left_s(), _Late()):
                reply = self._call(call, scope)
        except _Late:
            seconds = f"{scope.timeout_s:.1f}".removesuffix(".0")
            words = f"{self._subject} did not answer within {seconds} s. Give the step a longer timeout if it needs it."
            reply = Reply(outcome=Outcome.TIMED_OUT, message=words, retry_allowed=True)
        if scope.cancelled and reply.outcome is not Outcome.SUCCEEDED:
            return replace(reply, outcome=Outcome.CANCELLED, message="The call was cancelled.", retry_allowed=False)
        return reply

    def _call(self, call: Call, scope: CallScope) -> Reply:
        prepared = self._prepare(call, scope)
        if isinstance(prepared, Reply):
            return prepared
        facts, given = prepared
        if call.files:
            words = f"{self._subject} is given no files: reverse calls carry none. Call it by its key, or use inputs."
            given = replace(given, warnings=(*given.warnings, words))
        streaming = bool(call.stream) or facts.mode in _STREAMING_MODES
        streaming = streaming or self._discovery.streams_only(self.identity)
        reply, verdict = self._run(call, given, facts, scope, streaming=streaming)
        if verdict is not None and verdict.needs_streaming and not streaming:
            self._discovery.remember_streaming(self.identity)
            reply, _ = self._run(call, given, facts, scope, streaming=True)
        if reply.outcome in (Outcome.REJECTED, Outcome.MISCONFIGURED):
            self._discovery.drop(self.identity)
        reply = kept_quiet(reply, handed_out(given.inputs, call))
        return replace(reply, warnings=(*given.warnings, *reply.warnings))

    def _prepare(self, call: Call, scope: CallScope) -> tuple[AppFacts, Given] | Reply:
        """Fit the call to what the app declares; what is only remembered does not refuse a call."""
        while True:
            facts = self._discovery.facts(self.identity, self._describe, scope)
            if isinstance(facts, Reply):
                return replace(facts, sent=False)
            given = fit(facts.mode, facts.variables, call, self._subject)
            if isinstance(given, Given):
                return facts, given
            if time.monotonic() - facts.known_at < _FRESH_S:
                return given
            self._discovery.drop(self.identity)

    def _describe(self) -> AppFacts | Reply:
        """Ask for the app's declared inputs."""
        try:
            answer: Any = self._apps.fetch_app(self._app_id)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            return failure(judge_text(str(error), self._subject), sent=False)
        while isinstance(answer, Mapping) and "user_input_form" not in answer and "data" in answer:
            answer = answer["data"]
        return AppFacts(name="", mode="", variables=parse_form(answer) if isinstance(answer, Mapping) else ())

    def _run(
        self, call: Call, given: Given, facts: AppFacts, scope: CallScope, *, streaming: bool
    ) -> tuple[Reply, Verdict | None]:
        if scope.cancelled:
            return Reply(outcome=Outcome.CANCELLED, message="The call was cancelled.", sent=False), None
        chat, inputs, talk = self._apps.chat, dict(given.inputs), call.conversation_id
        # A query of nothing is refused by chat-like apps, and apps of other modes do not read it.
        query = given.query or call.query
        try:
            if streaming:
                events = chat.invoke(self._app_id, query, inputs, "streaming", talk)
                with closing(events):
                    return self._read_stream(events, facts, quietly(scope.text, handed_out(inputs, call)))
            answer = chat.invoke(self._app_id, query, inputs, "blocking", talk)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            verdict = judge_text(str(error), self._subject)
            return failure(verdict), verdict
        self._learn(facts, mode_of_answer(answer))
        read = read_answer(answer, self._subject)
        if read is not None:
            return read
        words = f"{self._subject} gave an answer that is no app's."
        return Reply(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=True), None

    def _read_stream(
        self, events: Iterator[Mapping[str, Any]], facts: AppFacts, tell: Callable[[str], None]
    ) -> tuple[Reply, Verdict | None]:
        """Read until the outcome is known; Dify keeps a stream open for a second longer than that."""
        begun = time.monotonic()
        reader = StreamReader(self._subject, tell)
        broke: Verdict | None = None
        mode = ""
        try:
            while not reader.ended and (event := next(events, None)) is not None:
                mode = mode or mode_of_event(event)
                reader.take(event)
            with suppress(gevent.Timeout), gevent.Timeout(_USAGE_GRACE_S):
                while not reader.settled and (event := next(events, None)) is not None:
                    reader.take(event)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            broke = judge_text(str(error), self._subject)
        self._learn(facts, mode)
        if reader.ended:
            return reader.reply(), reader.verdict
        reply = reader.end() if broke is None else failure(broke, remote=reader.remote)
        if reader.only_pings and broke is None:
            words = f"{self._subject}: Dify ended the call without a word."
            reply = replace(reply, message=words)
        if time.monotonic() - begun >= self._wall_s - min(_WALL_SLACK_S, self._wall_s / 10):
            return replace(reply, message=reply.message + _WALL, retry_allowed=False), broke
        return reply, broke

    def _learn(self, facts: AppFacts, mode: str) -> None:
        """Remember what kind of app it is: an answer's shape tells."""
        if mode and mode != facts.mode:
            self._discovery.learn(self.identity, replace(facts, mode=mode))


class _Late(BaseException):
    """The call's time is over. No handler of the SDK's may take it for a failure, so it is no Exception."""
