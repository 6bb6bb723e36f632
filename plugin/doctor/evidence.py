"""Gathers what the doctor judges: the sidecar and every app are asked for real, at one time, within ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ensemble.agents.discovery import AppFacts
from ensemble.agents.door import Door
from ensemble.agents.identity import api_identity
from ensemble.agents.port import CallScope
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.about import About
from ensemble.contract.agents import AgentView
from ensemble.contract.breakers import BreakerView
from ensemble.contract.budgets import BudgetState
from ensemble.contract.outcomes import Outcome
from ensemble.contract.slots import SlotsView
from plugin.adapters.greenlets import in_parallel
from plugin.adapters.pools import Pools
from plugin.adapters.registry import SidecarRegistry
from plugin.app_keys import AppKey
from plugin.credentials import Credentials
from plugin.errors import EnsembleError

__all__ = ["AppEvidence", "Evidence", "SidecarEvidence", "gather"]

WITHIN_S = 10.0
"""How long looking may take in all."""
_PROBE_S = 4.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarEvidence:
    """What the sidecar said."""

    url: str
    about: About | None = None
    """None: it could not be asked."""
    error: str = ""
    took_ms: float = 0.0
    """One round trip on an open connection."""
    offset_ms: float | None = None
    """How far its clock is ahead of this process's; None: it does not tell."""
    agents: Mapping[str, AgentView] = field(default_factory=dict)
    """By identity, those called last."""
    breakers: tuple[BreakerView, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    slots: SlotsView | None = None
    partial_error: str = ""
    """Why it did not tell of agents, breakers, budgets and slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEvidence:
    """What one app said."""

    name: str
    base_url: str
    identity: str
    facts: AppFacts | None = None
    """None: it could not be asked."""
    outcome: Outcome | None = None
    """Why not."""
    error: str = ""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was asked."""

    sidecar: SidecarEvidence | None
    """None: none is configured."""
    apps: tuple[AppEvidence, ...]
    breakers: tuple[BreakerView, ...] = ()
    """The sidecar's, or without one those of this process."""


def gather(credentials: Credentials, apps: Iterable[AppKey], pools: Pools) -> Evidence:
    """Ask the sidecar and *apps* at one time; whoever has not answered by then is taken not to answer."""
    apps = tuple(apps)
    works: dict[str, Callable[[], SidecarEvidence | AppEvidence]] = {
        f"app {number}": partial(_ask_app, app, pools) for number, app in enumerate(apps)
    }
    if credentials.sidecar is not None:
        works["sidecar"] = partial(_ask_sidecar, pools.sidecar(credentials.sidecar))
    found = in_parallel(works, within_s=WITHIN_S, at_most=_AT_ONCE)
    late = f"no answer within the {WITHIN_S:g} s that all checks have together."
    sidecar = found.get("sidecar")
    if sidecar is None and credentials.sidecar is not None:
        sidecar = SidecarEvidence(url=credentials.sidecar.url, error=late)
    told = []
    for number, app in enumerate(apps):
        answer = found.get(f"app {number}")
        told.append(
            answer if isinstance(answer, AppEvidence) else replace(_unasked(app), error=late, outcome=Outcome.TIMED_OUT)
        )
    if isinstance(sidecar, SidecarEvidence):
        return Evidence(sidecar=sidecar, apps=tuple(told), breakers=sidecar.breakers)
    own = pools.book(credentials).breakers(app.identity for app in told)
    return Evidence(sidecar=None, apps=tuple(told), breakers=own)


def _ask_sidecar(ledger: SidecarLedger) -> SidecarEvidence:
    try:
        ledger.about()  # opens the connection, which is not what is timed
        at_ms, began = time.time() * 1000, time.perf_counter()
        about = ledger.about()
    except EnsembleError as error:
        return SidecarEvidence(url=ledger.url, error=str(error))
    took_ms = (time.perf_counter() - began) * 1000
    evidence = SidecarEvidence(
        url=ledger.url,
        about=about,
        took_ms=took_ms,
        offset_ms=None if about.now_ms is None else about.now_ms - (at_ms + took_ms / 2),
    )
    try:
        return replace(
            evidence,
            agents=SidecarRegistry(ledger).known(),
            breakers=ledger.list_breakers().breakers,
            budgets=ledger.list_budgets().budgets,
            slots=ledger.get_slots(),
        )
    except EnsembleError as error:
        return replace(evidence, partial_error=str(error))


def _ask_app(app: AppKey, pools: Pools) -> AppEvidence:
    door = Door(app.name, app.base_url or "", app.key, pools.connections(app.passage))
    began = time.perf_counter()
    answer = door.describe(CallScope(_PROBE_S), {})
    evidence = replace(_unasked(app), took_ms=(time.perf_counter() - began) * 1000)
    if isinstance(answer, AppFacts):
        return replace(evidence, facts=answer)
    return replace(evidence, outcome=answer.outcome, error=door.without_key(answer.message))


def _unasked(app: AppKey) -> AppEvidence:
    base_url = app.base_url or ""
    return AppEvidence(name=app.name, base_url=base_url, identity=api_identity(base_url, app.key))
