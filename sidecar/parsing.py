"""What the text of a setting means, or, as a ValueError, how to write it; no secret is ever repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.store.targets import read_target

__all__ = [
    "ADDRESS",
    "MIN_TOKEN_LENGTH",
    "Durability",
    "read_contents",
    "read_durability",
    "read_log_level",
    "read_memory",
    "read_path",
    "read_port",
    "read_public_url",
    "read_redis_url",
    "read_text",
    "read_token",
    "read_tokens",
    "read_whole",
]

MIN_TOKEN_LENGTH = 16
"""Characters; what is shorter could be guessed."""
LEAST_MEMORY = 16 * 2**20
"""Bytes; an empty store takes some of them."""
MOST_TOKENS = 2
"""Of one tenant: while one is changed for another, both are good."""
ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""How Kubernetes spells the addresses of Services, in variables that end in ``_PORT``."""
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~%/-]*)?")
"""How an address is written that needs no escaping wherever it is put."""
_UNITS = {"": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}
_TOKEN = re.compile(rf"[\x21-\x7e]{{{MIN_TOKEN_LENGTH},512}}")


class Durability(StrEnum):
    """When a write is on disk."""

    EVERYSEC = "everysec"
    """Within a second: a power cut may cost the last second."""
    STRICT = "strict"
    """Before it is answered."""


def read_text(raw: str) -> str:
    """Take it as it is."""
    return raw


def read_path(raw: str) -> Path:
    """Return the absolute path; a ``~`` is the user's home."""
    return Path(raw).expanduser().absolute()


def read_redis_url(raw: str) -> str:
    """Return the address of a Redis, of Sentinels or of a Cluster."""
    return read_target(raw).url


def read_public_url(raw: str) -> str:
    """Return an address as links begin with it: without a slash at its end."""
    try:
        parts = urlsplit(raw)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not _PUBLIC_URL.fullmatch(raw):
        raise ValueError(
            "Write an address browsers can open, such as https://ops.example or https://ops.example/ensemble, "
            "without a user, ? or #."
        )
    return raw.rstrip("/")


def read_whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number between bounds."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"Write a whole number from {least} to {most}.")
        return int(raw)

    return parse


def read_port(raw: str) -> int:
    """Return a port; 0 stands for a free one."""
    if ADDRESS.match(raw):
        raise ValueError(
            "Kubernetes put the address of a Service called ensemble into this variable. "
            "Set enableServiceLinks: false in the pod's spec, or give the Service another name."
        )
    return read_whole(0, 65_535)(raw)


def read_memory(raw: str) -> int:
    """Return a size in bytes; units are as Redis has them."""
    found = re.fullmatch(r"([0-9]{1,18})(kb|mb|gb|)", raw.lower())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not LEAST_MEMORY <= size <= 2**50:
        raise ValueError(f"Write a number of bytes, or such as 512mb or 4gb; {LEAST_MEMORY // 2**20}mb is the least.")
    return size


def read_tokens(raw: str) -> Mapping[str, str]:
    """Return the tenant of each token; entries are parted by commas or lines."""
    tokens: dict[str, str] = {}
    for number, entry in enumerate(re.split(r"\s*[,\n]\s*", raw.strip()), start=1):
        name, _, token = entry.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or not token:
            raise ValueError(f"Entry {number} is not name=token; a name is 1-64 letters, digits, '-' and '_'.")
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"The token of {name!r} must be {MIN_TOKEN_LENGTH}-512 visible ASCII characters.")
        if token in tokens:
            other = "itself" if tokens[token] == name else "another tenant"
            raise ValueError(f"{name!r} has the same token as {other}; give each entry its own.")
        tokens[token] = name
        if list(tokens.values()).count(name) > MOST_TOKENS:
            raise ValueError(
                f"The name {name!r} stands {MOST_TOKENS + 1} times; a tenant has an old and a new token at most."
            )
    return tokens


def read_token(raw: str) -> str:
    """Return one token."""
    if not _TOKEN.fullmatch(raw):
        raise ValueError(f"Write {MIN_TOKEN_LENGTH}-512 visible ASCII characters.")
    return raw


def read_durability(raw: str) -> Durability:
    """Return one by its name."""
    try:
        return Durability(raw.lower())
    except ValueError:
        raise ValueError("Write everysec or strict.") from None


def read_log_level(raw: str) -> str:
    """Return its name as Python's logging has it."""
    if raw.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("Write debug, info, warning or error.")
    return raw.upper()


def read_contents(file: Path) -> str:
    """Return the text in *file*, without the space around it."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{file} can't be read: {why}. Write into it what the variable would hold.") from None
