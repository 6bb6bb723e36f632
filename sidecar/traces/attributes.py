"""What spans tell, by name: OpenTelemetry's words for generative AI where there is one, else our own.

Nothing an agent was given or gave stands in a span, no message of an error either, since agents put content into those;
no user, and no key that callers name their runs by, which may hold a user's name.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MEANINGS", "Name"]


class Name(StrEnum):
    """The name of an attribute."""

    TENANT = "ensemble.tenant"
    TRACE_ID = "ensemble.trace_id"
    RUN_ID = "ensemble.run.id"
    EPOCH = "ensemble.run.epoch"
    RUN_STATUS = "ensemble.run.status"
    PATTERN = "ensemble.run.pattern"
    PARENT_RUN = "ensemble.run.parent_id"
    DEPTH = "ensemble.run.depth"
    KEPT = "ensemble.run.steps_kept"
    STEP = "ensemble.step.id"
    STEP_STATUS = "ensemble.step.status"
    SOURCE = "ensemble.step.source"
    STALE = "ensemble.step.stale"
    TICKET = "ensemble.attempt.ticket"
    ATTEMPT = "ensemble.attempt.number"
    OUTCOME = "ensemble.attempt.outcome"
    LATE = "ensemble.attempt.late"
    DIFY_RUN = "ensemble.dify.workflow_run_id"
    TOKENS = "ensemble.usage.tokens"
    ESTIMATED = "ensemble.usage.estimated"
    PRICE = "ensemble.usage.price"
    CURRENCY = "ensemble.usage.currency"
    BREAKER_BEFORE = "ensemble.breaker.before"
    BREAKER_AFTER = "ensemble.breaker.after"
    BREAKER_CAUSE = "ensemble.breaker.cause"
    ERROR = "error.type"
    OPERATION = "gen_ai.operation.name"
    PROVIDER = "gen_ai.provider.name"
    AGENT = "gen_ai.agent.name"
    AGENT_ID = "gen_ai.agent.id"
    MODEL = "gen_ai.request.model"


MEANINGS = {
    Name.TENANT: ("all", "The tenant."),
    Name.RUN_ID: ("all", "The run, as `/v1/runs` knows it."),
    Name.TRACE_ID: ("run", "The trace as the caller named it, which is not always 32 hex digits."),
    Name.EPOCH: ("run", "Which engine of the run this was: 1 for the first."),
    Name.RUN_STATUS: ("run", "How it ended; `running` where its engine was lost."),
    Name.PATTERN: ("run", "The pattern."),
    Name.PARENT_RUN: ("run", "The run one of whose calls this one was opened in."),
    Name.DEPTH: ("run", "1 of a run nobody's call is known to have opened, and so on."),
    Name.KEPT: ("run", "How many steps stood as an earlier engine had left them, and have no span here."),
    Name.STEP: ("step, attempt", "The step, or the part of a group."),
    Name.STEP_STATUS: ("step", "How it ended; none where its engine was lost before."),
    Name.SOURCE: ("step", "Where the result came from: `agent`, `cache`, `backup` or `default`."),
    Name.STALE: ("step", "True where it came from the cache and was past its time."),
    Name.TICKET: ("attempt", "The attempt, as `/v1/runs` knows it."),
    Name.ATTEMPT: ("attempt", "1 is the first try."),
    Name.OUTCOME: ("attempt", "How it ended."),
    Name.LATE: ("attempt", "True where it went out while the sidecar was away, and was told of afterwards."),
    Name.DIFY_RUN: ("attempt", "The run of the app in Dify, where it told."),
    Name.TOKENS: (
        "run, attempt",
        "Tokens, as reported; left out where nobody knows. Dify tells no more than their sum.",
    ),
    Name.ESTIMATED: ("run, attempt", "True where tokens or price are an estimate, at least in part."),
    Name.PRICE: ("attempt", "What it cost, where that is known."),
    Name.CURRENCY: ("attempt", "Of the price."),
    Name.BREAKER_BEFORE: ("event", "How the agent's breaker stood before."),
    Name.BREAKER_AFTER: ("event", "How it stands from now on."),
    Name.BREAKER_CAUSE: ("event", "Why."),
    Name.ERROR: ("run, step, attempt", "What went wrong, as a word: an outcome, a status, or `engine_lost`."),
    Name.OPERATION: ("run, attempt", "`invoke_workflow` of a run, `invoke_agent` of an attempt."),
    Name.PROVIDER: ("attempt", "`dify`; left out of Python functions."),
    Name.AGENT: ("step, attempt", "What the plan calls the agent."),
    Name.AGENT_ID: ("attempt", "What the agent is; of an app's key and of a prompt it holds a hash."),
    Name.MODEL: ("attempt", "The model, where the agent is one."),
}
"""On which spans each stands, and what it means; the documentation shows the same."""
