"""Runs a pure decision over Redis: read, decide, commit; a lost race is decided anew."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from redis.exceptions import ConnectionError as RedisConnectionError

from ensemble.rules.snapshot import Address, Changes, NotRead, Snapshot
from sidecar.errors import Contended, StoreUnavailable
from sidecar.store.changes import Reading, commit_arguments, grouped, is_written, parse_reading, read_arguments
from sidecar.store.connection import Client
from sidecar.store.faults import record_errors
from sidecar.store.listeners import Listener, Listeners
from sidecar.store.scripts import Script

__all__ = ["Store"]

MOST_TRIES = 16
SHORTEST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.05

_READ = Script("sidecar.store", "read.lua")
_COMMIT = Script("sidecar.store", "commit.lua")


class Store:
    """The documents, counters and indexes of all tenants."""

    def __init__(
        self, redis: Client, listeners: Iterable[Listener] = (), race_lost: Callable[[str], None] | None = None
    ) -> None:
        """Keep everything in *redis*.

        Args:
            redis: Where.
            listeners: Hear what decisions came to, once it is written.
            race_lost: Told a tenant each time a decision could not be written since others were faster.

        """
        self.redis = redis
        self._listeners = Listeners(listeners)
        self._race_lost = race_lost or (lambda _tenant: None)

    def decide[AnswerT](
        self,
        tenant: str,
        decide: Callable[[Snapshot], tuple[AnswerT, Changes]],
        wanted: Iterable[Address] = (),
    ) -> AnswerT:
        """Return what *decide* answers, once what it changes is written.

        *decide* must be idempotent: where the connection broke it is asked once more, though its changes may be written
        already.

        Args:
            tenant: Whose documents.
            decide: Pure; called until its changes could be committed as decided.
            wanted: What is read at first; what it lacks is read when *decide* raises NotRead.

        Raises:
            Contended: others were faster every time. Nothing was written.
            StoreUnavailable: Redis does not answer. Something may have been written.
            StoreDamaged: What was read can't be understood. Nothing was written.

        """
        addresses = dict.fromkeys(wanted)
        in_doubt: list[tuple[Reading, Changes]] = []
        try:
            return self._decide(tenant, decide, addresses, in_doubt)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, RedisConnectionError):
                raise
        return self._decide(tenant, decide, addresses, in_doubt)

    def look[AnswerT](
        self, tenant: str, look: Callable[[Snapshot], AnswerT], wanted: Iterable[Address] = ()
    ) -> AnswerT:
        """Return what *look* sees in one snapshot; nothing is written. Raises StoreUnavailable, StoreDamaged."""
        answer, _ = self._decided(tenant, look, dict.fromkeys(wanted))
        return answer

    def _decide[AnswerT](
        self,
        tenant: str,
        decide: Callable[[Snapshot], tuple[AnswerT, Changes]],
        addresses: dict[Address, None],
        in_doubt: list[tuple[Reading, Changes]],
    ) -> AnswerT:
        """Decide until it is written; *in_doubt* gets a commit nobody answered, or tells of the one before."""
        for lost in range(MOST_TRIES):
            if lost:
                _pause(lost)
            (answer, changes), reading = self._decided(tenant, decide, addresses)
            if in_doubt:
                earlier, made = in_doubt.pop()
                if is_written(earlier, made, reading):
                    self._listeners.tell(tenant, made.news)
            in_doubt.append((reading, changes))
            written = not changes or _COMMIT.run(self.redis, *commit_arguments(tenant, reading, changes))
            in_doubt.clear()
            if written:
                self._listeners.tell(tenant, changes.news)
                return answer
            self._race_lost(tenant)
        raise Contended(
            f"Others wrote to the same records {MOST_TRIES} times in a row; nothing was written. Ask again."
        )

    def _decided[ResultT](
        self, tenant: str, decide: Callable[[Snapshot], ResultT], addresses: dict[Address, None]
    ) -> tuple[ResultT, Reading]:
        """Read and decide; whatever is found missing is added to *addresses*, and all of them are read at one moment."""
        while True:
            groups = grouped(addresses)
            reading = parse_reading(groups, _READ.run(self.redis, *read_arguments(tenant, groups)))
            try:
                with record_errors(address.key for address in addresses):
                    return decide(reading.snapshot), reading
            except NotRead as missing:
                if addresses.keys() >= set(missing.addresses):
                    raise RuntimeError(f"asked again for what was read: {missing.addresses}") from missing
                addresses.update(dict.fromkeys(missing.addresses))


def _pause(lost: int) -> None:
    """Wait a random moment, longer the more races were lost."""
    time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**lost)))  # noqa: S311 -- no secret
