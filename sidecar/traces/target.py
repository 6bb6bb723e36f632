"""Where spans go, as a setting names it: the address of a collector, and what is sent along to be let in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from ensemble.http1.asking import locate
from ensemble.http1.failures import Failed

__all__ = ["TRACES_PATH", "read_endpoint", "read_headers"]

TRACES_PATH = "/v1/traces"
"""What OTLP adds to a collector's address for spans."""
MOST_HEADERS = 32
LONGEST_VALUE = 4096
_NAME = re.compile(r"[!#$&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE = re.compile(r"[\x20-\x7e]+")
_OURS = frozenset({"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host",
                   "transfer-encoding"})  # fmt: skip
"""Fields that say how a request is to be read; we send them, or do without them."""


def read_endpoint(raw: str) -> str:
    """Return the address spans are posted to: *raw* with ``/v1/traces`` behind it, unless it ends so. Raises ValueError."""
    try:
        parts = urlsplit(raw)
        locate(raw)
    except (ValueError, Failed):
        raise ValueError("Write an address such as http://collector:4318.") from None
    if "@" in parts.netloc:
        raise ValueError("Take user name and password out of the address; ENSEMBLE_OTLP_HEADERS is for them.")
    if parts.query or parts.fragment or not raw.isascii() or re.search(r"\s", raw):
        raise ValueError("Write no more than scheme, host, port and path, such as http://collector:4318.")
    base = raw.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


def read_headers(raw: str) -> Mapping[str, str]:
    """Return the header fields in ``name=value,name=value``, values as OTLP percent-encodes them. Raises ValueError.

    What it raises tells the number of the entry and nothing that stands in it: a name may be a key that was put wrongly.
    """
    fields: dict[str, str] = {}
    for number, entry in enumerate(raw.split(","), start=1):
        name, equals, coded = (part.strip() for part in entry.partition("="))
        value = unquote(coded).strip()
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"Entry {number} is not name=value. Write a comma within a value as %2C.")
        if not _VALUE.fullmatch(value) or len(value) > LONGEST_VALUE:
            raise ValueError(f"The value of entry {number} must be 1-{LONGEST_VALUE} visible ASCII characters.")
        if name.lower() in _OURS:
            raise ValueError(f"Entry {number} is a field that the sidecar sets itself; leave it out.")
        if name.lower() in map(str.lower, fields):
            raise ValueError(f"Entry {number} has the name of one before it; leave one of them out.")
        fields[name] = value
    if len(fields) > MOST_HEADERS:
        raise ValueError(f"There are {len(fields)} entries; at most {MOST_HEADERS} are sent.")
    return fields
