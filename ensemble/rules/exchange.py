"""Decides an exchange: what the ledger answers, and what it writes."""

from __future__ import annotations

from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.rules.problems import Conflict, UnknownRun
from ensemble.rules.records import Defaults
from ensemble.rules.snapshot import Address, Changes, Snapshot

__all__ = ["Conflict", "Defaults", "UnknownRun", "decide", "wanted"]


def wanted(ask: Exchange) -> tuple[Address, ...]:
    """Return what to read before the first decision: all that *ask* itself names."""
    raise NotImplementedError


def decide(ask: Exchange, snapshot: Snapshot, defaults: Defaults) -> tuple[ExchangeAnswer, Changes]:
    """Return the answer to *ask* and what has to be written for it to hold.

    Raises:
        NotRead: the snapshot lacks addresses; read them too and decide again.
        Conflict: a ticket is known with another body, or not known at all. Nothing is to be written.
        UnknownRun: no such run is on record.

    """
    raise NotImplementedError
