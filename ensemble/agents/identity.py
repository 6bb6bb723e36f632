"""What an agent is, whatever a plan calls it: identities, and the one spelling of a base URL."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "BaseUrlError", "api_identity", "app_identity", "model_identity", "normalise_base_url", "origin_of", "tool_identity",
]  # fmt: skip

_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = 256
"""URLs whose reading is remembered: every run reads the same few, once or twice for each of its agents."""
_HOST = re.compile(r"^[\w.\-]+$|^[0-9a-f:.%]+$", re.IGNORECASE)


class BaseUrlError(ValueError):
    """The base URL of a Service API can't be used; the message names the fix and shows no user name or password."""


@lru_cache(maxsize=_KEPT)
def normalise_base_url(url: str) -> str:
    """Return *url* in the one spelling identities are made of: ``https://host[:port][/prefix]/v1``.

    Lower-case scheme and host, no default port, no trailing slash. A bare host gets ``/v1``, which is what Dify shows
    as *API server* on an app's page *API Access*.

    Raises:
        BaseUrlError: it is not such a URL.

    """
    parts = _split(url.strip())
    if re.search(r"[\s\x00-\x1f\x7f]", parts.path):
        raise BaseUrlError("The base URL holds a space or a control character. Write it as https://your-dify/v1.")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/") or "/v1"
    if not path.endswith("/v1"):
        raise BaseUrlError(
            f"The base URL's path is {path[:100]!r}, but the Service API's ends in /v1. "
            "Copy the address called 'API server' from the app's page 'API Access'."
        )
    return _origin(parts) + path


@lru_cache(maxsize=_KEPT)
def origin_of(base_url: str) -> str:
    """Return scheme, host and port: calls with the same origin share its connections."""
    return _origin(_split(base_url))


def api_identity(base_url: str, key: str) -> str:
    """Return ``api:<base URL>#<first 16 hex of SHA-256 of the key>``.

    Raises:
        BaseUrlError: as :func:`normalise_base_url`.

    """
    return f"api:{normalise_base_url(base_url)}#{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def app_identity(app_id: str) -> str:
    """Return ``app:<app id>``, for an app of the caller's own workspace."""
    return f"app:{app_id.strip().lower()}"


def model_identity(provider: str, model: str, prompt: str) -> str:
    """Return ``model:<provider>/<model>#<first 16 hex of SHA-256 of the prompt>``."""
    return f"model:{provider}/{model}#{hashlib.sha256(prompt.encode()).hexdigest()[:16]}"


def tool_identity(provider: str, name: str) -> str:
    """Return ``tool:<provider>/<tool>``, for a tool of the caller's own workspace."""
    return f"tool:{provider}/{name}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BaseUrlError("The base URL's host or port can't be read. Write it as https://your-dify/v1.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise BaseUrlError("The base URL must begin with http:// or https://, for example https://your-dify/v1.")
    if "@" in parts.netloc:
        raise BaseUrlError("The base URL holds a user name or password. Leave them out: the app's key opens the door.")
    if not parts.hostname or not _HOST.match(parts.hostname) or port == 0:
        raise BaseUrlError("The base URL names no host. Write it as https://your-dify/v1.")
    if _is_link_local(parts.hostname):
        raise BaseUrlError(
            "The base URL's host is a link-local address, at which clouds give their machines keys, and no Dify is. "
            "Write the name or the address of your Dify."
        )
    if parts.query or parts.fragment:
        raise BaseUrlError("The base URL holds a '?' or '#'. It ends in /v1, with nothing after it.")
    return parts


def _is_link_local(host: str) -> bool:
    """Return whether *host* is such an address as it is written; names are not looked up, who answers for them may change."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_link_local


def _origin(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"
