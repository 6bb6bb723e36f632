"""Where the store is, read from its URL: one server, whichever primary a Sentinel names, or a Cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["BadTargetError", "Target", "read_target"]

HOW = (
    "Write redis://host:6379/0, rediss://host:6379/0 (TLS), unix:///path/to/socket, "
    "redis+sentinel://host:26379,host:26379/name/0 or redis+cluster://host:6379,host:6379 (rediss+… for TLS)."
)
SENTINEL_PORT, PORT = 26_379, 6_379

_SCHEMES: Mapping[str, tuple[Literal["one", "sentinel", "cluster"], bool]] = {
    "redis": ("one", False),
    "rediss": ("one", True),
    "unix": ("one", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")


class BadTargetError(ValueError):
    """The URL can't be used; the message says how to write it, and shows no password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A store, as its URL says."""

    kind: Literal["one", "sentinel", "cluster"]
    url: str = field(repr=False)
    """As written."""
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    """Of the Sentinels, or of nodes of the Cluster to begin with."""
    service: str = ""
    """What the Sentinels call the primary."""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    """The Sentinels' own; None: they want none."""


def read_target(url: str) -> Target:
    """Return what *url* names.

    Raises:
        BadTargetError: it names nothing, or says what its kind can't be told.

    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise BadTargetError(HOW)
    kind, tls = _SCHEMES[scheme]
    if kind == "one":
        try:
            parts = urlsplit(url)
            named = parts.path if scheme == "unix" else parts.hostname and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise BadTargetError(f"It names no server. {HOW}")
        return Target(kind=kind, url=url, tls=tls)
    # Several hosts in one place are no URL to the standard library.
    place, _, path = rest.partition("?")[0].partition("/")
    query = dict(parse_qsl(rest.partition("?")[2]))
    who, _, hosts = place.rpartition("@")
    username, _, password = who.partition(":")
    service, database = _path(kind, path)
    target = Target(
        kind=kind,
        url=url,
        tls=tls,
        hosts=_hosts(hosts, SENTINEL_PORT if kind == "sentinel" else PORT),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=query.pop("sentinel_password", None) if kind == "sentinel" else None,
        service=service,
        database=database,
    )
    if query:
        known = "sentinel_password is all there is" if kind == "sentinel" else "there is none here"
        raise BadTargetError(f"It asks for {', '.join(sorted(query))} behind '?'; {known}.")
    return target


def _hosts(written: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for each in written.split(","):
        match = _HOST.fullmatch(each.strip())
        if match is None or not 0 < int(match["port"] or port) <= 65_535:  # noqa: PLR2004 -- the last port there is
            raise BadTargetError(f"It names no host where one should stand. {HOW}")
        found.append((match["six"] or match["name"], int(match["port"] or port)))
    return tuple(found)


def _path(kind: str, path: str) -> tuple[str, int]:
    """Return the service and the database that the path of a URL names."""
    parts = [unquote(part) for part in path.split("/") if part]
    if kind == "cluster":
        if parts and parts != ["0"]:
            raise BadTargetError("A Cluster has the database 0 and no other; leave the path out.")
        return "", 0
    if not parts:
        raise BadTargetError(f"It does not say what the Sentinels call the primary. {HOW}")
    if len(parts) > 2 or (len(parts) == 2 and not re.fullmatch(r"[0-9]{1,5}", parts[1])):  # noqa: PLR2004
        raise BadTargetError(f"Behind the primary's name there may stand the number of a database. {HOW}")
    return parts[0], int(parts[1]) if len(parts) > 1 else 0
