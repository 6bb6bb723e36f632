"""Conversations' ids are kept by the sidecar, and one that is away is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ensemble.agents.memory import MemoryAway
from ensemble.client.fallback import Absence
from ensemble.client.memory import SidecarMemory
from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from tests.plugin.web import Asked, Told, Web


def memory(url: str, clock: Callable[[], float] = lambda: 0.0) -> SidecarMemory:
    return SidecarMemory(SidecarLedger(url, "token", connections()), Absence(clock))


def test_what_is_kept_is_recalled(web: Web) -> None:
    """Under a trace of its own, for thirty days after its last use."""
    kept: dict[str, str] = {}

    def state(asked: Asked) -> Told:
        if asked.method == "PUT":
            body = json.loads(asked.body)
            assert (body["writer"], body["ttl_s"]) == ("memory", 30 * 86_400)
            kept[asked.path] = body["value"]
            return Told(body=b'{"key": "conversation_id", "version": 1}')
        if asked.path not in kept:
            problem = {"title": "Not found", "status": 404, "code": "not_found", "detail": "no such key"}
            return Told(404, json.dumps(problem).encode())
        return Told(body=json.dumps({"key": "k", "value": kept[asked.path], "version": 1}).encode())

    web.rule = state
    kept_by = memory(web.url)

    assert kept_by.recall("a") is None
    kept_by.keep("a", "one")
    assert kept_by.recall("a") == "one"
    assert kept_by.recall("b") is None


def test_a_sidecar_that_is_away_is_asked_once() -> None:
    """Every call would wait for it otherwise."""
    kept_by = memory("http://127.0.0.1:1")

    with pytest.raises(MemoryAway, match="can't be used"):
        kept_by.recall("a")
    with pytest.raises(MemoryAway, match="a moment ago"):
        kept_by.keep("a", "one")
