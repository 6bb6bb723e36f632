"""An engine by hand, which talks to the ledger in this process or to a real sidecar."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import urllib3

from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    PlannedStep,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult, Usage
from tests.standin.world import SidecarProcess

IDENTITY = "api:http://dify.example/v1#0123456789abcdef"
TIMEOUT_S = 10.0


type Send = Callable[[Exchange], ExchangeAnswer]


def over_http(sidecar: SidecarProcess) -> Send:
    """Return what sends exchanges to *sidecar*."""
    http = urllib3.PoolManager()
    headers = {"Authorization": f"Bearer {sidecar.token}", "Content-Type": "application/json"}

    def send(ask: Exchange) -> ExchangeAnswer:
        url, body = f"{sidecar.url}/v1/exchange", ask.model_dump_json()
        answer = http.request("POST", url, body=body, headers=headers, retries=False, timeout=TIMEOUT_S)
        assert answer.status == 200, answer.data
        return ExchangeAnswer.model_validate_json(answer.data)

    return send


class Engine:
    """One engine and its run."""

    def __init__(self, send: Send, run_key: str = "") -> None:
        """Run one, and *send* what there is to say."""
        self.run_id, self._owner = uuid.uuid4().hex, uuid.uuid4().hex
        self.trace_id = uuid.uuid4().hex
        self.epoch = 1
        self._key = run_key or self.run_id
        self._send = send

    def open(self, *steps: str) -> list[AdmissionAsk]:
        """Open it and admit an attempt at each of *steps*."""
        planned = tuple(PlannedStep(id=each, agent="market", identity=IDENTITY) for each in steps)
        opening = OpenRun(
            run_key=self._key, fingerprint="f" * 64, trace_id=self.trace_id, pattern="parallel", steps=planned
        )
        asks = [
            AdmissionAsk(ticket=uuid.uuid4().hex, step=each, agent="market", identity=IDENTITY, timeout_ms=5_000)
            for each in steps
        ]
        told = self.say(epoch=None, open=opening, admit=tuple(asks))
        self.run_id, self.epoch = told.run.run_id, told.run.epoch
        return asks

    def close(self, asks: list[AdmissionAsk], status: RunStatus = RunStatus.SUCCEEDED) -> None:
        """Settle *asks* and close it."""
        news = tuple(
            Settlement(
                ticket=each.ticket,
                step=each.step,
                outcome=Outcome.SUCCEEDED,
                took_ms=1,
                usage=Usage(tokens=3),
                result=StepResult(
                    step=each.step, agent="market", status=StepStatus.SUCCEEDED, text="said", source=Source.AGENT
                ),
            )
            for each in asks
        )
        self.say(settle=news, close=CloseRun(status=status, answer="said"))

    def run(self, *steps: str) -> str:
        """Run it as a whole, and return its id."""
        self.close(self.open(*steps))
        return self.run_id

    def say(self, **more: Any) -> ExchangeAnswer:
        """Send one exchange, twice: answers get lost."""
        ask = Exchange(run_id=self.run_id, owner=self._owner, **{"epoch": self.epoch, **more})
        self._send(ask)
        return self._send(ask)
