"""What the engine needs from the outside world: a ledger to ask, a runner to call with, a packer of long results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.contract.runs import RunView
from ensemble.packing.model import Packed, Part, Policy

__all__ = ["Context", "Job", "Ledger", "LedgerUnavailable", "Runner"]


class LedgerUnavailable(Exception):  # noqa: N818 - named for what it means to the reader, as users see it
    """The sidecar does not answer."""


class Ledger(Protocol):
    """Who holds runs, breakers and budgets: the sidecar, or the process itself in local mode."""

    @property
    def durable(self) -> bool:
        """Whether what it holds outlives this process; local mode does not."""

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Settle, admit, open, renew, close. Sending the same ask twice is harmless.

        Raises:
            LedgerUnavailable: it did not answer in time, nor when asked once more.

        """

    def run(self, run_id: str) -> RunView:
        """Return the run as it stands, for followers.

        Raises:
            LedgerUnavailable: as above.

        """

    def cached(self, key: str) -> CacheView:
        """Return the answer kept under *key* of the cache, if there is one.

        Raises:
            LedgerUnavailable: as above.

        """


class Context(Protocol):
    """Who fits results into a window of tokens: the sidecar, which counts, or this process, which estimates."""

    def pack(self, parts: Sequence[Part], policy: Policy) -> tuple[Packed, tuple[str, ...]]:
        """Return what fits, with warnings about how it was found. Takes some ms and never fails."""


class Job(Protocol):
    """A call under way."""

    def cancel(self) -> None:
        """Ask it to end; returns at once."""

    def ended(self) -> bool:
        """Whether it is over."""


class Runner(Protocol):
    """How calls run beside the engine: greenlets inside the plugin, threads elsewhere."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Run *work* beside the caller; it reports by itself and must not raise."""
