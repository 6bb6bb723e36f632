"""Runs inside the calls of runs, as engines open them: short ways to say who calls whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Admission, AdmissionAsk, Exchange, ExchangeAnswer, Parent
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.contract.runs import RunView
from ensemble.rules.addresses import run_hash
from ensemble.rules.runs.views import run_view
from tests.ensemble.rules.asks import closing, hex_id, opening, settlement
from tests.ensemble.rules.store import StrictStore

LATER_MS = 50
"""How long a call takes to get where the next run is opened."""


@dataclass
class Member:
    """One run, as its engine knows it."""

    store: StrictStore
    run_id: str
    owner: str
    answer: ExchangeAnswer
    asks: dict[str, AdmissionAsk] = field(default_factory=dict)

    def call(self, ticket: int, identity: str, **more: Any) -> Admission:
        """Ask for a call to the agent of *identity*, named like the end of it."""
        ask = wish(ticket, identity, **more)
        (told,) = self.tell(admit=(ask,)).admissions
        self.asks[ask.ticket] = ask
        return told

    def end(self, ticket: int, tokens: int | None = 100, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        """Tell how a call ended."""
        self.tell(settle=(settlement(self.asks[hex_id(ticket)], outcome, usage=Usage(tokens=tokens)),))

    def close(self) -> None:
        """Close the run."""
        self.tell(close=closing())

    def tell(self, **more: Any) -> ExchangeAnswer:
        """Send one of its later exchanges."""
        return self.store.exchange(Exchange(run_id=self.run_id, owner=self.owner, epoch=self.answer.run.epoch, **more))

    def parent(self, ticket: int, **more: Any) -> Parent:
        """Return what a token of this call's names."""
        return Parent(
            run_id=self.run_id, ticket=hex_id(ticket)[-12:] if more.pop("cut", False) else hex_id(ticket), **more
        )

    def view(self) -> RunView:
        """Return it as it is shown."""
        return run_view(self.run_id, self.store.hashes[run_hash(self.run_id)], self.store.now_ms)

    def counter(self, name: str) -> int:
        """Return one of its counters."""
        return self.store.counter(run_hash(self.run_id), name)


def wish(ticket: int, identity: str, **more: Any) -> AdmissionAsk:
    """Return the ask for a call; each has a step of its own."""
    name = identity.partition(":")[2].partition("#")[0] or identity
    return AdmissionAsk(
        ticket=hex_id(ticket),
        step=f"s{ticket}",
        agent=more.pop("agent", name),
        identity=identity,
        **{"timeout_ms": 5_000, **more},
    )


def opened(
    store: StrictStore, number: int, app: str | None = None, limits: Limits | None = None, **more: Any
) -> Member:
    """Open run number *number* in *app*, a moment later."""
    store.now_ms += LATER_MS
    terms = opening(f"key {more.pop('key', number)}", limits, caller=app, **more)
    ask = Exchange(run_id=hex_id(number), owner=hex_id(1000 + number), open=terms)
    answer = store.exchange(ask)
    assert store.exchange(ask) == answer, "the same ask gets the same answer"
    return Member(store, answer.run.run_id, ask.owner, answer)


def left_over(store: StrictStore) -> dict[str, int]:
    """Return every counter of what is reserved or held that is not zero, and every call on a list."""
    found = {
        f"{key} {name}": int(text)
        for key, fields in store.hashes.items()
        for name, text in fields.items()
        if key.startswith("run:") and name.endswith(("_reserved", "_held")) and int(text)
    }
    return found | {key: len(fields) for key, fields in store.hashes.items() if key.startswith("going:") and fields}
