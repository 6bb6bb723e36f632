"""What the doctor makes of what all runs share: named budgets, and slots for calls at one time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ensemble.contract.budgets import BudgetState
from ensemble.contract.slots import SlotsView
from plugin.doctor.findings import Finding, note, ok, warning

__all__ = ["judge_budgets", "judge_slots"]

BUDGETS, SLOTS = "budgets", "slots"


def judge_budgets(budgets: Iterable[BudgetState]) -> list[Finding]:
    """Return which named budgets are nearly spent."""
    budgets = tuple(budgets)
    fix = "Raise its limit with PUT /v1/budgets/one at the sidecar, or wait for its next window."
    findings = [
        warning(f"budget {budget.name}", "; ".join(budget.warnings), fix) for budget in budgets if budget.warnings
    ]
    fine = len(budgets) - len(findings)
    return [*findings, ok(BUDGETS, f"Named budgets with room left: {fine}.")] if budgets else []


def judge_slots(slots: SlotsView | None, names: Mapping[str, str]) -> list[Finding]:
    """Return which limits of calls at one time are reached; *names* are those of the configured agents, by identity."""
    if slots is None:
        return []
    limits, used = slots.limits, slots.used
    fix = "Raise it with PUT /v1/slots at the sidecar, or let fewer runs work at one time."
    findings = []
    if limits.total is not None and (used.total or 0) >= limits.total:
        findings.append(warning(SLOTS, f"All {limits.total} calls that may be out at one time are out.", fix))
    findings += [
        warning(SLOTS, f"All {most} calls that may be out to {host} at one time are out.", fix)
        for host, most in limits.hosts.items()
        if used.hosts.get(host, 0) >= most
    ]
    findings += [
        note(f"agent {names[identity]}", f"All {most} of its calls at one time are out; others wait.", fix)
        for identity, most in limits.identities.items()
        if identity in names and used.identities.get(identity, 0) >= most
    ]
    if slots.waiting:
        findings.append(note(SLOTS, f"Calls that wait for one: {slots.waiting}."))
    return findings or [ok(SLOTS, "Nobody waits for one.")]
