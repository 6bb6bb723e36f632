"""What all calls of this process share: connections, knowledge of apps, books of local mode, absent sidecars.

One process serves every workspace of a Dify, so whatever remembers goes by the credentials it was learnt with. Tool
modules can't hold this: the SDK loads them in a way that makes a second copy of whoever imports them.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.memory import LocalMemory, Memory
from ensemble.agents.service_api import ServiceApiAgent
from ensemble.client.fallback import Absence
from ensemble.client.links import Links
from ensemble.client.memory import SidecarMemory
from ensemble.client.outbox import Outbox
from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections as sidecar_connections
from ensemble.engine.ledger.book import Book
from ensemble.http1.passage import Passage
from plugin.adapters.vectors import VectorCache, WorkspaceVectors
from plugin.app_keys import AppKey
from plugin.credentials import Credentials, Sidecar

__all__ = ["POOLS", "Pools"]

_MOST_KEPT = 256


class Pools:
    """The shared things, made when they are first needed."""

    def __init__(self) -> None:
        """Begin with nothing open."""
        self._lock = threading.Lock()
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._vectors = VectorCache()
        self._absences: dict[tuple[str, bytes], Absence] = {}
        self._connections: OrderedDict[Passage, Connections] = OrderedDict()
        self._links: OrderedDict[bytes, Links] = OrderedDict()
        self._workspaces: OrderedDict[str, Discovery] = OrderedDict()
        self._memories: OrderedDict[str, LocalMemory] = OrderedDict()

    def connections(self, passage: Passage) -> Connections:
        """Return the connections to every Dify that is reached in this very way."""
        with self._lock:
            return _kept(self._connections, passage, lambda: Connections(passage))

    @cached_property
    def discovery(self) -> Discovery:
        """What is known about the apps, by identity, of which the key's hash is a part."""
        return Discovery()

    @cached_property
    def outbox(self) -> Outbox:
        """What waits to be handed in to sidecars that were away."""
        return Outbox()

    def agent(self, app: AppKey) -> ServiceApiAgent:
        """Return the agent behind a key."""
        return ServiceApiAgent(
            label=app.name,
            base_url=app.base_url or "",
            key=app.key,
            connections=self.connections(app.passage),
            discovery=self.discovery,
        )

    def sidecar(self, sidecar: Sidecar) -> SidecarLedger:
        """Return the sidecar's client."""
        with self._lock:
            links = _kept(self._links, sidecar.certificates, lambda: sidecar_connections(sidecar.certificates))
        return SidecarLedger(sidecar.url, sidecar.token, links)

    def absence(self, sidecar: Sidecar) -> Absence:
        """Return what is remembered of the sidecar's not answering."""
        with self._lock:
            return self._absences.setdefault((sidecar.url, sidecar.certificates), Absence(time.monotonic))

    def book(self, credentials: Credentials) -> Book:
        """Return the book of everyone with these very credentials: runs and breakers of others are not theirs."""
        with self._lock:
            return _kept(self._books, _name_of(credentials), Book)

    def memory(self, credentials: Credentials) -> Memory:
        """Return what agents remember by: the sidecar, or in local mode this process, for these very credentials."""
        if credentials.sidecar is not None:
            return SidecarMemory(self.sidecar(credentials.sidecar), self.absence(credentials.sidecar))
        with self._lock:
            return _kept(self._memories, _name_of(credentials), LocalMemory)

    def vectors(self, credentials: Credentials, model: str) -> WorkspaceVectors:
        """Return what is remembered of an embedding model's vectors under these very credentials."""
        sidecar = credentials.sidecar
        ledger, absence = (self.sidecar(sidecar), self.absence(sidecar)) if sidecar else (None, None)
        return WorkspaceVectors(_name_of(credentials), model, self._vectors, ledger, absence)

    def workspace(self, credentials: Credentials) -> Discovery:
        """Return what is known of the apps in the workspace of these very credentials; Dify does not name it."""
        with self._lock:
            return _kept(self._workspaces, _name_of(credentials), Discovery)


def _name_of(credentials: Credentials) -> str:
    sidecar = credentials.sidecar
    secrets = [(app.key, app.base_url) for app in credentials.app_keys]
    known = json.dumps([sidecar and (sidecar.url, sidecar.token), sorted(secrets, key=str)])
    return hashlib.sha256(known.encode()).hexdigest()


def _kept[K, V](things: OrderedDict[K, V], name: K, make: Callable[[], V]) -> V:
    """Return the thing called *name*, made now if there is none; the one not asked for longest goes beyond the most."""
    thing = things.get(name) or things.setdefault(name, make())
    things.move_to_end(name)
    if len(things) > _MOST_KEPT:
        things.popitem(last=False)
    return thing


POOLS = Pools()
"""This process's."""
