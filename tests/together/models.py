"""Scripted models of the workspace, as Dify answers a plugin that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.routing import hashed
from tests.standin.invocation import Invocation

__all__ = ["Embedding", "Model"]


class Model:
    """A language model: replies with the next of its lines, the last for ever; a line may be what to raise."""

    def __init__(self, *lines: str | Exception | Callable[[str], str], tokens: int = 100) -> None:
        """Reply with *lines*, each at the price of *tokens*."""
        self.asked: list[dict[str, Any]] = []
        self._lines = lines
        self._tokens = tokens

    def __call__(self, request: dict[str, Any], _: Invocation) -> Iterator[Mapping[str, Any]]:
        """Answer one call."""
        line = self._lines[min(len(self.asked), len(self._lines) - 1)]
        self.asked.append(request)
        if isinstance(line, Exception):
            raise line
        text = line if isinstance(line, str) else line(request["prompt_messages"][-1]["content"])
        message = {"role": "assistant", "content": text, "tool_calls": []}
        zero = {"prompt_unit_price": "0", "prompt_price_unit": "0", "prompt_price": "0", "completion_unit_price": "0"}
        zero |= {"completion_price_unit": "0", "completion_price": "0", "total_price": "0.001", "currency": "USD"}
        counts = {"prompt_tokens": self._tokens, "completion_tokens": 0, "total_tokens": self._tokens, "latency": 0.0}
        delta = {"index": 0, "message": message, "usage": {**zero, **counts}}
        yield {"model": request["model"], "prompt_messages": [], "delta": delta}


class Embedding:
    """An embedding model: vectors out of hashed words and letters."""

    def __init__(self, fails: Exception | None = None) -> None:
        """Raise *fails* at every call, where it is given."""
        self.asked: list[dict[str, Any]] = []
        self._fails = fails

    @property
    def texts(self) -> list[list[str]]:
        """What each call was given."""
        return [each["texts"] for each in self.asked]

    def __call__(self, request: dict[str, Any], _: Invocation) -> Mapping[str, Any]:
        """Answer one call."""
        self.asked.append(request)
        if self._fails is not None:
            raise self._fails
        tokens = sum(len(text) for text in request["texts"])
        usage = {
            "tokens": tokens,
            "total_tokens": tokens,
            "unit_price": "0",
            "price_unit": "0",
            "total_price": "0.0001",
        }
        return {
            "model": request["model"],
            "embeddings": [list(hashed(text)) for text in request["texts"]],
            "usage": {**usage, "currency": "USD", "latency": 0.0},
        }
