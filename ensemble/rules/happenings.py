"""What a decision says has happened, once what it changes is written: for whoever counts or follows it, and for no rule.

A decision taken anew says it anew, and what is written already it does not say again: an exchange that is sent twice
admits, settles and closes once. Only a word that writes nothing, *wait* or *refused*, is as often said as it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.contract.breakers import BreakerChange
from ensemble.contract.exchange import AdmissionAsk, Decision, Why
from ensemble.rules.records import About, Attempt, Run

__all__ = [
    "AttemptAdmitted",
    "AttemptLost",
    "AttemptSettled",
    "AttemptTurnedAway",
    "BreakerChanged",
    "EngineLost",
    "Happening",
    "RunClosed",
    "RunOpened",
]


@dataclass(frozen=True, slots=True)
class RunOpened:
    """A run began, or got another engine; its epoch tells which."""

    run_id: str
    run: Run
    about: About

    @property
    def resumed(self) -> bool:
        """Whether another engine had it before."""
        return self.run.epoch > 1


@dataclass(frozen=True, slots=True)
class RunClosed:
    """A run ended: by its engine, or from outside where nobody ran it any more."""

    run_id: str
    run: Run
    about: About | None
    """None where its time to be kept had passed."""


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The lease of a run ended without another word; said once, by the sweep or by whoever takes the run over."""

    run_id: str
    run: Run
    """As its engine left it."""


@dataclass(frozen=True, slots=True)
class AttemptAdmitted:
    """An attempt came on record: it may go out, or had gone out (``attempt.late``) while the ledger did not answer."""

    run_id: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptTurnedAway:
    """An attempt has to wait, or is refused. Said at every ask: whoever waits asks again under the same ticket."""

    run_id: str
    ask: AdmissionAsk
    decision: Decision
    why: Why | None


@dataclass(frozen=True, slots=True)
class AttemptSettled:
    """An attempt ended as ``attempt.settlement`` says."""

    run_id: str
    attempt: Attempt
    after_loss: bool
    """Whether it had been given up as lost before."""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """An attempt was given up: nobody knows how it ended. News of it may come late, or it may be taken up again."""

    run_id: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A breaker began a new life, most often in another state."""

    identity: str
    change: BreakerChange


type Happening = (
    RunOpened
    | RunClosed
    | EngineLost
    | AttemptAdmitted
    | AttemptTurnedAway
    | AttemptSettled
    | AttemptLost
    | BreakerChanged
)
