"""The check behind the button "save": every credential is tried for real, and all that is wrong is said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ensemble.agents.port import Reply
from ensemble.agents.service_api import probe
from ensemble.contract.about import CONTRACT_VERSION
from plugin.adapters.greenlets import in_parallel
from plugin.adapters.pools import POOLS, Pools
from plugin.app_keys import AppKey
from plugin.credentials import Sidecar, read_credentials
from plugin.errors import BadCredentials, EnsembleError

__all__ = ["problems"]

WITHIN_S = 10.0
"""How long saving may take in all."""
_PROBE_S = 4.0
_AT_ONCE = 16


def problems(credentials: Mapping[str, Any], pools: Pools = POOLS) -> list[str]:
    """Return what is wrong with *credentials*, a text for each field or entry; none shows a key or the token."""
    try:
        saved = read_credentials(credentials)
    except BadCredentials as error:
        return [str(error)]
    checks: dict[str, Callable[[], str | None]] = {}
    if saved.sidecar is not None:
        sidecar = saved.sidecar
        checks["The sidecar"] = lambda: _sidecar_problem(sidecar, pools)
    for app in saved.app_keys:
        checks[f"App {app.name!r}"] = _app_check(app, pools)
    found = in_parallel(checks, within_s=WITHIN_S, at_most=_AT_ONCE)
    late = f"did not answer in time; saving waits {WITHIN_S:g} s for all checks together."
    told = {name: found.get(name) if name in found else f"{name} {late}" for name in checks}
    return [text for text in told.values() if text]


def _app_check(app: AppKey, pools: Pools) -> Callable[[], str | None]:
    def check() -> str | None:
        answer = probe(pools.connections(app.passage), app.base_url or "", app.key, label=app.name, timeout_s=_PROBE_S)
        return f"App {app.name!r}: {answer.message}" if isinstance(answer, Reply) else None

    return check


def _sidecar_problem(sidecar: Sidecar, pools: Pools) -> str | None:
    try:
        about = pools.sidecar(sidecar).about()
    except EnsembleError as error:
        return str(error)
    if about.product != "ensemble":
        return f"At {sidecar.url} there is {about.product!r}, not an Ensemble sidecar."
    if about.contract == CONTRACT_VERSION:
        return None
    older, newer = ("sidecar", "plugin") if about.contract < CONTRACT_VERSION else ("plugin", "sidecar")
    return (
        f"The sidecar (version {about.version}) speaks version {about.contract} of the contract, this plugin version "
        f"{CONTRACT_VERSION}: update the {older}, or install the {newer} that belongs to it."
    )
