"""An agent of a server under test, and the call it makes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.service_api import ServiceApiAgent
from tests.ensemble.agents.wire import Server

KEY = "app-abcdefghijklmnopqrstuvwx"
WRITTEN = Path(__file__).parent / "written"


class Caller:
    """An agent of a server under test, and the call it makes."""

    def __init__(self, connections: Connections, discovery: Discovery) -> None:
        self.connections, self.discovery = connections, discovery

    def agent(self, server: Server) -> ServiceApiAgent:
        return ServiceApiAgent(
            label="market", base_url=server.url, key=KEY, connections=self.connections, discovery=self.discovery
        )

    def __call__(self, server: Server, timeout_s: float = 5, scope: CallScope | None = None, **call: Any) -> Reply:
        return self.agent(server).call(Call(**{"query": "the task", **call}), scope or CallScope(timeout_s))


def until(condition: Any) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
