"""What an operator has said of agents, for managers that would know their team by nothing but its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ensemble.agents.port import Agent
from ensemble.plan.inside import described, nameless
from ensemble.plan.model import Plan
from plugin.adapters.pools import Pools
from plugin.adapters.registry import SidecarRegistry
from plugin.credentials import Credentials
from plugin.errors import EnsembleError

__all__ = ["with_descriptions"]


def with_descriptions(plan: Plan, agents: Mapping[str, Agent], credentials: Credentials, pools: Pools) -> Plan:
    """Return *plan* with descriptions out of the sidecar's registry where it has none itself.

    One question to the sidecar, and only where a manager has somebody nameless; without an answer the names have to do.
    """
    wanted = frozenset[str]().union(*map(nameless, plan.steps))
    if not wanted or credentials.sidecar is None or pools.absence(credentials.sidecar).lasts():
        return plan
    try:
        known = SidecarRegistry(pools.sidecar(credentials.sidecar)).known()
    except EnsembleError:
        return plan
    about = {
        name: view.declared.description
        for name in wanted
        if name in agents and (view := known.get(agents[name].identity)) is not None and view.declared is not None
    }
    return replace(plan, steps=tuple(described(step, about) for step in plan.steps)) if any(about.values()) else plan
