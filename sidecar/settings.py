"""Every setting of the sidecar: its variable, its default, what it means, and what is wrong with a bad value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sidecar.store.targets import read_target
from sidecar.traces.target import read_endpoint, read_headers

__all__ = ["BadSettingError", "Durability", "Settings"]

PREFIX = "ENSEMBLE_"
DEFAULT_TENANT = "default"
"""Whose the first-start token is."""
MIN_TOKEN_LENGTH = 16
"""Characters; what is shorter could be guessed."""
LEAST_MEMORY = 16 * 2**20
"""Bytes; an empty store takes some of them."""
MOST_TOKENS = 2
"""Of one tenant: while one is changed for another, both are good."""
MOST_THREADS = 256
"""Of one process; `store/connection.py` has connections for so many."""

_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~%/-]*)?")
"""How an address is written that needs no escaping wherever it is put."""
_UNITS = {"": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}
_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
"""What Kubernetes tells every pod about Services, such as one called ensemble."""
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""How it spells their addresses, in variables that end in ``_PORT``."""


_TOKEN = re.compile(rf"[\x21-\x7e]{{{MIN_TOKEN_LENGTH},512}}")


class BadSettingError(ValueError):
    """A variable holds something that can't be used; the text names the variable and the fix, never a secret."""


class Durability(StrEnum):
    """When a write is on disk."""

    EVERYSEC = "everysec"
    """Within a second: a power cut may cost the last second."""
    STRICT = "strict"
    """Before it is answered."""


def _text(raw: str) -> str:
    return raw


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def _redis_url(raw: str) -> str:
    return read_target(raw).url


def _public_url(raw: str) -> str:
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


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"Write a whole number from {least} to {most}.")
        return int(raw)

    return parse


def _port(raw: str) -> int:
    if _ADDRESS.match(raw):
        raise ValueError(
            "Kubernetes put the address of a Service called ensemble into this variable. "
            "Set enableServiceLinks: false in the pod's spec, or give the Service another name."
        )
    return _whole(0, 65_535)(raw)


def _memory(raw: str) -> int:
    found = re.fullmatch(r"([0-9]{1,18})(kb|mb|gb|)", raw.lower())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not LEAST_MEMORY <= size <= 2**50:
        raise ValueError(f"Write a number of bytes, or such as 512mb or 4gb; {LEAST_MEMORY // 2**20}mb is the least.")
    return size


def _tokens(raw: str) -> Mapping[str, str]:
    """Return the tenant of each token."""
    tokens: dict[str, str] = {}
    for number, entry in enumerate((part.strip() for part in re.split(r"[,\n]", raw)), start=1):
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


def _tokens_of(file: Path) -> Mapping[str, str]:
    """Return the tenant of each token in *file*, where entries may stand on lines as well. Raises ValueError."""
    try:
        raw = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{file} can't be read: {why}. Write name=token into it, one tenant a line.") from None
    return _tokens(re.sub(r"\s*\n\s*", "\n", raw))


def _from_file(file: Path, other: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the tokens in *file*, where there are no *other* ones. Raises BadSettingError."""
    if other:
        raise BadSettingError("ENSEMBLE_TOKENS_FILE: ENSEMBLE_TOKENS is set as well. Set one of them.")
    try:
        return _tokens_of(file)
    except ValueError as error:
        raise BadSettingError(f"ENSEMBLE_TOKENS_FILE: {error}") from None


def _token(raw: str) -> str:
    if not _TOKEN.fullmatch(raw):
        raise ValueError(f"Write {MIN_TOKEN_LENGTH}-512 visible ASCII characters.")
    return raw


def _durability(raw: str) -> Durability:
    try:
        return Durability(raw.lower())
    except ValueError:
        raise ValueError("Write everysec or strict.") from None


def _log_level(raw: str) -> str:
    if raw.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("Write debug, info, warning or error.")
    return raw.upper()


def _setting(parse: Callable[[str], Any], default: str, meaning: str) -> Any:
    """Declare a setting; its variable is the field's name in capitals behind ``ENSEMBLE_``."""
    return field(metadata={"parse": parse, "default": default, "meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this sidecar is set up; built once, at the edge, by `from_environment`."""

    redis_url: str | None = _setting(
        _redis_url, "", "The Redis or Valkey (6.2 or newer) to use. Without it the sidecar starts its own."
    )
    host: str = _setting(_text, "127.0.0.1", "The address to listen at; `0.0.0.0` in a container.")
    port: int = _setting(_port, "8787", "The port to listen at; `0` takes a free one.")
    workers: int = _setting(_whole(1, 64), "2", "How many processes serve.")
    threads: int = _setting(_whole(1, MOST_THREADS), "8", "How many requests each process serves at once.")
    data_dir: Path = _setting(  # noqa: RUF009 -- it declares a field
        _path,
        "~/.local/share/ensemble",
        "Where the first-start token, the address file and the sidecar's own store live.",
    )
    tokens: Mapping[str, str] | None = field(
        repr=False,
        metadata={
            "parse": _tokens,
            "default": "",
            "meaning": "`name=token,name=token`: each name is a tenant; one that stands twice has two tokens, an old and a "
            "new one. Without it a token is made at the first start.",
        },
    )
    """The tenant of each token, from either variable."""
    tokens_file: Path | None = _setting(  # noqa: RUF009 -- it declares a field
        _path,
        "",
        "A file to read `ENSEMBLE_TOKENS` from, such as a secret's, and again at a SIGHUP; entries may stand on lines, too.",
    )
    metrics_token: str | None = field(
        repr=False,
        metadata={
            "parse": _token,
            "default": "",
            "meaning": "Opens `/metrics` to Prometheus, to whoever sends this token; no tenant's. Without it `/metrics` is closed.",
        },
    )
    public_url: str | None = _setting(
        _public_url,
        "",
        "How browsers reach the sidecar, such as `https://ops.example/ensemble`; links to runs begin with it. Without it "
        "`run_url` is empty.",
    )
    durability: Durability = _setting(  # noqa: RUF009 -- it declares a field
        _durability, "everysec", "`everysec`: on disk within a second. `strict`: on disk before it is answered."
    )
    store_memory: int | None = _setting(
        _memory,
        "",
        "The most memory the sidecar's own store may take, in bytes or such as `512mb`; then writes are refused with 503 "
        "and nothing is thrown away. Without it there is no limit.",
    )
    lease_ms: int = _setting(
        _whole(1000, 600_000), "30000", "How long a run stays its engine's without a word from it, in milliseconds."
    )
    max_body_bytes: int = _setting(_whole(1024, 2**30), "33554432", "The longest request body, in bytes.")
    log_level: str = _setting(_log_level, "info", "`debug`, `info`, `warning` or `error`.")
    otlp_endpoint: str | None = _setting(
        read_endpoint,
        "",
        "Where traces of runs go by OTLP over HTTP, such as `http://collector:4318`; `/v1/traces` is put behind it unless it "
        "ends so. Without it there are no traces.",
    )
    otlp_headers: Mapping[str, str] | None = field(
        repr=False,
        metadata={
            "parse": read_headers,
            "default": "",
            "meaning": "`name=value,name=value`: header fields sent to the collector, such as its key; percent-encode commas and "
            "`%` in values.",
        },
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings from *environment*; an empty variable counts as not set.

        Raises:
            BadSettingError: A value can't be used.
        """
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = PREFIX + each.name.upper()
            raw = environment.get(variable, "").strip() or each.metadata["default"]
            try:
                values[each.name] = each.metadata["parse"](raw) if raw else None
            except ValueError as error:
                raise BadSettingError(f"{variable}: {error}") from None
        if values["tokens_file"]:
            values["tokens"] = _from_file(values["tokens_file"], values["tokens"])
        chosen = cls(**values)
        chosen.keep_apart(chosen.tokens or {})
        return chosen

    def keep_apart(self, tokens: Mapping[str, str]) -> None:
        """Raise BadSettingError if the token of the metrics is one of the tenants' *tokens*."""
        if self.metrics_token is not None and self.metrics_token in tokens:
            raise BadSettingError(
                f"ENSEMBLE_METRICS_TOKEN: It is the token of {tokens[self.metrics_token]!r} as well. Take one of its own: "
                "who reads metrics need not be able to do anything else."
            )

    def tokens_now(self) -> Mapping[str, str] | None:
        """Return the tokens as they are set by now: a file may hold others than at the start. Raises BadSettingError."""
        return _from_file(self.tokens_file, None) if self.tokens_file else self.tokens


def table() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) of every setting, in order; the documentation shows the same."""
    return [
        (PREFIX + each.name.upper(), each.metadata["default"], each.metadata["meaning"]) for each in fields(Settings)
    ]


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for every ``ENSEMBLE_`` variable in *environment* that is no setting: most likely a typo."""
    known = [variable for variable, _, _ in table()]
    sentences = []
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        if _LINK.fullmatch(name) or _ADDRESS.match(environment[name]):
            continue
        near = get_close_matches(name, known, n=1)
        sentences.append(f"{name} is no setting of the sidecar." + (f" Did you mean {near[0]}?" if near else ""))
    return sentences
