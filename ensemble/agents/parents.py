"""Tokens by which a run inside a call tells whose call that is: short, signed, good for nothing else.

A token names a run and one of its attempts, and is signed with a key that the plugin derives and nobody sends: 16 bytes
of the run's id, 6 of the ticket's, 14 of an HMAC-SHA-256 over both, written as 48 letters, which is what a new text input
in Dify takes. All else, the chain above among it, stands in the ledger.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from ensemble.agents.port import Call, Reply
from ensemble.contract.exchange import Parent

__all__ = ["PARENT_INPUT", "TOKEN_CHARS", "BadTokenError", "Seal", "handed_out", "kept_quiet", "quietly"]

PARENT_INPUT = "ensemble_parent"
"""The text input by which an app says that it wants to be told whose call it was run by."""
TOKEN_CHARS = 48
_RUN_BYTES, _TICKET_BYTES, _SIGNATURE_BYTES = 16, 6, 14
_LETTERS = re.compile("[A-Za-z0-9_-]*")
_PURPOSE = b"ensemble parent 1\0"
_HIDDEN = "[ensemble_parent]"


class BadTokenError(ValueError):
    """A text is no token, or was not signed with this key; the message says which, and shows nothing of it."""


class Seal:
    """Makes tokens and reads them, by a key derived from *secret*."""

    def __init__(self, secret: bytes) -> None:
        """Derive the key; the secret itself is not kept."""
        self._key = hmac.digest(secret, _PURPOSE, sha256)

    def token(self, run_id: str, ticket: str) -> str:
        """Return the token of one attempt of a run."""
        named = bytes.fromhex(run_id) + bytes.fromhex(ticket)[:_TICKET_BYTES]
        return base64.urlsafe_b64encode(named + self._signature(named)).decode()

    def read(self, token: str) -> Parent:
        """Return the attempt a token names. Raises BadTokenError."""
        if not _LETTERS.fullmatch(token):
            raise BadTokenError("is not what Ensemble gave to the app as ensemble_parent.")
        if len(token) != TOKEN_CHARS:
            raise BadTokenError(f"is not whole: it has {len(token)} characters instead of {TOKEN_CHARS}.")
        raw = base64.urlsafe_b64decode(token)
        named, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(named)):
            raise BadTokenError("was not given by this installation: its signature is another one's.")
        return Parent(run_id=named[:_RUN_BYTES].hex(), ticket=named[_RUN_BYTES:].hex())

    def _signature(self, named: bytes) -> bytes:
        return hmac.digest(self._key, named, sha256)[:_SIGNATURE_BYTES]


def handed_out(inputs: Mapping[str, Any], call: Call) -> str:
    """Return the token that *inputs* hold of this call's; empty where they hold none."""
    return call.parent if call.parent and inputs.get(PARENT_INPUT) == call.parent else ""


def kept_quiet(reply: Reply, token: str) -> Reply:
    """Return *reply* with nothing of *token*, where an app repeats what it was given."""
    if not token:
        return reply
    return replace(
        reply,
        text=_without(reply.text, token),
        data=_without(reply.data, token),
        sources=_without(reply.sources, token),
        message=_without(reply.message, token),
    )


def quietly(tell: Callable[[str], None], token: str) -> Callable[[str], None]:
    """Return what passes pieces of text on to *tell*, with nothing of *token* in any of them."""
    return (lambda piece: tell(piece.replace(token, _HIDDEN))) if token else tell


def _without(value: Any, token: str) -> Any:
    match value:
        case str():
            return value.replace(token, _HIDDEN)
        case Mapping():
            return {key: _without(each, token) for key, each in value.items()}
        case list() | tuple():
            return [_without(each, token) for each in value]
        case _:
            return value
