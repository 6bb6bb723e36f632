"""The sidecar as the one who packs: it counts tokens exactly; where it can't be asked, this process estimates."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.client.errors import EnsembleError
from ensemble.client.fallback import Absence
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.context import ContextAsk, ContextPart, Encoding, PackedContext
from ensemble.engine.carrying import ESTIMATED
from ensemble.packing.model import Entry, Packed, Part, Policy

__all__ = ["SidecarContext"]

_QUERY_CHARS = 100_000
_NAME_CHARS = 256


class SidecarContext:
    """Packs by asking a sidecar."""

    def __init__(self, sidecar: SidecarLedger, absence: Absence, encoding: Encoding = Encoding.O200K) -> None:
        """Ask *sidecar*, unless *absence* lasts, to count by *encoding*."""
        self._sidecar = sidecar
        self._absence = absence
        self._encoding = encoding

    def pack(self, parts: Sequence[Part], policy: Policy) -> tuple[Packed, tuple[str, ...]]:
        """Return what fits; with a warning where it was estimated because the sidecar was of no help.

        A long text may take longer than an exchange, so that no answer here does not mean that the sidecar is away.
        """
        if self._absence.lasts():
            return ESTIMATED.pack(parts, policy)
        try:
            answer = self._sidecar.pack_context(_ask(parts, policy, self._encoding))
        except EnsembleError as error:
            packed, warnings = ESTIMATED.pack(parts, policy)
            return packed, (*warnings, f"The sidecar did not count the tokens: {error}")
        return _packed(answer), ()


def _ask(parts: Sequence[Part], policy: Policy, encoding: Encoding) -> ContextAsk:
    return ContextAsk(
        parts=tuple(
            ContextPart(
                name=_writable(part.name)[:_NAME_CHARS], text=_writable(part.text), priority=float(part.priority)
            )
            for part in parts
        ),
        query=_writable(policy.query)[:_QUERY_CHARS],
        limit_tokens=policy.limit_tokens,
        each_tokens=policy.each_tokens,
        encoding=encoding,
        allocation=policy.allocation,
        compression=policy.compression,
        order=policy.order,
        dedupe=policy.dedupe,
    )


def _packed(answer: PackedContext) -> Packed:
    entries = tuple(Entry(**{name: getattr(entry, name) for name in Entry.__slots__}) for entry in answer.entries)
    return Packed(text=answer.text, tokens=answer.tokens, entries=entries, counter=answer.counter, exact=answer.exact)


def _writable(text: str) -> str:
    """Return *text* as UTF-8 can hold it; half of a character is ``?`` to the sidecar as well."""
    return text.encode("utf-8", "replace").decode()
