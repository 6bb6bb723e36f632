"""Several results on their way to one: by each of the aggregator's strategies, within its limits of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.aggregate.choosing import Verdict, best, judge_task, read_verdict, synthesis_task
from ensemble.aggregate.merging import Conflicts, merge
from ensemble.aggregate.results import Result
from ensemble.aggregate.voting import vote
from ensemble.contract.context import Fate
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.results import StepResult, Usage
from ensemble.engine.events import Report
from ensemble.engine.ports import Context
from ensemble.packing.model import Packed, Part, Policy
from plugin.aggregator.asking import Asked
from plugin.aggregator.parameters import AggregatorParameters, Strategy
from plugin.errors import BadParameters, ResultsDisagree

__all__ = ["Aggregated", "Aggregation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregated:
    """One result out of several, and what became of each."""

    strategy: Strategy
    status: RunStatus
    text: str
    tokens: int
    """Of *text*."""
    data: Mapping[str, Any]
    results: tuple[Result, ...]
    """What was aggregated, with confidences and sources."""
    kept: tuple[str, ...]
    """Results that are in it whole."""
    cut: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    confidence: float | None = None
    sources: tuple[Any, ...] = ()
    """Of the results that are in it, each once."""
    usage: Usage = field(default_factory=lambda: Usage(tokens=0))
    """Of the judge or writer."""
    warnings: tuple[str, ...] = ()
    trace_id: str = ""
    run_id: str = ""
    """Of the judge's or writer's run; empty where nobody was asked."""


class Aggregation:
    """The results on their way to one."""

    def __init__(self, read: AggregatorParameters, results: Sequence[Result], context: Context) -> None:
        """Make one of *results* as the parameters *read* say; *context* counts and shortens."""
        self._read = read
        self._results = tuple(results)
        self._context = context
        self._policy = Policy(
            limit_tokens=read.max_tokens,
            each_tokens=min(read.max_tokens, read.max_tokens_each),
            compression=read.compression,
            order=read.order,
            query=read.task,
        )
        self._packed: Packed | None = None
        self.warnings: list[str] = []
        """What the builder is told besides."""

    def warn(self, *texts: str) -> None:
        """Say something to the builder."""
        self.warnings.extend(texts)

    def question(self) -> str | None:
        """Return what the judge or the writer is asked; None where nobody is."""
        if self._read.strategy is Strategy.SYNTHESIZE:
            return synthesis_task(self._read.task, self._sections().text)
        if self._read.strategy is Strategy.BEST and self._read.agent and len(self._results) > 1:
            there = self._sections().entries
            names = [entry.name for entry in there if entry.fate is not Fate.DROPPED]
            return judge_task(self._read.task, self._sections().text, names)
        return None

    def made(self, asked: Asked | None) -> Aggregated:
        """Return the one result."""
        match self._read.strategy:
            case Strategy.MERGE_JSON:
                return self._merged()
            case Strategy.VOTE:
                return self._voted()
            case Strategy.BEST:
                return self._best(asked)
            case Strategy.SYNTHESIZE if asked is not None and asked.answer is not None:
                return self._synthesized(asked, asked.answer)
            case _:
                return self._joined(asked)

    def _sections(self) -> Packed:
        """Return all results in one window, packed once."""
        if self._packed is None:
            parts = [
                Part(name=result.name, text=result.text, priority=result.confidence or 0.0) for result in self._results
            ]
            self._packed, warnings = self._context.pack(parts, self._policy)
            self.warn(*warnings)
        return self._packed

    def _joined(self, asked: Asked | None) -> Aggregated:
        """Return the sections themselves; also where the writer had no answer."""
        if asked is not None:
            self.warn(f"{self._read.agent} gave no answer, so the results are listed: {asked.error}")
        packed = self._sections()
        data = {result.name: dict(result.data) or result.text for result in self._results}
        made = self._about(packed.text, packed.tokens, data, asked, packed)
        return replace(made, status=RunStatus.SUCCEEDED if asked is None else RunStatus.PARTIAL)

    def _synthesized(self, asked: Asked, answer: StepResult) -> Aggregated:
        text = self._bounded(answer.text)
        made = self._about(text.text, text.tokens, answer.data, asked, self._sections())
        return replace(made, confidence=answer.confidence, sources=_once([*made.sources, *answer.sources]))

    def _merged(self) -> Aggregated:
        try:
            merged = merge(self._results, self._read.conflicts)
        except Conflicts as error:
            raise ResultsDisagree(f"{error}. Choose another rule in conflicts, or settle it before.") from None
        if merged.unused:
            self.warn(f"Left out, being no JSON object or list: {', '.join(merged.unused)}.")
        if not merged.used:
            raise BadParameters("results: None of them is a JSON object or list, so there is nothing to merge.")
        if merged.conflicts:
            fields = ", ".join(conflict.path or "the whole" for conflict in merged.conflicts[:20])
            self.warn(f"Results disagree on {fields}; the rule was {self._read.conflicts}.")
        text = self._bounded(json.dumps(merged.data, ensure_ascii=False, indent=2))
        if text.named(Fate.CUT) or text.named(Fate.DROPPED):
            self.warn("The text is over max_tokens and was shortened, so it is no JSON any more; data is whole.")
        conflicts = [{"path": each.path, "values": dict(each.values)} for each in merged.conflicts]
        data = {"merged": merged.data, "conflicts": conflicts}
        made = self._about(text.text, text.tokens, data, None)
        return replace(made, kept=merged.used, dropped=merged.unused, sources=self._sources(merged.used))

    def _voted(self) -> Aggregated:
        ballot = vote(self._results, field=self._read.vote_on, weights=self._read.weights)
        if ballot.winner is None:
            raise BadParameters(f"vote_on: No result has a field {self._read.vote_on!r}, so there is no vote.")
        if ballot.tie:
            self.warn("The vote is a tie; what was said with the most confidence, else first, was taken.")
        winner = ballot.winner
        first = winner.value if isinstance(winner.value, str) else json.dumps(winner.value, ensure_ascii=False)
        text = self._bounded(first)
        votes = [{"value": each.value, "weight": each.weight, "voters": list(each.voters)} for each in ballot.choices]
        data = {"winner": winner.value, "share": ballot.share, "tie": ballot.tie, "votes": votes}
        voted = tuple(name for choice in ballot.choices for name in choice.voters)
        kept = tuple(result.name for result in self._results if result.name in voted)
        made = self._about(text.text, text.tokens, data, None)
        sources = self._sources(winner.voters)
        return replace(made, kept=kept, dropped=ballot.abstained, confidence=ballot.share, sources=sources)

    def _best(self, asked: Asked | None) -> Aggregated:
        verdict, by = self._verdict(asked)
        chosen = next(result for result in self._results if result.name == verdict.name)
        text = self._bounded(chosen.text)
        others = tuple(result.name for result in self._results if result is not chosen)
        whole = not (text.named(Fate.CUT) or text.named(Fate.DROPPED))
        data = {"chosen": verdict.name, "reason": verdict.reason, "by": by, "data": dict(chosen.data)}
        made = self._about(text.text, text.tokens, data, asked)
        return replace(
            made,
            status=RunStatus.PARTIAL if asked is not None and by != "judge" else RunStatus.SUCCEEDED,
            kept=(chosen.name,) if whole else (),
            cut=() if whole else (chosen.name,),
            dropped=others,
            confidence=verdict.confidence if verdict.confidence is not None else chosen.confidence,
            sources=_once(chosen.sources),
        )

    def _verdict(self, asked: Asked | None) -> tuple[Verdict, str]:
        """Return which result is the best, and who says so: the judge, the confidence, or the order."""
        if asked is not None and asked.answer is not None:
            names = [result.name for result in self._results]
            verdict = read_verdict(asked.answer.text, asked.answer.data, names)
            if verdict is not None:
                return verdict, "judge"
            self.warn(f"{self._read.agent} named none of the results, so its word does not count.")
        elif asked is not None:
            self.warn(f"{self._read.agent} gave no verdict: {asked.error}")
        by_confidence = best(self._results)
        if by_confidence is not None:
            return by_confidence, "confidence"
        if len(self._results) > 1:
            self.warn(
                "No result tells its confidence, so the first was taken. Name a judge in agent to have them judged."
            )
        return Verdict(name=self._results[0].name, confidence=None, reason="It is the first."), "order"

    def _bounded(self, text: str) -> Packed:
        """Return *text* with its tokens, shortened where it is over the limit."""
        limit = self._read.max_tokens
        packed, _ = self._context.pack([Part(text=text)], replace(self._policy, each_tokens=limit))
        return packed

    def _about(
        self, text: str, tokens: int, data: Mapping[str, Any], asked: Asked | None, packed: Packed | None = None
    ) -> Aggregated:
        there = [entry.name for entry in packed.entries if entry.fate is not Fate.DROPPED] if packed else []
        report: Report | None = asked.report if asked else None
        return Aggregated(
            strategy=self._read.strategy,
            status=RunStatus.SUCCEEDED,
            text=text,
            tokens=tokens,
            data=data,
            results=self._results,
            kept=packed.named(Fate.KEPT) if packed else (),
            cut=packed.named(Fate.CUT) if packed else (),
            dropped=packed.named(Fate.DROPPED) if packed else (),
            sources=self._sources(there),
            usage=report.usage if report else Usage(tokens=0),
            trace_id=report.trace_id if report else self._read.trace_id,
            run_id=report.run_id if report else "",
        )

    def _sources(self, names: Sequence[str]) -> tuple[Any, ...]:
        return _once([source for result in self._results if result.name in names for source in result.sources])


def _once(sources: Sequence[Any]) -> tuple[Any, ...]:
    return tuple({json.dumps(source, sort_keys=True, default=str): source for source in sources}.values())
