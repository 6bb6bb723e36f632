"""How attempts, steps and runs can stand or end, as closed sets of words."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Outcome", "RunStatus", "Source", "StepStatus"]


class Outcome(StrEnum):
    """How one attempt ended; the one classification that retry, breaker and error text share."""

    SUCCEEDED = "succeeded"
    """The agent answered. Dify's ``partial-succeeded`` (a node failed and recovered) counts as an answer."""
    AGENT_FAILED = "agent_failed"
    """The app ran and failed."""
    THROTTLED = "throttled"
    """Somebody asked us to come back later; it says nothing about the agent's health."""
    UNAVAILABLE = "unavailable"
    """Nobody answered, or not in the language of the Service API."""
    TIMED_OUT = "timed_out"
    """The attempt's own timeout passed."""
    REJECTED = "rejected"
    """The agent refused these inputs; the same call would be refused again."""
    MISCONFIGURED = "misconfigured"
    """A key, a model or the app's publishing has to be put right by a person."""
    INPUT_REQUIRED = "input_required"
    """The app paused for a human."""
    CANCELLED = "cancelled"
    """We ended it: the run's deadline, ``fail_fast``, or a cancel from outside."""
    REFUSED = "refused"
    """It was never called: an open breaker, a spent budget, a recursion."""
    UNCERTAIN = "uncertain"
    """Its owner died while it ran; nobody knows how it ended."""


class StepStatus(StrEnum):
    """Where one step stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    INPUT_REQUIRED = "input_required"


class RunStatus(StrEnum):
    """Where one run stands; every word but *running* is final."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    """Some steps succeeded, some did not."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class Source(StrEnum):
    """Where a step's result came from."""

    AGENT = "agent"
    CACHE = "cache"
    BACKUP = "backup"
    DEFAULT = "default"
