"""One run and the breakers beside it while an exchange is decided: records in and out of a draft, each parsed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from ensemble.contract.exchange import Uncertain
from ensemble.contract.outcomes import RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult
from ensemble.rules.addresses import LEASES, attempt_at, run_at, run_hash, step_at
from ensemble.rules.agents.drafted import DraftedAgents
from ensemble.rules.breakers.drafted import DraftedBreakers
from ensemble.rules.budgets.budget import COUNTERS, Budget
from ensemble.rules.budgets.drafted import DraftedBudgets
from ensemble.rules.lineage.drafted import RunsAbove
from ensemble.rules.records import Attempt, Run
from ensemble.rules.runs.views import attempts_of, results_of
from ensemble.rules.slots.drafted import DraftedSlots
from ensemble.rules.snapshot import Address, Draft

__all__ = ["Working", "counters_at"]


@lru_cache(maxsize=64)  # one decision asks for the same ones several times
def counters_at(run_id: str) -> tuple[Address, ...]:
    """Return the addresses of the counters of a run's budget."""
    key = run_hash(run_id)
    return tuple(Address(key, name) for name in COUNTERS)


class Working:
    """The records one exchange works on. Any look at one may raise NotRead."""

    def __init__(self, draft: Draft, run_id: str, run: Run) -> None:
        """Begin with *run* as it stands; :meth:`finish` writes what became of it."""
        self.draft = draft
        self.now_ms = draft.now_ms
        self.run_id = run_id
        self.run = self._run = run
        counters = counters_at(run_id)
        draft.snapshot.require(counters)
        self.budget = self._budget = Budget(*[draft.snapshot.counter(address) for address in counters])
        self._attempts: dict[str, Attempt | None] = {}
        self.breakers = DraftedBreakers(draft)
        self.named = DraftedBudgets(draft)
        self.above = RunsAbove(draft)
        self.slots = DraftedSlots(draft)
        self.agents = DraftedAgents(draft)
        self._changed_attempts: set[str] = set()
        self._open = dict(run.open)
        self._at_work = Counter(self._open.values())

    @property
    def open(self) -> Mapping[str, str]:
        """The tickets under way and the step of each; the run's own record of them is written by :meth:`finish`."""
        return self._open

    def enter(self, ticket: str, step: str) -> None:
        """Take note that an attempt at *step* is under way. In place: one exchange may tell of 20,000."""
        self._open[ticket] = step
        self._at_work[step] += 1

    def leave(self, ticket: str) -> None:
        """Take note that an attempt is under way no more, if it was."""
        step = self._open.pop(ticket, None)
        if step is not None:
            self._at_work[step] -= 1

    def others_at(self, step: str, ticket: str) -> bool:
        """Return whether an attempt other than *ticket* is at work on *step*."""
        return self._at_work[step] > (self._open.get(ticket) == step)

    def attempt(self, ticket: str) -> Attempt | None:
        """Return the attempt of *ticket*, None if there is none."""
        if ticket not in self._attempts:
            text = self.draft.text(attempt_at(self.run_id, ticket))
            self._attempts[ticket] = None if text is None else Attempt.model_validate_json(text)
        return self._attempts[ticket]

    def put_attempt(self, attempt: Attempt) -> None:
        """Keep *attempt* in place of what was there."""
        self._attempts[attempt.ask.ticket] = attempt
        self._changed_attempts.add(attempt.ask.ticket)

    def step(self, step: str) -> StepResult | None:
        """Return the result of *step*, None as long as it has none."""
        text = self.draft.text(step_at(self.run_id, step))
        return None if text is None else StepResult.model_validate_json(text)

    def put_step(self, result: StepResult) -> bool:
        """Keep *result* unless its step has succeeded already; say whether it was taken."""
        before = self.step(result.step)
        if before is not None and before.status is StepStatus.SUCCEEDED:
            return False
        self.draft.put(step_at(self.run_id, result.step), result.model_dump_json())
        return True

    def forget_step(self, step: str) -> None:
        """Forget the result of *step*, which is done again; the commit fails where it has another one meanwhile."""
        self.draft.put(step_at(self.run_id, step), None)

    def results(self) -> tuple[StepResult, ...]:
        """Return the results of all steps in the order of the plan."""
        return results_of(self.draft.fields(run_hash(self.run_id)))

    def kept(self) -> tuple[StepResult, ...]:
        """Return the results that a later epoch does not work for again: what agents gave."""
        return tuple(
            result
            for result in self.results()
            if result.status is StepStatus.SUCCEEDED and result.source is Source.AGENT
        )

    def epochs_of(self, results: Iterable[StepResult]) -> tuple[int, ...]:
        """Return in which epoch each of *results* came to be, as far as attempts tell; 0 where none does."""
        attempts = attempts_of(self.draft.fields(run_hash(self.run_id)))
        known = {attempt.ask.step: attempt.epoch for attempt in attempts if attempt.result_taken}
        return tuple(known.get(result.step, 0) for result in results)

    def uncertain(self) -> tuple[Uncertain, ...]:
        """Return the steps that the epoch before this one left under way and nobody has finished, oldest first."""
        kept = {result.step for result in self.kept()}
        fields = self.draft.fields(run_hash(self.run_id))
        now = (self._attempts.get(each.ask.ticket) or each for each in attempts_of(fields))
        newest = {a.ask.step: a for a in now if a.epoch == self.run.epoch - 1}
        return tuple(
            Uncertain(step=step, ticket=a.ask.ticket, identity=a.ask.identity, remote=a.remote)
            for step, a in newest.items()
            if a.booking is not None and a.settlement is None and step not in kept
        )

    def finish(self, *, new: bool) -> None:
        """Write on the draft whatever has changed; *new*: the run itself was not on record before."""
        if self._open != self.run.open:
            self.run = self.run.model_copy(update={"open": self._open})
        if new or self.run != self._run:
            self._put_run()
        for ticket in self._changed_attempts:
            attempt = self._attempts[ticket]
            if attempt is not None:
                self.draft.put(attempt_at(self.run_id, ticket), attempt.model_dump_json(exclude_defaults=True))
        self.breakers.finish()
        self.slots.finish()
        for name, address in zip(COUNTERS, counters_at(self.run_id), strict=True):
            if delta := getattr(self.budget, name) - getattr(self._budget, name):
                self.draft.add(address, delta)

    def _put_run(self) -> None:
        """Write the run itself, which fences every earlier epoch, and its lease."""
        self.draft.put(run_at(self.run_id), self.run.model_dump_json(exclude_defaults=True))
        held = self.run.status is RunStatus.RUNNING and self.run.lease_until_ms > self.now_ms
        self.draft.rank(LEASES, self.run_id, self.run.lease_until_ms if held else None)
