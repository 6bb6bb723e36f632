"""The ways in which no whole answer comes; whoever called puts them into words."""

from __future__ import annotations

import ssl
from enum import StrEnum

__all__ = ["Failed", "Why", "failed"]


class Why(StrEnum):
    """What went wrong."""

    UNSENDABLE = "unsendable"
    """The address is none, or a header field would end the line it stands in; nothing was sent."""
    UNKNOWN_NAME = "unknown_name"
    """Nobody knows the host's name."""
    NOBODY = "nobody"
    """No connection is accepted there."""
    NOT_IN_TIME = "not_in_time"
    """No connection came about in time, TLS included."""
    NO_TLS = "no_tls"
    """The server could not prove who it is, or does not speak TLS."""
    SILENCE = "silence"
    """The answer, or the rest of it, did not come in time."""
    BROKEN = "broken"
    """The connection ended before the answer did, or what came is no answer."""
    UNPACKABLE = "unpackable"
    """The body is packed in a way that can't be unpacked."""


class Failed(Exception):  # noqa: N818 - what happened
    """There is no whole answer. Holds nothing of the request, which may carry a key."""

    def __init__(self, why: Why) -> None:
        """Say *why*."""
        super().__init__(why.value)
        self.why = why


def failed(error: OSError) -> Failed:
    """Return what an open connection's *error* amounts to."""
    match error:
        case TimeoutError():
            return Failed(Why.SILENCE)
        case ssl.SSLError():
            return Failed(Why.NO_TLS)
        case _:
            return Failed(Why.BROKEN)
