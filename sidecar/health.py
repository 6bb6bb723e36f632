"""Whether the sidecar lives, whether it can work, and what it is."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from ensemble.contract.about import CONTRACT_VERSION, About, Health
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.server import server_facts

__all__ = ["SelfView", "product_version"]


@cache
def product_version() -> str:
    """Return the version in the project file, the one place where it stands."""
    project = Path(__file__).parent.parent / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


class SelfView:
    """What the sidecar tells about itself."""

    def __init__(self, redis: Client, *, embedded: bool, public_url: str = "") -> None:
        self._redis = redis
        self._embedded = embedded
        self._public_url = public_url

    def live(self) -> Health:
        """Say that the process lives."""
        return Health(status="live")

    def ready(self) -> Health:
        """Say that the store answers and takes writes. Raises StoreUnavailable."""
        with store_errors():
            self._redis.write_nothing()
        return Health(status="ready")

    def about(self) -> About:
        """Say what answers here. Raises StoreUnavailable."""
        facts = server_facts(self._redis)
        store = f"{facts.name} (embedded)" if self._embedded else facts.name
        with store_errors():
            seconds, micros = self._redis.time()
        return About(
            version=product_version(),
            contract=CONTRACT_VERSION,
            store=store,
            durability=facts.durability,
            public_url=self._public_url,
            now_ms=seconds * 1000 + micros // 1000,
        )
