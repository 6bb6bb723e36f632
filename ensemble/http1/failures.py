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
    NO_PROXY = "no_proxy"
    """The proxy on the way can't be reached, or is none."""
    PROXY_LOGIN = "proxy_login"
    """The proxy wants a user name and a password, or others; nothing reached the server."""
    PROXY_REFUSED = "proxy_refused"
    """The proxy does not lead to the server; its status tells why."""
    SILENCE = "silence"
    """The answer, or the rest of it, did not come in time."""
    BROKEN = "broken"
    """The connection ended before the answer did, or what came is no answer."""
    UNPACKABLE = "unpackable"
    """The body is packed in a way that can't be unpacked."""


class Failed(Exception):  # noqa: N818 - what happened
    """There is no whole answer. Holds nothing of the request, which may carry a key."""

    def __init__(self, why: Why, status: int = 0) -> None:
        """Say *why*, and with which *status* a proxy said no."""
        super().__init__(why.value)
        self.why = why
        self.status = status


def failed(error: OSError) -> Failed:
    """Return what an open connection's *error* amounts to."""
    match error:
        case TimeoutError():
            return Failed(Why.SILENCE)
        case ssl.SSLError():
            return Failed(Why.NO_TLS)
        case _:
            return Failed(Why.BROKEN)
