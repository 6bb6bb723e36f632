"""Whose call a tool call was made in, and the tokens by which the calls it makes tell so in turn.

The key is derived from the sidecar's token, which every process of the plugin has that shares the sidecar's records, so
that a token made by one is read by all and by no other tenant. Without a sidecar runs are known to their own process
only, and so is the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from ensemble.agents.identity import app_identity
from ensemble.agents.parents import BadTokenError, Seal
from ensemble.client.fallback import FallbackLedger
from ensemble.contract.exchange import Parent
from ensemble.contract.problems import Fault
from ensemble.engine.ports import Ledger
from ensemble.engine.request import RunRequest
from plugin.credentials import Credentials
from plugin.errors import BadParameters, in_words
from plugin.stripped import stripped_id

__all__ = ["caller_of", "parent_of", "sealed"]

_OF_THIS_PROCESS = secrets.token_bytes(32)
_HINT = "Hand on the app's input ensemble_parent as it is, or leave parent empty."
_ALONE = " Without a sidecar a token is good in the process only that made it: configure one."


def caller_of(app_id: str | None) -> str | None:
    """Return the identity of the app whose tool was called."""
    return app_identity(app_id) if app_id and app_id.strip() else None


def parent_of(token: str, credentials: Credentials) -> Parent | None:
    """Return the call that *token* names, None where there is none.

    Raises:
        BadParameters: it was not made here, or is not whole.

    """
    if not token:
        return None
    try:
        return seal_of(credentials).read(token)
    except BadTokenError as error:
        fix = _HINT + ("" if credentials.sidecar else _ALONE)
        fault = stripped_id("parent", token) or Fault(field="parent", problem=str(error), fix=fix)
        raise BadParameters(in_words([fault])) from None


def sealed(request: RunRequest, credentials: Credentials, ledger: Ledger) -> RunRequest:
    """Return *request* with what makes the tokens of its calls, which name what *ledger* has on record."""
    return replace(request, seal=_maker(seal_of(credentials), ledger))


def seal_of(credentials: Credentials) -> Seal:
    """Return what signs for everybody who shares these credentials' records."""
    sidecar = credentials.sidecar
    return Seal(_OF_THIS_PROCESS if sidecar is None else sha256(sidecar.token.encode()).digest())


def _maker(seal: Seal, ledger: Ledger) -> Callable[[str, str], str]:
    def token(run_id: str, ticket: str) -> str:
        # A run that went on without its sidecar is not on record where runs inside its calls would ask for it.
        gone_over = isinstance(ledger, FallbackLedger) and not ledger.durable
        return "" if gone_over else seal.token(run_id, ticket)

    return token
