"""When a step may start, given how its dependencies stand: the rule of joins, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ensemble.contract.outcomes import StepStatus

__all__ = ["Decision", "Join", "JoinKind", "SkipReason", "Standing", "Verdict", "join_verdict", "standing"]


class JoinKind(StrEnum):
    """How many dependencies have to succeed."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    """All have ended and at least one succeeded."""
    ANY = "any"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class Join:
    """A join; *n* counts for a quorum, and as 0 for *all_done*: then it is met even where nothing succeeded."""

    kind: JoinKind = JoinKind.ALL_SUCCESS
    n: int = 1


class SkipReason(StrEnum):
    """Why a step is skipped."""

    CONDITION = "condition"
    """Its own ``when`` said no, or that of everything it waits for: it leaves the joins of others."""
    UPSTREAM_FAILED = "upstream_failed"
    """What it needs failed: to others it counts as failed."""
    QUORUM_IMPOSSIBLE = "quorum_impossible"
    """Too few are left that could still succeed: to others it counts as failed."""


class Standing(StrEnum):
    """How one dependency looks to a join."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LEFT = "left"


class Decision(StrEnum):
    """What a step does now."""

    READY = "ready"
    WAIT = "wait"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision; *why* is given when it is to skip."""

    decision: Decision
    why: SkipReason | None = None


READY = Verdict(Decision.READY)
WAIT = Verdict(Decision.WAIT)


def standing(status: StepStatus, skipped: SkipReason | None = None) -> Standing:
    """Return how a dependency of this status looks to a join; *skipped* says why a skipped one was."""
    match status:
        case StepStatus.PENDING | StepStatus.RUNNING:
            return Standing.OPEN
        case StepStatus.SUCCEEDED:
            return Standing.SUCCEEDED
        case StepStatus.SKIPPED if skipped is SkipReason.CONDITION:
            return Standing.LEFT
        case _:
            return Standing.FAILED


def join_verdict(join: Join, dependencies: Iterable[Standing]) -> Verdict:
    """Return what a step with these dependencies does now. The verdicts ready and skipped are final."""
    count = Counter(dependencies)
    here = count[Standing.OPEN] + count[Standing.SUCCEEDED] + count[Standing.FAILED]
    if not here:
        return Verdict(Decision.SKIPPED, SkipReason.CONDITION) if count[Standing.LEFT] else READY
    possible = count[Standing.OPEN] + count[Standing.SUCCEEDED]
    needed = {JoinKind.ALL_SUCCESS: here, JoinKind.QUORUM: join.n, JoinKind.ALL_DONE: min(join.n, 1)}.get(join.kind, 1)
    if possible < needed:
        quorum = join.kind is JoinKind.QUORUM
        return Verdict(Decision.SKIPPED, SkipReason.QUORUM_IMPOSSIBLE if quorum else SkipReason.UPSTREAM_FAILED)
    if join.kind is JoinKind.ALL_DONE and count[Standing.OPEN]:
        return WAIT
    return READY if count[Standing.SUCCEEDED] >= needed else WAIT
