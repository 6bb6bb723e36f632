"""A Dify app as an agent of a Python program: its address and its key."""

from __future__ import annotations

from dataclasses import dataclass, field

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.identity import normalise_base_url
from ensemble.agents.service_api import ServiceApiAgent

__all__ = ["DifyApp", "dify"]


@dataclass(frozen=True, slots=True)
class DifyApp:
    """A published Dify app; made by :func:`dify`."""

    base_url: str
    """Of the Service API, such as ``https://dify.example.com/v1``."""
    key: str = field(repr=False)

    def agent(self, name: str, connections: Connections, discovery: Discovery) -> ServiceApiAgent:
        """Return who calls the app; *name* is what messages call it."""
        return ServiceApiAgent(
            label=name, base_url=self.base_url, key=self.key, connections=connections, discovery=discovery
        )


def dify(base_url: str, key: str) -> DifyApp:
    """Return the app behind *key* as an agent.

    Args:
        base_url: What an app's page *API Access* calls *API server*, such as ``https://dify.example.com/v1``.
        key: One of the app's API keys, ``app-…``.

    Raises:
        ValueError: the address can't be used, or the key is none.

    """
    if not key.strip() or not all("!" <= char <= "~" for char in key.strip()):
        raise ValueError(
            "The app's key is empty or no key. Copy one from the app's page 'API Access'; it begins with app-."
        )
    return DifyApp(normalise_base_url(base_url), key.strip())
