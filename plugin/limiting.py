"""What a run may take: the lowest of what the tool, the plan and the operator say, the operator being the ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble.contract.budgets import Limits as Budget
from ensemble.contract.problems import Fault
from ensemble.engine.request import RUN_TIMEOUT_S
from ensemble.plan.limits import Limits
from ensemble.plan.model import Plan
from ensemble.plan.reading.money import written
from plugin.credentials import AGENTS_PER_RUN, Ceilings

__all__ = ["MAX_PARALLEL", "Allowance", "allowance", "too_many_agents"]

MAX_PARALLEL = 4
"""Calls at one time where nobody says how many."""

_NAMES: Mapping[str, str] = {
    "max_parallel": "max_parallel",
    "timeout_s": "timeout",
    "max_tokens": "max_tokens",
    "max_calls": "max_calls",
    "max_seconds": "max_seconds",
}
"""What users call each limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a run may take in the engine's terms, and what the builder is told about it."""

    max_parallel: int
    timeout_s: float
    budget: Budget
    priority: int
    warnings: tuple[str, ...]


def allowance(asked: Limits, ceilings: Ceilings) -> Allowance:
    """Return what is allowed of *asked*; tools and plans, which a model may have written, lower only."""
    most = Limits(
        max_parallel=ceilings.max_parallel,
        timeout_s=RUN_TIMEOUT_S,
        max_tokens=ceilings.max_tokens,
        max_calls=ceilings.max_calls,
        max_seconds=ceilings.max_seconds,
        max_money=ceilings.max_money,
    )
    allowed = asked.lowered(most)
    default = min(MAX_PARALLEL, ceilings.max_parallel or MAX_PARALLEL)
    return Allowance(
        max_parallel=default if asked.max_parallel is None else allowed.max_parallel or default,
        timeout_s=allowed.timeout_s or RUN_TIMEOUT_S,
        budget=Budget(
            tokens=allowed.max_tokens, calls=allowed.max_calls, seconds=allowed.max_seconds, money=allowed.max_money
        ),
        priority=allowed.priority or 0,
        warnings=tuple(_lowered(asked, allowed)),
    )


def too_many_agents(plan: Plan, ceilings: Ceilings, field: str) -> Fault | None:
    """Return what to say of the agents that *field* names, where they are more than the operator allows."""
    named, most = len(plan.agents), ceilings.max_agents
    if most is None or named <= most:
        return None
    fix = f"Name fewer, or raise {AGENTS_PER_RUN} in the plugin's credentials."
    return Fault(field=field, problem=f"{named} agents are named, and at most {most} may be.", fix=fix)


def _lowered(asked: Limits, allowed: Limits) -> list[str]:
    """Return a line for each limit that was asked for higher than it may be."""
    lines = []
    for field, name in _NAMES.items():
        wanted, given = getattr(asked, field), getattr(allowed, field)
        if wanted is not None and given < wanted:
            whose = "a tool call's time in Dify" if field == "timeout_s" else "the ceiling in the plugin's credentials"
            lines.append(f"{name} was lowered from {wanted:g} to {given:g}, {whose}.")
    money, ceiling = asked.max_money, allowed.max_money
    if money and ceiling and money != ceiling:
        lines.append(
            f"max_money was lowered from {written(money)} to {written(ceiling)}, the ceiling in the plugin's credentials."
            if money.currency == ceiling.currency
            else f"max_money: {written(money)} can't be compared with the ceiling in the plugin's credentials, "
            f"{written(ceiling)}, which counts alone."
        )
    return lines
