"""Reads what the builder saved with the provider: where the sidecar is, the agents' keys, the operator's ceilings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.agents.identity import BaseUrlError, normalise_base_url
from ensemble.client.addresses import BadAddress, sidecar_base
from ensemble.contract.budgets import Money
from ensemble.contract.problems import Fault
from ensemble.http1.passage import DIRECT, Passage, ProxyUrlError, read_proxy
from ensemble.http1.trust import CertificatesError, certificates_in
from ensemble.plan.faults import Faults
from ensemble.plan.reading.money import read_money
from plugin.app_keys import LOOKS_LIKE_A_KEY, AppKey, read_app_keys
from plugin.errors import BadCredentials, in_words

__all__ = ["AGENTS_PER_RUN", "FIELDS", "ON_SIDECAR_LOSS", "Ceilings", "Credentials", "Sidecar", "read_credentials"]

HOST_PARALLEL = 8
"""A stock Dify has ten connections to its own API; two are left to people."""

_NUMBER = re.compile(r"[0-9]{1,20}|[0-9]{1,3}([ ,_][0-9]{3}){1,6}")
"""Digits, or digits in groups of three."""

AGENTS_PER_RUN = "Agents per run"
"""What the form calls the ceiling on agents, which is told where a plan names too many."""

_CEILINGS = {
    "max_parallel": ("Calls at one time, per run", 1000),
    "host_parallel": ("Calls at one time, per Dify", 1000),
    "max_calls": ("Calls per run", 10**9),
    "max_tokens": ("Tokens per run", 10**12),
    "max_seconds": ("Agents' seconds per run", 10**9),
    "max_agents": (AGENTS_PER_RUN, 1000),
}
"""The form's name of each ceiling and the most it can be."""

ON_SIDECAR_LOSS = {"fail_open": True, "fail_closed": False}
"""What can be chosen for a run whose sidecar is away, and whether it then goes on in the plugin's own process.

Neither form has a default: Dify would fill it in, and nobody could tell it from a choice.
"""

FIELDS = (
    "sidecar_url",
    "sidecar_token",
    "on_sidecar_loss",
    "dify_base_url",
    "app_keys",
    "ca_certificates",
    "proxy_url",
    *_CEILINGS,
    "max_money",
)
"""Every credential this plugin reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Where the sidecar is and what opens it."""

    url: str
    token: str = field(repr=False)
    certificates: bytes = field(default=b"", repr=False)
    """Trusted besides the system's when it is spoken to over TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The most a run may take, whatever a tool or a plan asks for; None: no ceiling."""

    max_parallel: int | None = None
    host_parallel: int = HOST_PARALLEL
    max_calls: int | None = None
    max_tokens: int | None = None
    max_seconds: int | None = None
    max_agents: int | None = None
    """How many agents a plan may name. Whoever manages a team can only call on those."""
    max_money: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The provider's credentials, read and checked for shape."""

    sidecar: Sidecar | None
    """None: local mode."""
    app_keys: tuple[AppKey, ...] = ()
    """Every entry with its base URL and the way there."""
    dify_base_url: str | None = None
    """The workspace's own Dify, where it is told."""
    passage: Passage = DIRECT
    """The way to every Dify that is called by keys."""
    ceilings: Ceilings = Ceilings()
    fail_open: bool | None = None
    """Whether a run goes on when the sidecar is away; None: nobody chose. A tool can only be stricter than a choice."""


def read_credentials(raw: Mapping[str, Any]) -> Credentials:
    """Return the credentials as Dify hands them over, unset fields being absent, None or empty.

    Raises:
        BadCredentials: something is wrong; the text names every field and every entry concerned, and shows no secret.

    """
    faults: list[Fault] = []
    texts = {name: str(raw.get(name) or "").strip() for name in FIELDS}
    base_url = _base_url(texts["dify_base_url"], faults)
    passage = _passage(texts["ca_certificates"], texts["proxy_url"], faults)
    sidecar = _sidecar(texts["sidecar_url"], texts["sidecar_token"], faults)
    apps = _app_keys(texts["app_keys"], texts["dify_base_url"], base_url, faults)
    credentials = Credentials(
        sidecar=sidecar and replace(sidecar, certificates=passage.certificates),
        app_keys=tuple(replace(app, passage=passage) for app in apps),
        dify_base_url=base_url,
        passage=passage,
        ceilings=_ceilings(texts, faults),
        fail_open=_on_sidecar_loss(texts["on_sidecar_loss"], faults),
    )
    if faults:
        raise BadCredentials(in_words(faults))
    return credentials


def _sidecar(url: str, token: str, faults: list[Fault]) -> Sidecar | None:
    if not url and not token:
        return None
    if not url:
        faults.append(_fault("Sidecar URL", "is empty, but there is a token.", "Fill in both, or neither."))
        return None
    if not token:
        faults.append(_fault("Sidecar token", "is empty, but there is a URL.", "Fill in both, or neither."))
    elif not (token.isascii() and token.isprintable() and " " not in token):
        faults.append(_fault("Sidecar token", "holds a space or a letter no token has.", "Paste it again."))
    try:
        return Sidecar(url=sidecar_base(url), token=token)
    except BadAddress as error:
        faults.append(_fault("Sidecar URL", f"{error}.", "Write it like http://ensemble:8787."))
        return None


def _app_keys(text: str, base: str, default: str | None, faults: list[Fault]) -> tuple[AppKey, ...]:
    entries, wrong = read_app_keys(text)
    faults.extend(wrong)
    homeless = [entry.name for entry in entries if entry.base_url is None]
    if homeless and not base and not wrong:
        names = ", ".join(map(repr, homeless))
        fix = "Fill it in, such as http://api:5001/v1, or add @ https://host/v1 behind each key."
        faults.append(_fault("Service API base URL", f"is empty, but it is the address of {names}.", fix))
    return tuple(AppKey(name=entry.name, key=entry.key, base_url=entry.base_url or default) for entry in entries)


def _base_url(text: str, faults: list[Fault]) -> str | None:
    if not text:
        return None
    try:
        return normalise_base_url(text)
    except BaseUrlError as error:
        why = "" if LOOKS_LIKE_A_KEY.search(str(error)) else str(error)
        faults.append(_fault("Service API base URL", "can't be used.", why or "Write it like http://api:5001/v1."))
        return None


def _passage(certificates: str, proxy: str, faults: list[Fault]) -> Passage:
    """Return the way to Dify. The sidecar stands beside the plugin: certificates are for it too, a proxy is not."""
    trusted, through = b"", None
    try:
        trusted = certificates_in(certificates)
    except CertificatesError as error:
        fix = "Paste them whole, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
        faults.append(_fault("CA certificates", f"{error}.", fix))
    try:
        through = read_proxy(proxy)
    except ProxyUrlError as error:
        faults.append(_fault("Proxy URL", f"{error}.", "Write it like http://user:password@proxy.example:3128."))
    return Passage(trusted, through)


def _on_sidecar_loss(text: str, faults: list[Fault]) -> bool | None:
    if text and text not in ON_SIDECAR_LOSS:
        fix = f"Write {' or '.join(ON_SIDECAR_LOSS)}, or leave it open."
        faults.append(_fault("When the sidecar is away", "is no choice.", fix))
    return ON_SIDECAR_LOSS.get(text)


def _ceilings(texts: Mapping[str, str], faults: list[Fault]) -> Ceilings:
    found: dict[str, int] = {}
    for name, (label, most) in _CEILINGS.items():
        text = texts[name]
        number = int(re.sub("[ ,_]", "", text)) if _NUMBER.fullmatch(text) else 0
        if 1 <= number <= most:
            found[name] = number
        elif text:
            faults.append(_fault(label, "is not a number it can be.", f"Write a whole number from 1 to {most:,}."))
    wrong = Faults()
    money = read_money(texts["max_money"], "Money per run", wrong)
    faults.extend(wrong.found)
    return Ceilings(**found, max_money=money)


def _fault(field_name: str, problem: str, fix: str) -> Fault:
    return Fault(field=field_name, problem=problem, fix=fix)
