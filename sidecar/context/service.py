"""Packs what it is given; keeps nothing, so that it needs no tenant and no store."""

from __future__ import annotations

from dataclasses import asdict

from ensemble.contract.context import ContextAsk, ContextEntry, PackedContext
from ensemble.packing.model import Part, Policy
from ensemble.packing.packing import pack
from sidecar.context.counting import COUNTERS

__all__ = ["pack_context"]


def pack_context(ask: ContextAsk) -> PackedContext:
    """Return the text that fits and what became of each part."""
    policy = Policy(
        limit_tokens=ask.limit_tokens,
        each_tokens=ask.each_tokens,
        allocation=ask.allocation,
        compression=ask.compression,
        order=ask.order,
        query=ask.query,
        dedupe=ask.dedupe,
    )
    parts = [Part(name=part.name, text=part.text, priority=part.priority) for part in ask.parts]
    packed = pack(parts, policy, COUNTERS[ask.encoding])
    return PackedContext(
        text=packed.text,
        tokens=packed.tokens,
        entries=tuple(ContextEntry(**asdict(entry)) for entry in packed.entries),
        counter=packed.counter,
        exact=packed.exact,
    )
