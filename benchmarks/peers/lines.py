"""The worker's side of the conversation: one job a line on stdin, one answer a line on stdout, until stdin ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.shapes import SHAPES, Shape

__all__ = ["ANSWER_TIMEOUT_S", "Job", "answer_of", "body_of", "serve", "serve_jobs"]

ANSWER_TIMEOUT_S = 30.0
"""How long a worker waits for one agent."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made: a shape, where the agents are, and each call's key."""

    shape: Shape
    url: str
    """The Service API's base URL."""
    keys: tuple[str, ...]
    """The n-th call's agent has the n-th key."""

    def request(self, number: int) -> tuple[str, dict[str, str]]:
        """Return URL and headers of the *number*-th call."""
        headers = {"Authorization": f"Bearer {self.keys[number]}", "Content-Type": "application/json"}
        return f"{self.url}/chat-messages", headers


def body_of(query: str) -> dict[str, Any]:
    """Return the request to a chatflow that is asked *query*."""
    return {
        "inputs": {},
        "query": query,
        "response_mode": "blocking",
        "user": "benchmark",
        "auto_generate_name": False,
    }


def answer_of(body: Any) -> str:
    """Return what the agent said."""
    return str(body["answer"])


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each line of stdin by *answer* until there is none."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def serve_jobs(run: Callable[[Job], int]) -> None:
    """Time *run*, which returns how many agents answered, on each job that comes."""

    def timed(line: dict[str, Any]) -> dict[str, Any]:
        job = Job(SHAPES[line["shape"]], line["url"], tuple(line["keys"]))
        begun = time.perf_counter()
        answered = run(job)
        return {"took_s": time.perf_counter() - begun, "answered": answered}

    serve(timed)
