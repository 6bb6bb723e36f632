"""Which runs could be nested inside which, and when that goes too far: a circle that is known, or a line too long.

A run that shows a token of its parent's knows the apps on its way: none of them is called again. A run that shows none
could be nested in any call under way into its app that was admitted before it was opened, by the same user where Dify
hands the user on; the longest line of such calls is how deep it could be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from ensemble.rules.records import Going, Link, Origin

__all__ = [
    "DEPTH_LIMIT",
    "MOST_NESTED",
    "could_lead_to",
    "descended",
    "first_link",
    "going_round",
    "in_words",
    "longest_line",
    "too_deep",
    "too_nested",
]

DEPTH_LIMIT = 5
"""How many runs may stand on a line that is not known but only could be."""
MOST_NESTED = 16
"""How many may stand on a line that is known: every one of them is charged for what the last one does."""


def first_link(caller: str | None) -> Link:
    """Return the link of a run that nobody's call is known to have opened."""
    return Link(identities=() if caller is None else (caller,))


def descended(chain: Sequence[Link], name: str, identities: Iterable[str | None]) -> tuple[Link, ...]:
    """Return the way down to a run opened inside a call to *name*, an app by these *identities*."""
    return (*chain, Link(name=name, identities=tuple(dict.fromkeys(i for i in identities if i is not None))))


def going_round(chain: Sequence[Link], name: str, identities: Collection[str]) -> str:
    """Return in words how a call to *name*, an app by any of *identities*, would go round; empty if it would not."""
    for number, link in enumerate(chain):
        if not set(identities).isdisjoint(link.identities):
            return in_words(chain, name, number)
    return ""


def in_words(chain: Sequence[Link], name: str, again: int | None = None) -> str:
    """Return the way down a chain to *name*, which is the link number *again* once more."""
    names = [link.name or _shown(link.identities) for link in chain]
    if again is not None and not chain[again].name:
        names[again] = name
    return " → ".join([*names, name])


def could_lead_to(call: Going, run: Origin) -> bool:
    """Return whether *run*, which does not know its caller, could have been opened inside *call*, which is into its app.

    A call goes out once its admission is on record, so what was opened before it, or in the same instant, was not
    opened inside it. Where the app sees the caller's own user, other users' runs are none of the call's; elsewhere the
    runs of users are not who were seen to start this app when nothing could have called it.
    """
    known = call.origin.end_user and run.end_user
    theirs = (call.origin.end_user != run.end_user) if call.same_user and known else run.starter and not call.same_user
    return not theirs and call.admitted_ms < run.opened_ms


def longest_line(run: Origin, calls: Callable[[str], Iterable[Going]]) -> tuple[int, tuple[Going, ...]]:
    """Return how deep *run* could be nested, and the line of calls under way it would stand at the end of.

    *calls* tells those into an app. A line longer than the limit is not followed to its beginning: it is too long.
    """
    memo: dict[tuple[Origin, int], tuple[int, tuple[Going, ...]]] = {}

    def line(origin: Origin, below: int) -> tuple[int, tuple[Going, ...]]:
        """Return the depth of a run that *below* others are nested in, and the calls above it."""
        if origin.caller is None or below >= DEPTH_LIMIT:
            return 1, ()
        if (origin, below) not in memo:
            found: tuple[int, tuple[Going, ...]] = (1, ())
            for call in calls(origin.caller):
                if could_lead_to(call, origin):
                    depth, way = line(call.origin, below + call.depth)
                    found = max(found, (depth + call.depth, (*way, call)), key=lambda each: each[0])
            memo[origin, below] = found
        return memo[origin, below]

    return line(run, 0)


def too_deep(depth: int, line: Sequence[Going]) -> str:
    """Return in words why a run on such a line is too deep; empty if it is not."""
    if depth <= DEPTH_LIMIT:
        return ""
    names = " → ".join(call.agent for call in line)
    return (
        f"calls under way could have nested this run {depth} deep (… → {names}), and {DEPTH_LIMIT} is the limit; let the "
        "apps on the way declare a text input ensemble_parent and hand it to the tool's parameter parent"
    )


def too_nested(chain: Sequence[Link]) -> str:
    """Return in words why a known chain is too long; empty if it is not."""
    if len(chain) <= MOST_NESTED:
        return ""
    return f"runs are nested {len(chain)} deep, and {MOST_NESTED} is the limit: {in_words(chain[:-1], chain[-1].name)}"


def _shown(identities: Sequence[str]) -> str:
    """Return what an app that nobody called by name is shown as."""
    return f"{identities[0][:12]}…" if identities else "the first app"
