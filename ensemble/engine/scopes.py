"""Where a step stands: among the plan's own, or as a part of a group; and so what the words in its texts mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.contract.results import StepResult
from ensemble.plan.model import Plan

__all__ = ["Home", "Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One place; what it does not know, the place around it may."""

    task: str
    plan: Plan | None = None
    """The plan whose steps stand here; None: parts that no plan names."""
    names: Mapping[str, str] | None = None
    """Words for other steps, and their ids in the run; None: every step by its own id, as at the top."""
    local: Mapping[str, Any] = field(default_factory=dict)
    """Words for values."""
    headings: Mapping[str, str] = field(default_factory=dict)
    """How results are headed where they are carried, by word."""
    outer: Home | None = None

    def step(self, word: str) -> str | None:
        """Return the id in the run of the step that *word* means here; None where it means none."""
        if self.names is None:
            return word
        if word in self.names:
            return self.names[word]
        if word in self.local or self.outer is None:
            return None
        return self.outer.step(word)

    def values(self) -> Mapping[str, Any]:
        """Return all words that mean a value here; a nearer word for a step hides a farther one for a value."""
        if self.outer is None:
            return self.local
        return {word: value for word, value in self.outer.values().items() if word not in (self.names or ())} | dict(
            self.local
        )

    def heading(self, word: str, result: StepResult) -> str:
        """Return the heading of *result*, which *word* means here."""
        if self.names is not None and word not in self.names and self.outer is not None:
            return self.outer.heading(word, result)
        if word in self.headings:
            return self.headings[word]
        return result.agent if self.plan is None or word not in self.plan.by_id else self.plan.label(word)


class Seen(Mapping[str, StepResult]):
    """The results there are, by the words that mean them in one home."""

    def __init__(self, results: Mapping[str, StepResult], home: Home) -> None:
        """Look at *results* from *home*."""
        self._results = results
        self._home = home

    def __getitem__(self, word: str) -> StepResult:
        name = self._home.step(word)
        if name is None:
            raise KeyError(word)
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        names = self._home.names
        return iter(self._results) if names is None else (word for word, name in names.items() if name in self._results)

    def __len__(self) -> int:
        return sum(1 for _ in self)
