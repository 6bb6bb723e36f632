"""What is known of agents by those who have called them: a port for whoever chooses, warns or advises by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.agents import AgentsParams, AgentView

__all__ = ["Registry", "SidecarRegistry"]

_MOST_PAGES = 5
_A_PAGE = 100


class Registry(Protocol):
    """Where agents are remembered."""

    def known(self) -> Mapping[str, AgentView]:
        """Return the agents on record by identity.

        Raises:
            EnsembleError: they can't be told now.

        """


class SidecarRegistry:
    """The sidecar's registry: of those called last some hundreds."""

    def __init__(self, ledger: SidecarLedger) -> None:
        """Ask the sidecar behind *ledger*."""
        self._ledger = ledger

    def known(self) -> Mapping[str, AgentView]:
        """Return the agents on record by identity.

        Raises:
            EnsembleError: the sidecar does not answer, or knows no registry.

        """
        found: dict[str, AgentView] = {}
        before_ms: int | None = None
        for _ in range(_MOST_PAGES):
            page = self._ledger.list_agents(AgentsParams(before_ms=before_ms, limit=_A_PAGE))
            found.update({agent.identity: agent for agent in page.agents})
            before_ms = page.next_before_ms
            if before_ms is None:
                break
        return found
