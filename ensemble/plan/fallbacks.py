"""What stands in for an agent that is refused or fails for good: an answer of its own, a backup, a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cache", "Chain", "Fallback", "back_to", "chain", "circles"]


@dataclass(frozen=True, slots=True)
class Cache:
    """How long an agent's answers may stand in for it, seconds from when it gave them."""

    fresh_s: float
    stale_s: float
    """Beyond that, as a last resort that is marked as such."""

    @property
    def kept_s(self) -> float:
        """How long they are kept; 0: they are not."""
        return self.fresh_s + self.stale_s


@dataclass(frozen=True, slots=True)
class Fallback:
    """Who or what stands in; with neither, nobody and nothing does."""

    agent: str | None = None
    """A key of the plan's agents."""
    default: Any = None
    """A value, perhaps with templates of task and start; None: there is none."""


@dataclass(frozen=True, slots=True)
class Chain:
    """All that stands in for one step's agent, in order: these agents, then this value."""

    backups: tuple[str, ...] = ()
    default: Any = None


def chain(agent: str, own: Fallback | None, others: Mapping[str, Fallback | None]) -> Chain:
    """Return what stands in for a step of *agent*.

    A backup's own backup follows it. No agent is asked twice, and of several values the one nearest to the step counts.

    Args:
        agent: Whom the plan means to work.
        own: The fallback of the step, its agent or the plan's defaults, whichever counts.
        others: What each agent of the plan says for itself.

    """
    backups: dict[str, None] = {}
    default, link = None, own
    while link is not None:
        default = link.default if default is None else default
        if link.agent is None or link.agent == agent or link.agent in backups:
            break
        backups[link.agent] = None
        link = others.get(link.agent)
    return Chain(tuple(backups), default)


def circles(fallbacks: Mapping[str, Fallback | None]) -> Iterator[tuple[str, ...]]:
    """Yield the agents that are backups of each other in a circle, the first one again at the end; each circle once."""
    seen: set[str] = set()
    for first in fallbacks:
        row: dict[str, None] = {}
        name: str | None = first
        while name is not None and name not in seen:
            seen.add(name)
            row[name] = None
            link = fallbacks.get(name)
            name = None if link is None else link.agent
        if name in row:
            names = list(row)
            yield (*names[names.index(name) :], name)


def back_to(agent: str, own: Fallback, others: Mapping[str, Fallback | None]) -> tuple[str, ...] | None:
    """Return the row of backups by which *own*, a step's word, leads back to its *agent*; None where it does not."""
    row = [agent]
    link: Fallback | None = own
    while link is not None and link.agent is not None and link.agent not in row[1:]:
        row.append(link.agent)
        if link.agent == agent:
            return tuple(row)
        link = others.get(link.agent)
    return None
