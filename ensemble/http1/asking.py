"""What is sent: where a URL leads, and the head of a request, in which nothing can be smuggled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from ensemble.http1.failures import Failed, Why

__all__ = ["Origin", "locate", "request_head"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"(https?)://([^/?#\\]+)((?:[/?][^#]*)?)(?:#.*)?", re.IGNORECASE)
_SERVER = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:@\s%]+))(?::([0-9]{0,5}))?", re.IGNORECASE)
_AS_IT_IS = re.compile(r"[!-~]*")
_IN_A_PATH = "/%?=&:;,+!$'()*[]~@"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_WITH_A_BODY = frozenset({"PATCH", "POST", "PUT"})
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is asked; connections are kept by it."""

    tls: bool
    host: str
    """As names are looked up: small letters, ASCII, an IPv6 address without brackets."""
    port: int

    @property
    def authority(self) -> str:
        """The server as a Host field names it: brackets around IPv6, no port where it goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(tls=self.tls) else f"{host}:{self.port}"


def locate(url: str) -> tuple[Origin, str]:
    """Return who is asked at *url*, and for what: path and query, quoted where they have to be.

    A user name in it is dropped, as is what follows a ``#``.

    Raises:
        Failed: unsendable, or the name is none.

    """
    found = None if _CONTROL.search(url) else _URL.fullmatch(url)
    if found is None:
        raise Failed(Why.UNSENDABLE)
    scheme, authority, path = found.groups()
    if not path.startswith("/"):
        path = f"/{path}"
    return _origin(scheme.lower(), authority), path if _AS_IT_IS.fullmatch(path) else quote(path, safe=_IN_A_PATH)


def request_head(method: str, origin: Origin, path: str, fields: Mapping[str, str], length: int | None) -> bytes:
    """Return the head of a request whose body has *length* bytes; None for no body.

    Raises:
        Failed: unsendable, a field would end the line it stands in.

    """
    lines = [
        f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\nAccept-Encoding: identity\r\nUser-Agent: ensemble"
    ]
    for name, value in fields.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Failed(Why.UNSENDABLE)
        lines.append(f"{name}: {value}")
    if length is not None or method in _WITH_A_BODY:
        lines.append(f"Content-Length: {length or 0}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


@lru_cache(maxsize=256)
def _origin(scheme: str, authority: str) -> Origin:
    found = _SERVER.fullmatch(authority.rpartition("@")[2])
    if found is None:
        raise Failed(Why.UNSENDABLE)
    address, name, stated = found.groups()
    tls = scheme == "https"
    port = int(stated or _default_port(tls=tls))
    if not 0 < port <= _HIGHEST_PORT:
        raise Failed(Why.UNSENDABLE)
    try:
        host = address or (name if name.isascii() else name.encode("idna").decode("ascii"))
    except UnicodeError:
        raise Failed(Why.UNKNOWN_NAME) from None
    return Origin(tls=tls, host=host.lower(), port=port)


def _default_port(*, tls: bool) -> int:
    return 443 if tls else 80
