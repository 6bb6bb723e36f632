"""Every setting of the sidecar: its variable, its default, what it means; where it is read from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sidecar.parsing import (
    ADDRESS,
    Durability,
    read_contents,
    read_durability,
    read_log_level,
    read_memory,
    read_path,
    read_port,
    read_public_url,
    read_redis_url,
    read_text,
    read_token,
    read_tokens,
    read_whole,
)
from sidecar.traces.target import read_endpoint, read_headers

__all__ = ["BadSettingError", "Durability", "Settings"]

PREFIX = "ENSEMBLE_"
FILE = "_FILE"
DEFAULT_TENANT = "default"
"""Whose the first-start token is."""
MOST_THREADS = 256
"""Of one process; `store/connection.py` has connections for so many."""

_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
"""What Kubernetes tells every pod about Services, such as one called ensemble."""


class BadSettingError(ValueError):
    """A variable holds something that can't be used; the text names the variable and the fix, never a secret."""


def _setting(parse: Callable[[str], Any], default: str, meaning: str) -> Any:
    """Declare a setting; its variable is the field's name in capitals behind ``ENSEMBLE_``."""
    return field(metadata={"parse": parse, "default": default, "meaning": meaning, "secret": False})


def _secret(parse: Callable[[str], Any], meaning: str) -> Any:
    """Declare a setting that is not shown, and may be in a file that the variable with ``_FILE`` behind it names."""
    return field(repr=False, metadata={"parse": parse, "default": "", "meaning": meaning, "secret": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this sidecar is set up; built once, at the edge, by `from_environment`."""

    redis_url: str | None = _secret(
        read_redis_url, "The Redis or Valkey (6.2 or newer) to use. Without it the sidecar starts its own."
    )
    host: str = _setting(read_text, "127.0.0.1", "The address to listen at; `0.0.0.0` in a container.")
    port: int = _setting(read_port, "8787", "The port to listen at; `0` takes a free one.")
    workers: int = _setting(read_whole(1, 64), "2", "How many processes serve.")
    threads: int = _setting(read_whole(1, MOST_THREADS), "8", "How many requests each process serves at once.")
    data_dir: Path = _setting(  # noqa: RUF009 -- it declares a field
        read_path,
        "~/.local/share/ensemble",
        "Where the first-start token, the address file and the sidecar's own store live.",
    )
    tokens: Mapping[str, str] | None = _secret(
        read_tokens,
        "`name=token,name=token`: each name is a tenant; one that stands twice has two tokens, an old and a new one. "
        "Without it a token is made at the first start.",
    )
    """The tenant of each token."""
    metrics_token: str | None = _secret(
        read_token,
        "The token that opens `/metrics`, for Prometheus, and nothing else; not the token of a tenant. Without it `/metrics` "
        "is closed.",
    )
    public_url: str | None = _setting(
        read_public_url,
        "",
        "How browsers reach the sidecar, such as `https://ops.example/ensemble`; links to runs begin with it. Without it "
        "`run_url` is empty.",
    )
    durability: Durability = _setting(  # noqa: RUF009 -- it declares a field
        read_durability, "everysec", "`everysec`: on disk within a second. `strict`: on disk before it is answered."
    )
    store_memory: int | None = _setting(
        read_memory,
        "",
        "The most memory the sidecar's own store may take, in bytes or such as `512mb`; then writes are refused with 503 "
        "and nothing is thrown away. Without it there is no limit.",
    )
    lease_ms: int = _setting(
        read_whole(1000, 600_000),
        "30000",
        "How long a run belongs to an engine that is silent, in milliseconds; then the next call with its `run_key` takes it "
        "over.",
    )
    max_body_bytes: int = _setting(read_whole(1024, 2**30), "33554432", "The longest request body, in bytes.")
    log_level: str = _setting(read_log_level, "info", "`debug`, `info`, `warning` or `error`.")
    otlp_endpoint: str | None = _setting(
        read_endpoint,
        "",
        "Where traces of runs go by OTLP over HTTP, such as `http://collector:4318`; `/v1/traces` is put behind it unless it "
        "ends so. Without it there are no traces.",
    )
    otlp_headers: Mapping[str, str] | None = _secret(
        read_headers,
        "`name=value,name=value`: header fields sent to the collector, such as its key; percent-encode commas and `%` in values.",
    )
    tokens_file: Path | None = None
    """Where *tokens* were read from, and are again at a SIGHUP; None where they were in the environment."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings from *environment*; an empty variable counts as not set.

        Raises:
            BadSettingError: A value can't be used.
        """
        values = {each.name: _value(each, environment) for each in _declared()}
        file = environment.get(_variable("tokens") + FILE, "").strip()
        chosen = cls(**values, tokens_file=read_path(file) if file else None)
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
        if self.tokens_file is None:
            return self.tokens
        (declared,) = (each for each in _declared() if each.name == "tokens")
        now: Mapping[str, str] = _value(declared, {_variable("tokens") + FILE: str(self.tokens_file)})
        return now


def _declared() -> list[Field[Any]]:
    return [each for each in fields(Settings) if each.metadata]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _value(declared: Field[Any], environment: Mapping[str, str]) -> Any:
    """Return the value of one setting, None where it is not set and has no default. Raises BadSettingError."""
    variable = _variable(declared.name)
    raw = environment.get(variable, "").strip()
    file = environment.get(variable + FILE, "").strip() if declared.metadata["secret"] else ""
    if file and raw:
        raise BadSettingError(f"{variable}{FILE}: {variable} is set as well. Set one of them.")
    try:
        raw = read_contents(read_path(file)) if file else raw or declared.metadata["default"]
        return declared.metadata["parse"](raw) if raw or file else None
    except ValueError as error:
        raise BadSettingError(f"{variable}{FILE if file else ''}: {error}") from None


def table() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) of every setting, in order; the documentation shows the same."""
    return [(_variable(each.name), each.metadata["default"], each.metadata["meaning"]) for each in _declared()]


def files() -> list[str]:
    """Return the variables that name a file to read a secret from."""
    return [_variable(each.name) + FILE for each in _declared() if each.metadata["secret"]]


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for every ``ENSEMBLE_`` variable in *environment* that is no setting: most likely a typo."""
    known = [*(variable for variable, _, _ in table()), *files()]
    sentences = []
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        if _LINK.fullmatch(name) or ADDRESS.match(environment[name]):
            continue
        near = get_close_matches(name, known, n=1)
        sentences.append(f"{name} is no setting of the sidecar." + (f" Did you mean {near[0]}?" if near else ""))
    return sentences
