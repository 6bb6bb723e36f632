"""The way to servers: whom to believe who they are, and through which proxy they are reached."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ensemble.http1.asking import Origin, locate
from ensemble.http1.failures import Failed, Why

__all__ = ["DIRECT", "WRONG_LOGIN", "Passage", "Proxy", "ProxyUrlError", "read_proxy"]

_URL = re.compile(r"http://(?:([^/?#\\\s]*)@)?([^/?#\\@\s]+)/?", re.IGNORECASE)
WRONG_LOGIN = 407
"""How a proxy says that it wants a user name and a password, or others."""


class ProxyUrlError(ValueError):
    """The text is no address of a proxy; the message is the rest of a sentence and quotes nothing: it may be a password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, spoken to in the clear; what passes through it to an https server is encrypted all the way."""

    origin: Origin
    login: str = field(default="", repr=False)
    """What stands in ``Proxy-Authorization``; empty where the proxy asks for nothing."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The header fields that are for the proxy."""
        return {"Proxy-Authorization": self.login} if self.login else {}


@dataclass(frozen=True, slots=True)
class Passage:
    """The way to servers."""

    certificates: bytes = field(default=b"", repr=False)
    """Trusted besides the system's, as :func:`~ensemble.http1.trust.certificates_in` returns them."""
    proxy: Proxy | None = None

    def proxy_to(self, origin: Origin) -> Proxy | None:
        """Return the proxy on the way to *origin*; none to what is near: names without a dot, this very machine."""
        return None if self.proxy is None or _near(origin.host) else self.proxy

    def asked(self, origin: Origin, path: str, fields: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Return what a request asks for, and its fields: whole, and with the login, where a proxy reads the request."""
        proxy = self.proxy_to(origin)
        if proxy is None or origin.tls:
            return path, fields
        return f"http://{origin.authority}{path}", {**fields, **proxy.fields}

    def heed(self, origin: Origin, status: int) -> None:
        """Look at an answer's *status*. Raises Failed: it is the word of a proxy that read the request and keeps it."""
        if status == WRONG_LOGIN and not origin.tls and self.proxy_to(origin) is not None:
            raise Failed(Why.PROXY_LOGIN)


DIRECT = Passage()
"""To everybody directly, believing the system's authorities."""


def read_proxy(text: str) -> Proxy | None:
    """Return the proxy at an address such as ``http://user:password@proxy.example:3128``; None for an empty text.

    Raises:
        ProxyUrlError: it is no such address.

    """
    text = text.strip()
    if not text:
        return None
    if not text.lower().startswith("http://"):
        raise ProxyUrlError("does not begin with http://")
    found = _URL.fullmatch(text)
    try:
        origin, _ = locate(f"http://{found[2] if found else ''}")
    except Failed:
        raise ProxyUrlError("is not an address") from None
    user, _, password = (found[1] or "").partition(":") if found else ("", "", "")
    login = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode() if user or password else ""
    return Proxy(origin, f"Basic {login}" if login else "")


def _near(host: str) -> bool:
    if ":" not in host and "." not in host:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
