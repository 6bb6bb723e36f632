"""What the engine is asked to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.agents.port import Agent
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Parent
from ensemble.plan.model import Plan, Step

__all__ = ["ANONYMOUS", "RunRequest"]

ANONYMOUS = "anonymous"
"""The user of a call that came without one."""
RUN_TIMEOUT_S = 540.0
"""A tool call lives 600 s in a stock Dify; what is left is for telling the story."""
STEP_TIMEOUT_S = 300.0
"""How long one attempt may take where the plan does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run: the plan, who works, what they are given and what it may cost."""

    plan: Plan
    agents: Mapping[str, Agent]
    """The agents by their names in the plan."""
    task: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Mapping[str, Any], ...] = ()
    """Given along to every agent, in the form of the Service API."""
    conversation: str = ""
    """The caller's conversation, by which agents with a memory remember; empty: each run for itself."""
    user: str = ANONYMOUS
    """The caller's user id; agents see ``ens-<user>``."""
    run_key: str | None = None
    """None: every call is a run of its own."""
    trace_id: str = ""
    """Empty: a new one."""
    caller: str | None = None
    """The identity of the app whose tool runs this; None where Dify does not tell."""
    parent: Parent | None = None
    """The call of another run inside which this one is opened; None: of none that is known."""
    seal: Callable[[str, str], str] | None = field(default=None, repr=False)
    """Makes, of a run's id and a ticket, the token by which runs inside that call tell whose call it is; None: nobody."""
    timeout_s: float = RUN_TIMEOUT_S
    max_parallel: int = 4
    host_parallel: int = 8
    """Calls to one Dify host at one time, over all runs of this process."""
    limits: Limits = field(default_factory=Limits)
    budgets: tuple[str, ...] = ()
    """Named budgets that every attempt is charged to as well."""
    priority: int = 0
    """Of its calls in the line for slots, -9 to 9; higher ones come earlier."""
    fail_fast: bool = False
    warnings: tuple[str, ...] = ()
    """What the caller found worth saying before the run began."""

    def attempt_timeout_s(self, step: Step) -> float:
        """Return how long one attempt at *step* may take."""
        return self.plan.timeout_s(step) or STEP_TIMEOUT_S
