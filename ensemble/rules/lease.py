"""Who may run a run: what an owner, a stranger or an owner of old is to it, by its record and the clock alone."""

from __future__ import annotations

from enum import StrEnum

from ensemble.contract.outcomes import RunStatus
from ensemble.rules.records import Run

__all__ = ["FORMER_KEPT", "Standing", "begin", "carry_on", "epoch_of", "hand_over", "left_ms", "open_again", "renew"]

FORMER_KEPT = 16
"""How many earlier owners a run remembers."""


class Standing(StrEnum):
    """What an asking engine is to a run."""

    NEW = "new"
    """There is no such run: it begins one."""
    OWNER = "owner"
    """It runs this run, or has just closed it and says so again."""
    FOLLOWER = "follower"
    """Somebody else runs it."""
    HEIR = "heir"
    """Its owner's lease has ended: the asker takes it over."""
    REOPENER = "reopener"
    """It was closed without full success: the asker opens it again."""
    LATE = "late"
    """It is over: there is nothing left to do but to read the answer."""
    SUPERSEDED = "superseded"
    """The asker ran it once; somebody took it over."""


def open_again(run: Run | None, owner: str, now_ms: int, *, closing: bool) -> Standing:
    """Return what an engine is that wants to open a run.

    The same owner again is the same ask sent twice, or a late copy of it: it never opens what it has closed itself, and
    never takes back what was taken from it. *closing*: the same exchange also closes the run, as a book does that is
    handed in late, or is a part of such a book; that takes nothing from anybody.
    """
    if run is None:
        return Standing.NEW
    if run.owner == owner:
        return Standing.OWNER if closing or run.status is RunStatus.RUNNING else Standing.LATE
    if run.status is RunStatus.SUCCEEDED:
        return Standing.LATE
    if owner in run.former or closing:
        return Standing.SUPERSEDED
    if run.status is not RunStatus.RUNNING:
        return Standing.REOPENER
    return Standing.FOLLOWER if left_ms(run, now_ms) else Standing.HEIR


def carry_on(run: Run, owner: str, epoch: int, *, closing: bool) -> Standing:
    """Return what an engine is that says it runs this run in *epoch*.

    A lease that has ended takes nothing from an owner as long as nobody else has opened the run.
    """
    if run.owner != owner or run.epoch != epoch:
        return Standing.SUPERSEDED
    return Standing.OWNER if closing or run.status is RunStatus.RUNNING else Standing.LATE


def epoch_of(run: Run, owner: str) -> int:
    """Return the epoch in which *owner* has or had the run; 0 where it never had, or too long ago."""
    if owner == run.owner:
        return run.epoch
    return run.epoch - len(run.former) + run.former.index(owner) if owner in run.former else 0


def left_ms(run: Run, now_ms: int) -> int:
    """Return how long the owner's lease still lasts, 0 once the run is closed."""
    return max(0, run.lease_until_ms - now_ms) if run.status is RunStatus.RUNNING else 0


def begin(owner: str, now_ms: int, lease_ms: int) -> Run:
    """Return a new run in its first epoch."""
    return Run(owner=owner, epoch=1, lease_until_ms=now_ms + lease_ms, opened_ms=now_ms, since_ms=now_ms)


def renew(before: Run, now_ms: int, lease_ms: int) -> Run:
    """Return the run with its owner's lease renewed."""
    return before.model_copy(update={"lease_until_ms": now_ms + lease_ms, "lapsed": False})


def hand_over(before: Run, owner: str, now_ms: int, lease_ms: int) -> Run:
    """Return the run in its next epoch, running, under another owner.

    An ask to cancel that nobody has heard yet holds for the heir; a run that was closed begins without one.
    """
    return before.model_copy(
        update={
            "owner": owner,
            "epoch": before.epoch + 1,
            "former": (*before.former, before.owner)[-FORMER_KEPT:],
            "lease_until_ms": now_ms + lease_ms,
            "lapsed": False,
            "cancelled": before.cancelled and before.status is RunStatus.RUNNING,
            "status": RunStatus.RUNNING,
            "since_ms": now_ms,
            "closed_ms": None,
        }
    )
