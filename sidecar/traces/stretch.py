"""What one engine did of a run, picked out of the record of the run as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ensemble.contract.exchange import PlannedStep
from ensemble.contract.results import StepResult
from ensemble.rules.records import About, Attempt, Run

__all__ = ["Stretch"]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One epoch of a run, and what is on record of it."""

    tenant: str
    run_id: str
    run: Run
    """As the engine left it, whoever has it now."""
    about: About
    lost: bool = False
    """Whether the engine left without a word."""
    steps: tuple[PlannedStep, ...] = ()
    results: tuple[StepResult, ...] = ()
    """All that are on record."""
    attempts: tuple[Attempt, ...] = ()
    """All that are on record, in order of admission."""
    newest: bool = True
    """Whether no other engine has had the run since: then steps that nobody was called for are told of, too."""
    parent_trace: str = ""
    """The trace of the call it was opened in, where that is another one; else empty."""

    @cached_property
    def own(self) -> tuple[Attempt, ...]:
        """The attempts of this engine."""
        return tuple(each for each in self.attempts if each.epoch == self.run.epoch)

    @cached_property
    def own_results(self) -> dict[str, StepResult]:
        """The results that came to be under this engine, by step."""
        return {each.step: each for each in self.results if self._ours(each)}

    @cached_property
    def asked_after(self) -> dict[str, Attempt]:
        """The attempts of earlier engines that this one asked what had become of them, and was told, by step."""
        earlier = (each for each in self._givers.values() if each.epoch < self.run.epoch)
        return {each.ask.step: each for each in earlier if each.ask.step in self.own_results}

    @cached_property
    def kept(self) -> int:
        """How many results of earlier engines stood."""
        steps = {each.ask.step for each in self._givers.values() if each.epoch < self.run.epoch}
        return len(steps - self.own_results.keys())

    @cached_property
    def _givers(self) -> dict[str, Attempt]:
        """Who gave each step's result, as far as an attempt did."""
        on_record = {each.step for each in self.results}
        return {each.ask.step: each for each in self.attempts if each.result_taken and each.ask.step in on_record}

    def _ours(self, result: StepResult) -> bool:
        giver = self._givers.get(result.step)
        if giver is None:
            return self.newest
        if giver.epoch != self.run.epoch:
            return self.newest and giver.epoch < self.run.epoch and (giver.settled_ms or 0) >= self.run.since_ms
        return True
