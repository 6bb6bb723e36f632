"""Short ways to tell the stories that spans are made of."""

from __future__ import annotations

from functools import partial
from typing import Any

from ensemble.contract.exchange import LEASE_MS, AdmissionAsk
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.rules.runs.ending import ending_wants, sweep
from sidecar.traces.spans import Span
from tests.ensemble.rules.asks import admission, hex_id
from tests.ensemble.rules.store import StrictStore
from tests.sidecar.traces.laws import last_spans

RUN, MINE, THEIRS = 1, 11, 12
SECRET = "what only the two of them know"
START_MS = 1_000_000


def named(store: StrictStore) -> dict[str, Span]:
    """Return the spans of the stretch that ended last, by name."""
    return {each.name: each for each in last_spans(store)}


def result(step: str, status: StepStatus, code: Any = None, **more: Any) -> StepResult:
    """Return how a step ended that had no attempt to tell it."""
    error = None if code is None else ErrorInfo(code=code, message=SECRET)
    return StepResult(step=step, agent="left", status=status, error=error, **more)


def called(ticket: int, identity: str) -> AdmissionAsk:
    """Return the ask for a call to the agent with this identity."""
    return admission(ticket).model_copy(update={"identity": identity})


def swept(store: StrictStore) -> None:
    """Let the lease end, and the sweep come round."""
    store.now_ms += LEASE_MS
    store.apply(partial(sweep, hex_id(RUN)), ending_wants(hex_id(RUN)))
