"""Who works for each agent of a plan: an app by its key, or an app, a model or a tool of the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ensemble.agents.identity import origin_of
from ensemble.agents.memory import Remembering
from ensemble.agents.port import Agent
from ensemble.contract.problems import Fault
from ensemble.plan.agents import AgentRef, AgentSpec, AppAgent, CredentialAgent, ModelAgent, ToolAgent
from ensemble.plan.model import Plan
from plugin.adapters.model import ModelAgentCaller, Models
from plugin.adapters.pools import Pools
from plugin.adapters.reverse import Apps, ReverseAgent
from plugin.adapters.tool import ToolAgentCaller, WorkspaceTools
from plugin.credentials import Credentials
from plugin.errors import BadPlan, in_words

__all__ = ["Caller", "Session", "cast", "own_host"]

OWN_DIFY = "dify"
"""The host of calls into the workspace's own Dify where no credential tells its address."""


class Session(Protocol):
    """The part of the SDK's session that leads back into Dify."""

    @property
    def app(self) -> Apps:
        """The workspace's apps."""

    @property
    def model(self) -> Models:
        """The workspace's models."""

    @property
    def tool(self) -> Any:
        """The workspace's tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls the tool, as far as Dify tells, and the way back into Dify while the call lasts."""

    user_id: str | None
    app_id: str | None = None
    conversation_id: str | None = None
    """Of the chatflow that calls; workflows have none."""
    session: Session | None = None


def cast(plan: Plan, credentials: Credentials, caller: Caller, pools: Pools) -> Mapping[str, Agent]:
    """Return the agents of *plan* by name.

    Raises:
        BadPlan: an agent is of the workspace, and the call came without a way back into it.

    """
    keys = {app.name: app for app in credentials.app_keys}
    own = own_host(credentials)
    agents: dict[str, Agent] = {}
    faults: list[Fault] = []
    for name, spec in plan.agents.items():
        match spec.ref:
            case CredentialAgent(name=known):
                agents[name] = _with_memory(pools.agent(keys[known]), spec, credentials, pools)
            case _ if caller.session is None:
                faults.append(_no_way_back(name, spec.ref))
            case AppAgent(app_id=app_id):
                apps, facts = caller.session.app, pools.workspace(credentials)
                agent = ReverseAgent(app_id, label=name, apps=apps, discovery=facts, host=own)
                agents[name] = _with_memory(agent, spec, credentials, pools)
            case ModelAgent(provider=provider, model=model, prompt=prompt):
                models = caller.session.model
                agents[name] = ModelAgentCaller(provider, model, prompt, label=name, models=models, host=own)
            case ToolAgent() as tool:
                tools = WorkspaceTools(caller.session.tool.session)
                agents[name] = ToolAgentCaller(tool, label=name, tools=tools, host=own)
    if faults:
        raise BadPlan(in_words(faults))
    return agents


def _with_memory(agent: Agent, spec: AgentSpec, credentials: Credentials, pools: Pools) -> Agent:
    return Remembering(agent, pools.memory(credentials), spec.name) if spec.memory else agent


def own_host(credentials: Credentials) -> str:
    """Return the host of calls into the workspace's own Dify."""
    return OWN_DIFY if credentials.dify_base_url is None else origin_of(credentials.dify_base_url)


def _no_way_back(name: str, ref: AgentRef) -> Fault:
    fix = "Call it from a workflow: only there Dify opens a way back."
    if isinstance(ref, AppAgent):
        fix = "Call the app by its key: add name = app-… to App keys in the plugin's credentials, and use that name."
    return Fault(field=f"agents.{name}", problem="is of the workspace, out of reach here.", fix=fix)
