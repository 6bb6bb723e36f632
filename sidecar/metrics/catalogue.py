"""Every metric there is: its name, its labels, what it means. ``docs/metrics.md`` shows the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["CATALOGUE", "PASSING", "M", "Metric"]

QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds for what the sidecar itself does, seconds."""
AGENT_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Bounds for a call of an agent."""
RUN_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds for a run."""


class M(StrEnum):
    """The names."""

    REQUESTS = "ensemble_requests_total"
    REQUEST_DURATION = "ensemble_request_duration_seconds"
    IN_HAND = "ensemble_requests_in_hand"
    WAITING = "ensemble_requests_waiting"
    WORKER_STARTS = "ensemble_worker_starts_total"
    RUNS_OPENED = "ensemble_runs_opened_total"
    RUNS_CLOSED = "ensemble_runs_closed_total"
    RUN_DURATION = "ensemble_run_duration_seconds"
    ENGINES_LOST = "ensemble_engines_lost_total"
    ADMITTED = "ensemble_attempts_admitted_total"
    TURNED_AWAY = "ensemble_attempts_turned_away_total"
    SETTLED = "ensemble_attempts_settled_total"
    LOST = "ensemble_attempts_lost_total"
    ATTEMPT_DURATION = "ensemble_attempt_duration_seconds"
    TOKENS = "ensemble_tokens_total"
    MONEY = "ensemble_money_total"
    BREAKER_CHANGES = "ensemble_breaker_changes_total"
    RACES_LOST = "ensemble_races_lost_total"
    SWEEPS = "ensemble_sweeps_total"
    OVERFLOW = "ensemble_metrics_overflow_total"
    INFO = "ensemble_info"
    STORE_UP = "ensemble_store_up"
    RUNS_OPEN = "ensemble_runs_open"
    AGENT_INFO = "ensemble_agent_info"
    BREAKER_STATE = "ensemble_breaker_state"
    SLOTS_USED = "ensemble_slots_in_use"
    SLOTS_WAITING = "ensemble_slots_waiting"
    BUDGET_USED = "ensemble_budget_used"
    BUDGET_LIMIT = "ensemble_budget_limit"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: M
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()
    """Of a histogram's buckets, without the last one, which holds everything."""
    of_store: bool = False
    """Whether it is read from the store when it is asked for: every sidecar on one store shows the same."""


def _counter(name: M, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, meaning)


def _gauge(name: M, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, meaning)


def _stands(name: M, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, meaning, of_store=True)


CATALOGUE = (
    _gauge(M.INFO, "Always 1; what answers here, and whether its store is embedded or external.", "version", "store"),
    _counter(
        M.REQUESTS,
        "Requests that were answered, with the code of the problem where one was said.",
        *("tenant", "endpoint", "status", "code"),
    ),
    Metric(
        M.REQUEST_DURATION,
        "histogram",
        ("endpoint",),
        "From a request's head to its answer; of a stream, to its beginning.",
        QUICK_S,
    ),
    _gauge(
        M.IN_HAND,
        "Requests and new connections that are served or wait for a thread; the one that asks for this is among them.",
    ),
    _gauge(M.WAITING, "Those of them that wait for a thread."),
    _counter(M.WORKER_STARTS, "Worker processes that were started; more than there are tells that some have ended."),
    _counter(M.RUNS_OPENED, "Runs that began, or got another engine (`resumed`).", "tenant", "resumed"),
    _counter(M.RUNS_CLOSED, "Runs that ended; one that is opened again can end again.", "tenant", "status"),
    Metric(M.RUN_DURATION, "histogram", ("tenant",), "From a run's opening, or its last engine's, to its end.", RUN_S),
    _counter(M.ENGINES_LOST, "Runs whose lease ended without another word from their engine.", "tenant"),
    _counter(
        M.ADMITTED,
        "Attempts that came on record; `late`: they had gone out while the sidecar did not answer.",
        *("tenant", "agent", "late"),
    ),
    _counter(
        M.TURNED_AWAY,
        "Times an attempt was told to wait, or was refused, and why; who waits asks again and counts again.",
        *("tenant", "agent", "decision", "why"),
    ),
    _counter(M.SETTLED, "Attempts by how they ended.", "tenant", "agent", "outcome"),
    _counter(
        M.LOST, "Attempts given up as uncertain; news of some may come late, and then settles them.", "tenant", "agent"
    ),
    Metric(M.ATTEMPT_DURATION, "histogram", ("tenant", "agent"), "How long settled attempts took.", AGENT_S),
    _counter(
        M.TOKENS,
        "Tokens of settled attempts; `estimated`: the agent told none, and its reservation was booked.",
        *("tenant", "agent", "estimated"),
    ),
    _counter(
        M.MONEY,
        "What settled attempts cost, as far as agents or an operator's prices tell.",
        *("tenant", "agent", "currency", "estimated"),
    ),
    _counter(M.BREAKER_CHANGES, "Changes of a breaker's state.", "tenant", "agent", "to"),
    _counter(M.RACES_LOST, "Decisions that were taken anew since others wrote meanwhile.", "tenant"),
    _counter(M.SWEEPS, "Rounds after engines that are gone: `done` or `failed`.", "tenant", "result"),
    _counter(M.OVERFLOW, "Numbers that were not kept because there were too many; should be 0."),
    _stands(M.STORE_UP, "1 if the store answered to all that is below, else 0, and it is not shown or not all."),
    _stands(M.RUNS_OPEN, "Runs whose engine holds its lease.", "tenant"),
    _stands(
        M.AGENT_INFO, "Always 1; what an operator or a plan calls an agent, by its identity.", "tenant", "agent", "name"
    ),
    _stands(M.BREAKER_STATE, "1 for each breaker that is `open` or `half_open`.", "tenant", "agent", "state"),
    _stands(
        M.SLOTS_USED,
        "Calls that are out: `all`, to a host, of an agent; as far as they are counted.",
        "tenant",
        "scope",
    ),
    _stands(M.SLOTS_WAITING, "Calls that wait for a slot.", "tenant"),
    _stands(
        M.BUDGET_USED,
        "Of a named budget in its present window, `committed` or `reserved`.",
        *("tenant", "budget", "unit", "kind"),
    ),
    _stands(
        M.BUDGET_LIMIT, "The limits of a named budget; the unit of money is its currency.", "tenant", "budget", "unit"
    ),
)

PASSING = frozenset(str(each.name) for each in CATALOGUE if each.kind == "gauge" and not each.of_store)
"""What goes with the process that told it."""
