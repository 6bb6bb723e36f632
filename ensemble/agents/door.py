"""One app's Service API: its address and key, how to speak to it, and what it tells about itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from ensemble.agents.classification import judge_foreign, judge_response, parse_json, quote
from ensemble.agents.connections import Connections, NoAnswer, Response
from ensemble.agents.discovery import AppFacts
from ensemble.agents.identity import normalise_base_url, origin_of
from ensemble.agents.inputs import CHAT_MODES, parse_form
from ensemble.agents.port import CallScope, Reply
from ensemble.agents.reading import failure
from ensemble.contract.outcomes import Outcome

__all__ = ["RUN_PATHS", "Door"]

RUN_PATHS = {
    "workflow": "/workflows/run",
    "completion": "/completion-messages",
    **dict.fromkeys(CHAT_MODES, "/chat-messages"),
}
"""Where an app of each mode is run."""
STOP_S = 1.0
"""How long a request to stop a run may take."""
CLOSE_S = 0.005
"""Less than this left counts as nothing left: a timeout may fire a moment early."""
_SMALL_BYTES = 64 * 1024


class Door:
    """One app's Service API: its address, its key, and how to speak to it."""

    def __init__(self, label: str, base_url: str, key: str, connections: Connections) -> None:
        self.base_url = normalise_base_url(base_url)
        self.subject = f"{label} ({origin_of(base_url).partition('://')[2]})"
        self._key = key
        self._connections = connections

    def send(
        self, method: str, path: str, body: Any, scope: CallScope, trace: Mapping[str, str]
    ) -> AbstractContextManager[Response]:
        """Send, and give the answer; see :meth:`Connections.send`."""
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json, text/event-stream", **trace}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, default=str).encode()
        return self._connections.send(method, self.base_url + path, headers, content, scope)

    def info(self, scope: CallScope, trace: Mapping[str, str]) -> AppFacts | Reply:
        """Ask for the app's name and mode."""
        info = self._get("/info", scope, trace, wanted="mode")
        if isinstance(info, Reply):
            return info
        mode = str(info["mode"])
        if mode not in RUN_PATHS:
            words = f"{self.subject} is a {quote(mode, 60)!r} app, which can't be called as an agent."
            return Reply(outcome=Outcome.MISCONFIGURED, message=words, sent=False)
        return AppFacts(name=str(info.get("name") or ""), mode=mode)

    def describe(self, scope: CallScope, trace: Mapping[str, str]) -> AppFacts | Reply:
        """Ask for the app's name, mode and declared inputs."""
        facts = self.info(scope, trace)
        if isinstance(facts, Reply):
            return facts
        parameters = self._get("/parameters", scope, trace, wanted="user_input_form")
        if isinstance(parameters, Reply):
            return parameters
        return replace(facts, variables=parse_form(parameters))

    def _get(self, path: str, scope: CallScope, trace: Mapping[str, str], *, wanted: str) -> dict[str, Any] | Reply:
        try:
            with self.send("GET", path, None, scope, trace) as response:
                body = response.read_all()
        except NoAnswer as error:
            return replace(self.no_answer(error, scope), sent=False)
        answer = parse_json(body) if response.status == HTTPStatus.OK else None
        if isinstance(answer, dict) and wanted in answer:
            return answer
        judge = judge_foreign if response.status == HTTPStatus.OK else judge_response
        return failure(judge(response.status, response.headers, body, self.subject), sent=False)

    def no_answer(self, error: NoAnswer, scope: CallScope) -> Reply:
        """Classify what the network did, seen with the call's own deadline and cancel."""
        if scope.cancelled:
            return Reply(outcome=Outcome.CANCELLED, message="The call was cancelled.", sent=error.sent)
        if error.misconfigured:
            return Reply(
                outcome=Outcome.MISCONFIGURED, message=f"{self.subject} can't be called. {error}", sent=error.sent
            )
        if scope.left_s() <= CLOSE_S and not error.too_large:
            time_s = f"{scope.timeout_s:.1f}".removesuffix(".0")
            words = f"{self.subject} did not answer within {time_s} s. Give the step a longer timeout if it needs it."
            return Reply(outcome=Outcome.TIMED_OUT, message=words, retry_allowed=True, sent=error.sent)
        words = f"{self.subject} is unavailable: {error}"
        return Reply(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=not error.too_large, sent=error.sent)

    def stop(self, path: str, user: str, trace: Mapping[str, str]) -> None:
        """Ask Dify to stop a run, beside the caller and for a second at most; nobody waits for the answer."""

        def ask() -> None:
            try:
                with self.send("POST", path, {"user": user}, CallScope(STOP_S), trace) as response:
                    response.read_all(_SMALL_BYTES)
            except NoAnswer:
                return  # The run goes on to its own end, as it would have without us.

        threading.Thread(target=ask, name=f"stop {self.subject}", daemon=True).start()

    def without_key(self, words: str) -> str:
        """Take the key out of somebody's words."""
        return words.replace(self._key, "[key]") if self._key else words
