"""Dify's own limits, as far as this process can know them.

The plugin daemon hands its environment on to plugins, and in the stock compose file that is the whole of Dify's
``.env``. Only the numbers named here are read of it, by names nobody else uses; what is not there is taken to be as in
a stock Dify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DifyLimits", "Known", "dify_limits"]

_MOST = 10**9


@dataclass(frozen=True, slots=True)
class Known:
    """A number, and how it is known."""

    value: int
    setting: str
    """What Dify calls it."""
    told: bool = False
    """Whether the environment tells it; else it is a stock Dify's."""

    def words(self, unit: str = "") -> str:
        """Return the number and its unit as sentences have them, and where it is from."""
        number = f"{self.value:,} {unit}".strip()
        return f"{number} ({self.setting})" if self.told else f"{number} (a stock Dify's {self.setting})"


@dataclass(frozen=True, slots=True)
class DifyLimits:
    """What Dify allows."""

    workers: Known
    connections: Known
    """Of each worker."""
    streaming_runs: Known
    """Workflows and chatflows that stream at one time, from Dify 1.13 on."""
    tool_call_s: Known
    reverse_stream_ms: Known
    workflow_s: Known

    @property
    def requests(self) -> int:
        """How many requests its API serves at one time."""
        return self.workers.value * self.connections.value


def dify_limits(environment: Mapping[str, str]) -> DifyLimits:
    """Return the limits that *environment* tells, and a stock Dify's for the others."""

    def known(setting: str, stock: int) -> Known:
        text = environment.get(setting, "").strip()
        told = text.isascii() and text.isdecimal() and 0 < int(text[:10]) <= _MOST
        return Known(int(text[:10]) if told else stock, setting, told)

    return DifyLimits(
        workers=known("SERVER_WORKER_AMOUNT", 1),
        connections=known("SERVER_WORKER_CONNECTIONS", 10),
        streaming_runs=known("CELERY_WORKER_AMOUNT", 4),
        tool_call_s=known("PLUGIN_MAX_EXECUTION_TIMEOUT", 600),
        reverse_stream_ms=known("DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT", 240_000),
        workflow_s=known("WORKFLOW_MAX_EXECUTION_TIME", 1200),
    )
