"""What an operator does to what is known of an agent, and how it is shown."""

from __future__ import annotations

from ensemble.contract.agents import AgentDeclaration, AgentDeclared, AgentForgotten, AgentView
from ensemble.rules.addresses import AGENTS, agent_at, breaker_at
from ensemble.rules.agents.drafted import DraftedAgents
from ensemble.rules.agents.health import health
from ensemble.rules.agents.statistics import calls_of, hashes_at
from ensemble.rules.breakers.drafted import DraftedBreakers
from ensemble.rules.records import Breaker, Seen
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot

__all__ = ["agent_name", "agent_view", "agent_wants", "declare", "forget", "is_known"]


def agent_wants(identity: str) -> tuple[Address, ...]:
    """Return what to read before the first decision about an agent."""
    return *agent_at(identity), breaker_at(identity)


def is_known(identity: str, snapshot: Snapshot) -> bool:
    """Return whether anything is known of an agent. Raises NotRead."""
    return any(snapshot.text(at) is not None for at in agent_at(identity))


def agent_name(identity: str, snapshot: Snapshot) -> str | None:
    """Return what an agent is called, None where nobody has called it anything. Raises NotRead."""
    registry = DraftedAgents(Draft(snapshot))
    return _name(registry.seen(identity), registry.declared(identity))


def agent_view(identity: str, snapshot: Snapshot) -> AgentView:
    """Return one agent as far as it is known. Raises NotRead."""
    return _view(Draft(snapshot), identity)


def declare(identity: str, ask: AgentDeclaration, snapshot: Snapshot) -> tuple[AgentView, Changes]:
    """Take an operator's word on an agent, in place of the one before. Raises NotRead."""
    draft = Draft(snapshot)
    at = agent_at(identity)[1]
    declared = AgentDeclared(**ask.model_dump(exclude={"breaker"}))
    draft.put(at, declared.model_dump_json(exclude_defaults=True))
    draft.expire(at.key, 0)
    seen = DraftedAgents(draft).seen(identity)
    draft.rank(AGENTS, identity, draft.now_ms if seen is None else seen.fresh_ms)
    if ask.breaker is not None:
        breakers = DraftedBreakers(draft)
        breakers.put(identity, breakers.get(identity).model_copy(update={"policy": ask.breaker}))
        breakers.finish()
    return _view(draft, identity), draft.changes()


def forget(identity: str, snapshot: Snapshot) -> tuple[AgentForgotten, Changes]:
    """Forget sightings, statistics and declaration of an agent; its breaker stays. Raises NotRead."""
    draft = Draft(snapshot)
    known = is_known(identity, snapshot)
    for at in agent_at(identity):
        draft.put(at, None)
    for place in hashes_at(identity, draft.now_ms):
        draft.expire(place.key, 1)
    draft.rank(AGENTS, identity, None)
    return AgentForgotten(identity=identity, forgotten=known), draft.changes()


def _name(seen: Seen | None, declared: AgentDeclared | None) -> str | None:
    return (declared.name if declared else None) or next(iter(seen.names if seen else ()), None)


def _view(draft: Draft, identity: str) -> AgentView:
    drafted = DraftedAgents(draft)
    seen, declared = drafted.seen(identity), drafted.declared(identity)
    calls = calls_of(draft.snapshot, identity)
    text = draft.text(breaker_at(identity))
    breaker = Breaker() if text is None else Breaker.model_validate_json(text)
    word, why = health(breaker, draft.now_ms, calls.hour, calls.day)
    names = () if seen is None else seen.names
    return AgentView(
        identity=identity,
        name=_name(seen, declared) or identity,
        names=names,
        first_seen_ms=None if seen is None else seen.first_ms,
        last_seen_ms=None if seen is None else seen.fresh_ms,
        health=word,
        health_why=why,
        breaker=breaker.state,
        declared=declared,
        statistics=calls.view(),
    )
