"""Calls an app through Dify's Service API, here or on another Dify: whatever its mode, blocking or streaming."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from ensemble.agents.app_ids import AppIds
from ensemble.agents.classification import Verdict
from ensemble.agents.connections import Connections, NoAnswer, Response
from ensemble.agents.discovery import AppFacts, Discovery
from ensemble.agents.door import CLOSE_S, RUN_PATHS, Door
from ensemble.agents.finding import look_up
from ensemble.agents.identity import api_identity, origin_of
from ensemble.agents.inputs import CHAT_MODES, Given, fit
from ensemble.agents.parents import handed_out, kept_quiet, quietly
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.reading import read_blocking
from ensemble.agents.reconciling import unknown_run, wait_for_run
from ensemble.agents.stream import StreamReader
from ensemble.agents.tracing import trace_headers
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome

__all__ = ["ServiceApiAgent", "probe"]

_STOP_PATHS = {**RUN_PATHS, "workflow": "/workflows/tasks"}
_STREAMING_MODES = frozenset({"agent-chat"})
"""Modes Dify refuses to run blocking."""
_FRESH_S = 5.0
"""How old knowledge of an app may be to refuse a call by it without asking again."""
_USAGE_GRACE_S = 0.25
"""How long a chatflow's price is waited for after its answer is there."""


class ServiceApiAgent:
    """One app, known by base URL and key. Its *label* is what messages call it."""

    def __init__(self, *, label: str, base_url: str, key: str, connections: Connections, discovery: Discovery) -> None:
        """Take the app's address and key, and the process's connections and knowledge of apps.

        Raises:
            BaseUrlError: *base_url* can't be used.

        """
        self._door = Door(label, base_url, key, connections)
        self._discovery = discovery
        self._identity = api_identity(base_url, key)

    @property
    def identity(self) -> str:
        """``api:<base URL>#<hash of the key>``."""
        return self._identity

    @property
    def host(self) -> str:
        """Scheme, host and port; calls there share one limit."""
        return origin_of(self._door.base_url)

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt. Mode and inputs are asked first unless known; nothing is repeated but for one switch.

        An app that answers *does not support blocking mode* has not run; it is asked again, streaming.
        """
        trace = trace_headers(call.trace_id, call.span_id)
        prepared = self._prepare(call, scope, trace)
        if isinstance(prepared, Reply):
            return self._finished(prepared, scope)
        facts, given = prepared
        self._find_out(facts, call, scope, trace)
        streaming = bool(call.stream) or facts.mode in _STREAMING_MODES or self._discovery.streams_only(self._identity)
        reply, verdict = self._run(facts.mode, call, given, scope, trace, streaming=streaming)
        if verdict is not None and verdict.needs_streaming and not streaming:
            self._discovery.remember_streaming(self._identity)
            reply, verdict = self._run(facts.mode, call, given, scope, trace, streaming=True)
        if reply.outcome in (Outcome.REJECTED, Outcome.MISCONFIGURED):
            self._discovery.drop(self._identity)
        reply = kept_quiet(reply, handed_out(given.inputs, call))
        return self._finished(replace(reply, warnings=(*given.warnings, *reply.warnings)), scope)

    def reconcile(self, remote: Remote, call: Call, scope: CallScope) -> Reply:
        """Ask Dify what became of a run of a workflow or chatflow, until it has ended or the time is over."""
        if remote.workflow_run_id is None:
            return unknown_run(self._door.subject, "Dify had not told the run's id yet")
        return self._finished(
            wait_for_run(self._door, remote, scope, trace_headers(call.trace_id, call.span_id)), scope
        )

    def _prepare(self, call: Call, scope: CallScope, trace: Mapping[str, str]) -> tuple[AppFacts, Given] | Reply:
        """Find out what the app wants, and fit the call to it; what is only remembered does not refuse a call."""
        while True:
            facts = self._discovery.facts(self._identity, lambda: self._door.describe(scope, trace), scope)
            if isinstance(facts, Reply):
                return replace(facts, sent=False)
            given = fit(facts.mode, facts.variables, call, self._door.subject)
            if isinstance(given, Given):
                return facts, given
            if time.monotonic() - facts.known_at < _FRESH_S or scope.left_s() <= 0:
                return given
            self._discovery.drop(self._identity)

    def _find_out(self, facts: AppFacts, call: Call, scope: CallScope, trace: Mapping[str, str]) -> None:
        """Find out which app this is: a run inside the call may not tell whose it is."""
        ids = self._discovery.app_ids
        if not call.parent:
            return
        if (app_id := ids.to_tell(self._identity)) is not None:
            scope.reached(Remote(app_id=app_id))
        elif facts.mode == "workflow" and ids.wanted(self._identity):
            look_up(ids, self._identity, self._door, trace, lambda found: scope.reached(Remote(app_id=found)))

    def _run(
        self, mode: str, call: Call, given: Given, scope: CallScope, trace: Mapping[str, str], *, streaming: bool
    ) -> tuple[Reply, Verdict | None]:
        body = _run_body(mode, call, given, streaming=streaming)
        try:
            with self._door.send("POST", RUN_PATHS[mode], body, scope, trace) as response:
                kind = response.headers.get("content-type", "")
                if response.status == HTTPStatus.OK and kind.startswith("text/event-stream"):
                    tell = quietly(scope.text, handed_out(given.inputs, call))
                    return self._read_stream(response, mode, call, scope, tell)
                return read_blocking(response.status, response.headers, response.read_all(), self._door.subject)
        except NoAnswer as error:
            return self._door.no_answer(error, scope), None

    def _read_stream(
        self, response: Response, mode: str, call: Call, scope: CallScope, tell: Callable[[str], None]
    ) -> tuple[Reply, Verdict | None]:
        """Read until the outcome is known; a run left behind is stopped, for a closed connection stops nothing."""
        reader = StreamReader(self._door.subject, tell)
        try:
            _feed(
                reader, response, lambda: reader.ended or _told(reader, scope, self._identity, self._discovery.app_ids)
            )
            _feed(reader, response, lambda: reader.ended)
            response.wait_at_most(_USAGE_GRACE_S)
            _feed(reader, response, lambda: reader.settled)
        except NoAnswer as error:
            if not reader.ended and (scope.cancelled or scope.left_s() <= CLOSE_S):
                reply = self._door.no_answer(error, scope)
                hint = " No event of its run had come: it may still be waiting for a worker." * reader.only_pings
                return replace(reply, message=reply.message + hint, remote=reader.remote), None
        finally:
            if task_id := reader.unfinished_task:
                trace = trace_headers(call.trace_id, call.span_id)
                self._door.stop(f"{_STOP_PATHS[mode]}/{task_id}/stop", call.user, trace)
        return reader.end(), reader.verdict

    def _finished(self, reply: Reply, scope: CallScope) -> Reply:
        """Say *cancelled* where it was us who ended it, and keep the key out of whatever somebody said."""
        if scope.cancelled and reply.outcome is not Outcome.SUCCEEDED:
            reply = replace(reply, outcome=Outcome.CANCELLED, message="The call was cancelled.", retry_allowed=False)
        remote = None if reply.remote is None else reply.remote.model_copy(update={"app_id": None})
        return replace(reply, message=self._door.without_key(reply.message), remote=remote)


def probe(connections: Connections, base_url: str, key: str, *, label: str, timeout_s: float = 5.0) -> AppFacts | Reply:
    """Ask what app a key opens, for the check of credentials: its name and mode, or the classified failure.

    Raises:
        BaseUrlError: *base_url* can't be used.

    """
    door = Door(label, base_url, key, connections)
    found = door.info(CallScope(timeout_s), {})
    return replace(found, message=door.without_key(found.message)) if isinstance(found, Reply) else found


def _told(reader: StreamReader, scope: CallScope, identity: str, ids: AppIds) -> bool:
    """Pass on the run's id as soon as an event has told it, and now and then which app it is."""
    remote = reader.remote
    if remote is None or remote.workflow_run_id is None:
        return False
    if remote.app_id is not None:
        ids.learn(identity, remote.app_id)
    scope.reached(remote.model_copy(update={"app_id": ids.to_tell(identity)}))
    return True


def _feed(reader: StreamReader, response: Response, enough: Callable[[], bool]) -> None:
    while not enough() and (chunk := response.read()):
        reader.feed(chunk)


def _run_body(mode: str, call: Call, given: Given, *, streaming: bool) -> dict[str, Any]:
    """Write the request: ``auto_generate_name`` would cost a hidden model call for every new conversation."""
    body: dict[str, Any] = {
        "inputs": dict(given.inputs),
        "response_mode": "streaming" if streaming else "blocking",
        "user": call.user,
    }
    if mode in CHAT_MODES:
        body |= {"query": given.query, "auto_generate_name": False}
        if call.conversation_id:
            body["conversation_id"] = call.conversation_id
    if call.files:
        body["files"] = [dict(file) for file in call.files]
    return body
