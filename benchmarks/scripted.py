"""Exchanges without an engine: what a run of four agents in a chain says to the ledger, made in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import AdmissionAsk, CloseRun, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult, Usage

__all__ = ["bodies"]

AGENTS = 4
_RUN, _OWNER = "a" * 32, "b" * 32
_TICKETS = [letter * 32 for letter in "cdef"]
"""One for each agent."""
_IDENTITIES = [f"api:http://dify.example:5001/v1#{number:016x}" for number in range(AGENTS)]
_ANSWER = "Revenue, churn and the number of open tickets stand where they stood a week ago. " * 4


def bodies(client: int) -> Iterator[bytes]:
    """Yield one body after another for ever: runs that are opened, worked through step by step, and closed.

    *client* keeps the ids of several clients apart. A body's epoch is right because every run is new.
    """
    templates = [each.model_dump_json().encode() for each in _exchanges()]
    for number in count():
        fresh = f"{client:08x}{number:016x}"
        for template in templates:
            body = template
            for kind, placeholder in enumerate((_RUN, _OWNER, *_TICKETS)):
                body = body.replace(placeholder.encode(), f"{fresh}{kind:08x}".encode())
            yield body


def _exchanges() -> list[Exchange]:
    opening = Exchange(run_id=_RUN, owner=_OWNER, open=_opening(), admit=(_wish(0),))
    ticks = [
        Exchange(run_id=_RUN, owner=_OWNER, epoch=1, settle=(_news(n),), admit=(_wish(n + 1),))
        for n in range(AGENTS - 1)
    ]
    end = CloseRun(status=RunStatus.SUCCEEDED, answer=_ANSWER)
    closing = Exchange(run_id=_RUN, owner=_OWNER, epoch=1, settle=(_news(AGENTS - 1),), close=end)
    return [opening, *ticks, closing]


def _opening() -> OpenRun:
    steps = (PlannedStep(id=f"s{n}", agent=f"agent{n}", identity=_IDENTITIES[n]) for n in range(AGENTS))
    return OpenRun(
        run_key=_RUN,
        fingerprint="9" * 64,
        trace_id=_RUN,
        task="What changed?",
        pattern="sequential",
        steps=tuple(steps),
        limits=Limits(tokens=10_000_000, calls=1000),
    )


def _wish(number: int) -> AdmissionAsk:
    return AdmissionAsk(
        ticket=_TICKETS[number],
        step=f"s{number}",
        agent=f"agent{number}",
        identity=_IDENTITIES[number],
        timeout_ms=300_000,
        content=_ANSWER,
    )


def _news(number: int) -> Settlement:
    usage = Usage(tokens=360)
    result = StepResult(
        step=f"s{number}",
        agent=f"agent{number}",
        status=StepStatus.SUCCEEDED,
        text=_ANSWER,
        data={"answer": _ANSWER},
        source=Source.AGENT,
        usage=usage,
        attempts=1,
        started_ms=0,
        took_ms=200,
    )
    return Settlement(
        ticket=_TICKETS[number],
        step=f"s{number}",
        identity=_IDENTITIES[number],
        outcome=Outcome.SUCCEEDED,
        usage=usage,
        took_ms=200,
        result=result,
    )
