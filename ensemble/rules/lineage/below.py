"""The runs that were opened inside a run's calls, however deep: it knows them by name, so that its end can reach them.

Each is taken down with every run above it when it begins. That a run was cancelled stands in the same place, and whoever
begins below it makes sure of that at commit: it begins as cancelled, or is there for whoever cancels, never neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.rules.addresses import below_hash
from ensemble.rules.snapshot import EVERY, Address, Draft, Snapshot

__all__ = [
    "BELOW_TTL_MS",
    "below_wants",
    "cancel_below",
    "enter_below",
    "is_cancelled",
    "let_go_on",
    "runs_to_cancel",
]

BELOW_TTL_MS = 7 * 24 * 3_600_000
"""How long it is kept, milliseconds from when a run was opened last: as long as one that nobody closes."""
_CANCELLED = "cancelled"
"""The field that says so; no run's id is written like it."""
_YES = "1"


def below_wants(run_id: str) -> tuple[Address, ...]:
    """Return what to read before the first decision of :func:`runs_to_cancel`."""
    return (Address(below_hash(run_id), EVERY),)


def enter_below(draft: Draft, run_id: str, above: Sequence[str]) -> bool:
    """Take down that a run begins inside those *above*; return whether one of them was cancelled. Raises NotRead."""
    marks = [Address(below_hash(each), _CANCELLED) for each in above]
    places = [Address(below_hash(each), run_id) for each in above]
    draft.snapshot.require((*marks, *places))
    for mark, place in zip(marks, places, strict=True):
        draft.check(mark)
        draft.put(place, _YES)
        draft.expire(place.key, BELOW_TTL_MS)
    return any(draft.text(mark) is not None for mark in marks)


def cancel_below(draft: Draft, run_id: str) -> None:
    """Take down that a run was cancelled, for those that begin below it. Raises NotRead."""
    draft.put(Address(below_hash(run_id), _CANCELLED), _YES)
    draft.expire(below_hash(run_id), BELOW_TTL_MS)


def is_cancelled(draft: Draft, run_id: str) -> bool:
    """Return whether a run stands as cancelled; the commit fails if that changes meanwhile. Raises NotRead."""
    mark = Address(below_hash(run_id), _CANCELLED)
    draft.check(mark)
    return draft.text(mark) is not None


def let_go_on(draft: Draft, run_id: str) -> None:
    """Take down that a run that was cancelled is opened again. Raises NotRead."""
    draft.put(Address(below_hash(run_id), _CANCELLED), None)


def runs_to_cancel(run_id: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the runs that began below one that was cancelled; none below one that was not. Raises NotRead.

    Some may have been opened elsewhere since: ``ending.cancel_inside`` looks at each where it stands now.
    """
    fields = snapshot.fields(below_hash(run_id))
    return tuple(field for field in fields if field != _CANCELLED) if _CANCELLED in fields else ()
