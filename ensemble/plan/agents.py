"""Who works for a plan: apps by key or by id, models and tools of the workspace, each with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.contract.breakers import BreakerPolicy
from ensemble.plan.fallbacks import Cache, Fallback

__all__ = ["ON_UNCERTAIN", "AgentRef", "AgentSpec", "AppAgent", "CredentialAgent", "ModelAgent", "ToolAgent"]

ON_UNCERTAIN = ("retry", "fail", "reconcile")
"""What becomes of a step that was under way when its engine died: done again, given up, or asked after at Dify."""


@dataclass(frozen=True, slots=True)
class CredentialAgent:
    """An app whose key stands in the credentials under *name*."""

    name: str


@dataclass(frozen=True, slots=True)
class AppAgent:
    """An app of the workspace, called without a key."""

    app_id: str
    """A UUID, lower case."""


@dataclass(frozen=True, slots=True)
class ModelAgent:
    """A model of the workspace with a prompt."""

    provider: str
    """Such as ``langgenius/openai/openai``."""
    model: str
    prompt: str


@dataclass(frozen=True, slots=True)
class ToolAgent:
    """A Dify tool of the workspace."""

    provider: str
    """As Dify knows it: ``author/plugin/provider`` of a plugin's, else the name or the id of a provider of one's own."""
    name: str
    """Of the tool."""
    type: str = "builtin"
    """Dify's word for where its provider comes from; plugins' tools are ``builtin``."""
    credential_id: str | None = None
    """Which of the provider's saved credentials it uses; None: the workspace's default."""


type AgentRef = CredentialAgent | AppAgent | ModelAgent | ToolAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent of a plan. None leaves a setting to the plan's defaults."""

    name: str
    ref: AgentRef
    description: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Given at every call, under the step's own; may refer to the task and the run's inputs only."""
    timeout_s: float | None = None
    retry_times: int | None = None
    max_tokens: int | None = None
    on_uncertain: str | None = None
    breaker: BreakerPolicy | None = None
    memory: bool = False
    """Whether its calls go on with one conversation."""
    cache: Cache | None = None
    """How long its answers may stand in for it; None: nothing is said."""
    fallback: Fallback | None = None
    """Who or what stands in for it; None: nothing is said."""
