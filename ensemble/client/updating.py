"""Changing a value of shared state by a function, however many others change it at the same time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from ensemble.contract.state import (
    PlacedPut,
    StateAt,
    StateEntry,
    StateFound,
    StateParams,
    StateRead,
    StateWrite,
    StateWritten,
    TraceParams,
)

__all__ = ["Contended", "StateClient", "update_atomic"]

MOST_TRIES = 32
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 0.25


class StateClient(Protocol):
    """The part of the sidecar's client that is used here."""

    def get_states(self, params: TraceParams, ask: StateRead) -> StateFound:
        """Return those of several values that are there."""

    def put_states(self, params: TraceParams, ask: StateWrite) -> StateWritten:
        """Store several values, all or none."""


class Contended(Exception):  # noqa: N818 -- the contract's word
    """Others were faster, every time; nothing was stored."""


def update_atomic(
    client: StateClient,
    key: StateParams,
    function: Callable[[Any], Any],
    *,
    writer: str,
    default: Any = None,
    ttl_s: int = 3600,
    tries: int = MOST_TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> StateEntry:
    """Store what *function* makes of the value, and return it with its new version; no change of others is lost.

    *function* is given the value as it stands, *default* where there is none. It is called again whenever somebody
    else was faster, so it should do nothing but compute. Between two tries passes a random time that grows.

    Args:
        client: The sidecar's client.
        key: Trace, namespace and key.
        function: From the value to the new one; what it raises is passed on, and nothing is stored then.
        writer: Who writes: the namespace's own agent, or anyone in ``shared``.
        default: What *function* is given where there is no value.
        ttl_s: How long the namespace lives after its last use.
        tries: How often at most.
        sleep: Waits some seconds.

    Raises:
        Contended: Others were faster *tries* times in a row.

    """
    trace = TraceParams(trace_id=key.trace_id)
    at = StateAt(namespace=key.namespace, key=key.key)
    for lost in range(tries):
        if lost:
            longest = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**lost)
            sleep(random.uniform(0, longest))  # noqa: S311 -- no secret
        entries = client.get_states(trace, StateRead(items=(at,))).entries
        value, version = (entries[0].value, entries[0].version) if entries else (default, 0)
        new = function(value)
        put = PlacedPut(namespace=key.namespace, key=key.key, value=new, expected_version=version)
        written = client.put_states(trace, StateWrite(writer=writer, puts=(put,), ttl_s=ttl_s))
        if written.written:
            return StateEntry(key=key.key, value=new, version=written.versions[0].version)
    raise Contended(f"{key.key!r} was changed by others {tries} times in a row; nothing was stored.")
