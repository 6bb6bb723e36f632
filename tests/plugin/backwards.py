"""A scripted way back into Dify: answers of apps as the SDK hands them over, for tests of reverse calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

type Answer = Mapping[str, Any] | Iterable[Mapping[str, Any]] | str
"""One answer, the events of a stream, or an error's text."""


class ScriptedChat:
    """Stands in for ``session.app.chat``; *script* makes the answer of each call from its arguments."""

    def __init__(self, script: Callable[[dict[str, Any]], Answer]) -> None:
        """Answer by *script*."""
        self.asked: list[dict[str, Any]] = []
        self.left = 0
        """Streams that were closed or read to their end."""
        self._script = script

    def invoke(
        self,
        app_id: str,
        query: str,
        inputs: dict[str, Any],
        response_mode: str,
        conversation_id: str | None = None,
    ) -> Any:
        """Answer, or begin to: a stream is asked for when its first event is."""
        asked = {
            "app_id": app_id,
            "query": query,
            "inputs": inputs,
            "response_mode": response_mode,
            "conversation_id": conversation_id,
        }
        if response_mode == "streaming":
            return self._stream(asked)
        return self._answer(asked)

    def _answer(self, asked: dict[str, Any]) -> Any:
        self.asked.append(asked)
        answer = self._script(asked)
        if isinstance(answer, str):
            raise Exception(answer)  # noqa: TRY002, TRY004 - what the SDK raises
        return dict(answer) if isinstance(answer, Mapping) else next(iter(answer))

    def _stream(self, asked: dict[str, Any]) -> Generator[Mapping[str, Any]]:
        self.asked.append(asked)
        answer = self._script(asked)
        try:
            if isinstance(answer, str):
                raise Exception(answer)  # noqa: TRY002, TRY004 - what the SDK raises
            yield from [answer] if isinstance(answer, Mapping) else answer
        finally:
            self.left += 1


class ScriptedApps:
    """Stands in for ``session.app``."""

    def __init__(self, script: Callable[[dict[str, Any]], Answer], form: Iterable[Mapping[str, Any]] = ()) -> None:
        """Answer by *script*; every app declares *form*, Dify's ``user_input_form``."""
        self.chat: Any = ScriptedChat(script)
        self.form = list(form)
        self.fetched = 0

    def fetch_app(self, _app_id: str) -> Mapping[str, Any]:
        """Tell what the app declares."""
        self.fetched += 1
        return {"data": {"user_input_form": self.form}}
