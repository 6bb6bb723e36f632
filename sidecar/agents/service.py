"""Agents as they are known: shown, declared, forgotten. What calls tell of them is written by exchanges."""

from __future__ import annotations

from functools import partial

from ensemble.contract.agents import (
    AgentDeclaration,
    AgentForgotten,
    AgentList,
    AgentParams,
    AgentsParams,
    AgentView,
)
from ensemble.contract.problems import Fault
from ensemble.rules.addresses import AGENTS
from ensemble.rules.agents.declaring import agent_view, agent_wants, declare, forget, is_known
from ensemble.rules.agents.statistics import hashes_at
from ensemble.rules.snapshot import Snapshot
from sidecar import errors
from sidecar.store.faults import store_errors, understood
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["Agents"]


class Agents:
    """The agents of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, tenant: str, params: AgentParams) -> AgentView:
        """Return one agent. Raises NotFound, StoreDamaged."""
        identity = params.identity

        def look(snapshot: Snapshot) -> AgentView | None:
            return agent_view(identity, snapshot) if is_known(identity, snapshot) else None

        found = self._store.look(tenant, look, agent_wants(identity))
        if found is None:
            detail = f"No agent {params.identity!r} is on record: it was never called here, or 30 days ago."
            fix = "Take an identity from the list of agents, or declare it."
            raise errors.NotFound(detail, Fault(field="identity", problem="not on record", fix=fix))
        return found

    def page(self, tenant: str, params: AgentsParams) -> AgentList:
        """Return a page of agents, those called last first; identities nobody remembers leave the index."""
        key = full_key(tenant, AGENTS)
        before: str | int = "+inf" if params.before_ms is None else f"({params.before_ms}"
        with store_errors(self._store.redis, [key]):
            scored = self._store.redis.zrevrangebyscore(key, before, "-inf", start=0, num=params.limit, withscores=True)
            last = int(scored[-1][1]) if len(scored) == params.limit else None
            same = [] if last is None else self._store.redis.zrevrangebyscore(key, last, last)
        identities = list(dict.fromkeys([*(identity for identity, _ in scored), *same]))
        views, gone = self._views(tenant, identities)
        if gone:
            with store_errors(self._store.redis, [key]):
                self._store.redis.zrem(key, *gone)
        return AgentList(agents=tuple(views), next_before_ms=last)

    def declare(self, tenant: str, params: AgentParams, ask: AgentDeclaration) -> AgentView:
        """Take an operator's word on an agent, in place of the one before. Raises Contended."""
        identity = params.identity
        return self._store.decide(tenant, partial(declare, identity, ask), agent_wants(identity))

    def forget(self, tenant: str, params: AgentParams) -> AgentForgotten:
        """Forget an agent until it is called again; its breaker stays. Raises Contended."""
        identity = params.identity
        return self._store.decide(tenant, partial(forget, identity), agent_wants(identity))

    def _views(self, tenant: str, identities: list[str]) -> tuple[list[AgentView], list[str]]:
        """Return what is known of each that can be understood, and those nothing is known of, all at one moment."""

        def look(snapshot: Snapshot) -> tuple[list[AgentView], list[str]]:
            known = [identity for identity in identities if is_known(identity, snapshot)]
            snapshot.require(place for identity in known for place in hashes_at(identity, snapshot.now_ms))
            views = [understood(partial(agent_view, each, snapshot), f"The agent {each}") for each in known]
            return [view for view in views if view is not None], [each for each in identities if each not in known]

        return self._store.look(tenant, look, [at for identity in identities for at in agent_wants(identity)])
