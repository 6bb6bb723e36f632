"""Remembers vectors by model and text: in this process, and in the sidecar's shared state for all others.

Only texts of routes are remembered, never queries, and in the sidecar only under a hash. A week's vectors lie in one
namespace, so that those of routes nobody has any more go after two weeks at most.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial

from ensemble.client.fallback import Absence
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.state import StateParams, StatePut
from ensemble.routing.nearness import Vector
from plugin.adapters.greenlets import in_parallel
from plugin.errors import EnsembleError

__all__ = ["MOST_VECTORS", "TRACE", "VectorCache", "WorkspaceVectors"]

MOST_VECTORS = 2048
"""Vectors kept in this process: 12 MiB at 1,536 dimensions."""
TRACE = "router-vectors"
"""The trace whose state holds the vectors."""
_WEEK_S = 7 * 86_400
_WITHIN_S = 2.0
_AT_ONCE = 8


class VectorCache:
    """This process's vectors, the least used forgotten first. Safe to use from several threads or greenlets."""

    def __init__(self, most: int = MOST_VECTORS) -> None:
        """Keep *most* vectors."""
        self._most = most
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, array[float]] = OrderedDict()

    def get(self, key: str) -> Vector | None:
        """Return the vector at *key*."""
        with self._lock:
            found = self._vectors.get(key)
            if found is not None:
                self._vectors.move_to_end(key)
        return None if found is None else found.tolist()

    def put(self, key: str, vector: Vector) -> None:
        """Keep a vector, at single precision."""
        with self._lock:
            self._vectors[key] = array("f", vector)
            self._vectors.move_to_end(key)
            if len(self._vectors) > self._most:
                self._vectors.popitem(last=False)


class WorkspaceVectors:
    """The vectors of one model, as one workspace may see them."""

    def __init__(
        self, owner: str, model: str, cache: VectorCache, sidecar: SidecarLedger | None, absence: Absence | None
    ) -> None:
        """Keep apart what *owner* learnt; ask *sidecar*, unless *absence* lasts, for what this process has not."""
        self._prefix = f"{owner}\n{model}\n"
        self._model = hashlib.sha256(model.encode()).hexdigest()[:16]
        self._cache = cache
        self._sidecar = sidecar
        self._absence = absence

    def get(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """Return the vectors that are known here or to the sidecar."""
        found = {text: vector for text in texts if (vector := self._cache.get(self._prefix + _hash(text))) is not None}
        missing = [text for text in texts if text not in found]
        sidecar = self._asked()
        if missing and sidecar is not None:
            works = {text: partial(self._fetch, sidecar, text) for text in missing}
            for text, vector in in_parallel(works, within_s=_WITHIN_S, at_most=_AT_ONCE).items():
                if vector is not None:
                    found[text] = vector
                    self._cache.put(self._prefix + _hash(text), vector)
        return found

    def put(self, vectors: Mapping[str, Vector]) -> None:
        """Keep *vectors* here, and with the sidecar as far as it takes them in time."""
        for text, vector in vectors.items():
            self._cache.put(self._prefix + _hash(text), vector)
        sidecar = self._asked()
        if vectors and sidecar is not None:
            works = {text: partial(self._store, sidecar, text, vector) for text, vector in vectors.items()}
            in_parallel(works, within_s=_WITHIN_S, at_most=_AT_ONCE)

    def _asked(self) -> SidecarLedger | None:
        return None if self._absence is not None and self._absence.lasts() else self._sidecar

    def _fetch(self, sidecar: SidecarLedger, text: str) -> Vector | None:
        try:
            return _unpacked(sidecar.get_state(self._place(text)).value)
        except EnsembleError:
            return None  # Not there, or not now: then it is embedded.

    def _store(self, sidecar: SidecarLedger, text: str, vector: Vector) -> None:
        place = self._place(text)
        try:
            sidecar.put_state(place, StatePut(writer=place.namespace, value=_packed(vector), ttl_s=_WEEK_S))
        except EnsembleError:
            return  # The next one embeds it again.

    def _place(self, text: str) -> StateParams:
        week = int(time.time()) // _WEEK_S
        return StateParams(trace_id=TRACE, namespace=f"{self._model}-{week}", key=_hash(text))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _packed(vector: Vector) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _unpacked(value: object) -> Vector | None:
    try:
        packed = array("f", base64.b64decode(str(value), validate=True))
    except (ValueError, binascii.Error):
        return None
    return packed.tolist() or None
