"""What the tools that run something ask of the engine alike: for whom a run is, and what it may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ensemble.agents.port import Agent
from ensemble.engine.request import ANONYMOUS, RunRequest
from ensemble.plan.limits import Limits
from ensemble.plan.model import Plan
from plugin.casting import Caller
from plugin.credentials import Credentials
from plugin.limiting import allowance
from plugin.lineage import caller_of, parent_of
from plugin.stripped import key_in_use, stripped_task

__all__ = ["LOCAL_MODE", "Parameters", "requested"]

LOCAL_MODE = (
    "No sidecar is configured: the run is kept in this process only. It can't be resumed, breakers and budgets do not "
    "hold across processes, and there is no shared state."
)


class Parameters(Protocol):
    """The parameters that every tool which runs something has."""

    @property
    def run_key(self) -> str | None:
        """By which the run is found again."""

    @property
    def trace_id(self) -> str:
        """The trace it belongs to; empty: a new one."""

    @property
    def parent(self) -> str:
        """The token of the call this one is made in; empty where there is none."""

    @property
    def limits(self) -> Limits:
        """What the run may take."""


def requested(
    plan: Plan,
    agents: Mapping[str, Agent],
    read: Parameters,
    credentials: Credentials,
    caller: Caller,
    *,
    task: str,
    budgets: Sequence[str],
) -> RunRequest:
    """Return the request to run *plan*; what only one of the tools has, that tool adds.

    Raises:
        BadParameters: the parent's token is none.

    """
    allowed = allowance(read.limits.lowered(plan.limits), credentials.ceilings)
    run_key, left_out = key_in_use(read.run_key)
    local = () if credentials.sidecar else (LOCAL_MODE,)
    return RunRequest(
        plan=plan,
        agents=agents,
        task=task,
        user=caller.user_id or ANONYMOUS,
        run_key=run_key,
        trace_id=read.trace_id,
        caller=caller_of(caller.app_id),
        parent=parent_of(read.parent, credentials),
        timeout_s=allowed.timeout_s,
        max_parallel=allowed.max_parallel,
        host_parallel=credentials.ceilings.host_parallel,
        limits=allowed.budget,
        budgets=tuple(budgets),
        priority=allowed.priority,
        warnings=(*stripped_task(task), *left_out, *allowed.warnings, *local),
    )
