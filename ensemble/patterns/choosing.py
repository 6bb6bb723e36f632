"""``vote`` and ``race``: several agents are asked the same; what most say, or the first good answer, is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ensemble.aggregate.results import Result
from ensemble.aggregate.voting import Ballot, Weights, vote
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.patterns.moves import Made, Move, Part, Setting, failed, first_failure, succeeded
from ensemble.plan.conditions import evaluate
from ensemble.plan.groups import ANSWER, Race, Vote
from ensemble.plan.model import Step

__all__ = ["RacePattern", "VotePattern"]


class VotePattern:
    """One ``vote`` while it runs."""

    def __init__(self, group: Vote, setting: Setting) -> None:
        """Begin before anybody was asked."""
        self._group = group
        self._setting = setting
        self._results: dict[str, StepResult] = {}

    def begin(self) -> Move:
        """Ask all at once."""
        return _all_at_once(self._group.parts, self._setting.id)

    def heard(self, result: StepResult) -> Move:
        """Note a vote; the end of it if it is decided."""
        self._results[result.step] = result
        missing = len(self._group.parts) - len(self._results)
        agree = self._group.agree
        if agree is None and missing:
            return ()
        ballot = self._ballot()
        if agree is None:
            return self._made(ballot)
        most = max((len(choice.voters) for choice in ballot.choices), default=0)
        if most >= agree:
            first = max(ballot.choices, key=lambda choice: len(choice.voters))
            return self._made(replace(ballot, choices=(first, *(c for c in ballot.choices if c is not first))))
        if most + missing >= agree:
            return ()
        words = f"No {agree} of {len(self._group.parts)} agents agree."
        error = ErrorInfo(code="quorum_impossible", message=words, retry_allowed=True)
        return Made(status=StepStatus.FAILED, error=error, data=self._data(ballot))

    def _ballot(self) -> Ballot:
        voted = [
            Result(
                name=part.id,
                text=result.text,
                data=result.data,
                confidence=result.confidence,
                sources=result.sources,
            )
            for part in self._group.parts
            if (result := self._results.get(f"{self._setting.id}/{part.id}")) is not None and succeeded(result)
        ]
        weights = Weights.CONFIDENCE if self._group.by_confidence else Weights.EQUAL
        return vote(voted, field=self._group.on, weights=weights, by_voter=self._group.weights)

    def _made(self, ballot: Ballot) -> Made:
        if ballot.winner is None:
            silent = [result for result in self._results.values() if succeeded(result)]
            if silent:
                return failed(f"Nobody's answer has a field '{self._group.on}', so there is no vote.")
            return failed("Nobody voted.", first_failure(self._results.values()))
        lost = [name for name, result in self._results.items() if result.error is not None]
        if lost:
            self._setting.warn(f"{self._setting.id}: without a vote: {', '.join(lost)}.")
        if ballot.tie and self._group.agree is None:
            self._setting.warn(
                f"{self._setting.id}: the vote is a tie; what was said with the most confidence, else first, was taken."
            )
        first = self._results[f"{self._setting.id}/{ballot.winner.voters[0]}"]
        value = ballot.winner.value
        text = first.text if not self._group.on else value if isinstance(value, str) else str(value)
        return Made(text=text, data=self._data(ballot), confidence=round(ballot.share, 4), sources=first.sources)

    def _data(self, ballot: Ballot) -> dict[str, Any]:
        votes = [
            {"value": choice.value, "weight": choice.weight, "voters": list(choice.voters)} for choice in ballot.choices
        ]
        winner = None if ballot.winner is None else ballot.winner.value
        return {"winner": winner, "share": round(ballot.share, 4), "tie": ballot.tie, "votes": votes}


class RacePattern:
    """One ``race`` while it runs."""

    def __init__(self, group: Race, setting: Setting) -> None:
        """Begin before anybody was asked."""
        self._group = group
        self._setting = setting
        self._results: dict[str, StepResult] = {}

    def begin(self) -> Move:
        """Ask all at once."""
        return _all_at_once(self._group.parts, self._setting.id)

    def heard(self, result: StepResult) -> Move:
        """Take the answer if it is good; else wait for the next one."""
        self._results[result.step] = result
        if succeeded(result) and self._good(result):
            winner = result.step[len(self._setting.id) + 1 :]
            return Made(
                text=result.text,
                data={**result.data, "winner": winner},
                confidence=result.confidence,
                sources=result.sources,
            )
        if len(self._results) < len(self._group.parts):
            return ()
        poor = sum(map(succeeded, self._results.values()))
        words = f"None of {len(self._group.parts)} agents gave a good answer ({poor} gave one that is not)."
        return failed(words, first_failure(self._results.values()))

    def _good(self, result: StepResult) -> bool:
        if self._group.good is None:
            return True
        holds, warnings = evaluate(self._group.good, self._setting.scope({ANSWER: result.step}, {}))
        for warning in warnings:
            self._setting.warn(f"{self._setting.id}: good: {warning}")
        return holds


def _all_at_once(parts: tuple[Step, ...], group: str) -> tuple[Part, ...]:
    return tuple(Part(step=replace(part, id=f"{group}/{part.id}")) for part in parts)
