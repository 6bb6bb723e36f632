"""Brings the sidecar's address into one form, or says what is wrong with it."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["BadAddress", "sidecar_base"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class BadAddress(ValueError):  # noqa: N818 - its text completes a sentence
    """Says what the address does wrong, as the end of a sentence; never shows the address, which may hold a password."""


def sidecar_base(text: str) -> str:
    """Return the sidecar's address without a slash at its end; the contract's paths begin with ``/v1`` themselves.

    Raises:
        BadAddress: it is no http(s) address, or carries more than a host and a path.

    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise BadAddress("is not an address") from None
    scheme = parts.scheme.lower()
    _check(parts, scheme)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    shown_port = "" if port is None or port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{shown_port}{parts.path.rstrip('/')}".removesuffix("/v1")


def _check(parts: SplitResult, scheme: str) -> None:
    if scheme not in _DEFAULT_PORTS:
        raise BadAddress("does not begin with http:// or https://")
    if not parts.hostname:
        raise BadAddress("has no host")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("carries a user name or password, which belongs elsewhere")
    if parts.query or parts.fragment:
        raise BadAddress("has something after its path")
    if not all(char.isprintable() and not char.isspace() for char in parts.netloc + parts.path):
        raise BadAddress("holds a space or a character that is not printable")
