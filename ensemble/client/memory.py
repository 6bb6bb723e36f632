"""Conversations' ids in the sidecar's shared state, each in a trace of its own that ends 30 days after its last use."""

from __future__ import annotations

from ensemble.agents.memory import MemoryAway
from ensemble.client.errors import EnsembleError, SidecarRefused, SidecarUnavailable
from ensemble.client.fallback import Absence
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.problems import ProblemCode
from ensemble.contract.state import StateParams, StatePut

__all__ = ["SidecarMemory"]

_NAMESPACE = "memory"
_KEY = "conversation_id"
_TTL_S = 30 * 86_400


class SidecarMemory:
    """What agents remember, over all processes."""

    def __init__(self, sidecar: SidecarLedger, absence: Absence) -> None:
        """Keep it with *sidecar*, which is left alone for as long as *absence* lasts."""
        self._sidecar = sidecar
        self._absence = absence

    def recall(self, key: str) -> str | None:
        """Return what is kept under *key*. Raises MemoryAway."""
        self._check()
        try:
            value = self._sidecar.get_state(_place(key)).value
        except SidecarRefused as error:
            if error.code is ProblemCode.NOT_FOUND:
                return None
            raise MemoryAway(str(error)) from None
        except EnsembleError as error:
            raise self._away(error) from None
        return value if isinstance(value, str) else None

    def keep(self, key: str, conversation_id: str) -> None:
        """Keep *conversation_id*. Raises MemoryAway."""
        self._check()
        try:
            self._sidecar.put_state(_place(key), StatePut(writer=_NAMESPACE, value=conversation_id, ttl_s=_TTL_S))
        except EnsembleError as error:
            raise self._away(error) from None

    def _check(self) -> None:
        if self._absence.lasts():
            raise MemoryAway("The sidecar did not answer a moment ago.")

    def _away(self, error: EnsembleError) -> MemoryAway:
        if isinstance(error, SidecarUnavailable):
            self._absence.note()
        return MemoryAway(str(error))


def _place(key: str) -> StateParams:
    return StateParams(trace_id=f"memory-{key}", namespace=_NAMESPACE, key=_KEY)
