"""How long an exchange waits for its answer: as long as what it tells is much."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import override

import pytest

from ensemble.client.errors import SidecarUnavailable
from ensemble.client.links import Links
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.exchange import Exchange, ExchangeAnswer, Role, RunHead, Settlement
from ensemble.contract.outcomes import Outcome
from tests.ensemble.client.test_links import Echo, Server, listening

TAKES_S, PATIENCE_S = 0.4, 0.1
RUN = "0" * 32


class Slow(Echo):
    """Answers every exchange, but not at once."""

    @override
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(TAKES_S)
        head = RunHead(run_id=RUN, epoch=1, role=Role.OWNER, lease_ms=1)
        self.answer(ExchangeAnswer(run=head).model_dump_json().encode())


@pytest.fixture
def ledger() -> Iterator[SidecarLedger]:
    with listening(Server(("127.0.0.1", 0), Slow)) as address:
        yield SidecarLedger(address, "token", Links(read_s=PATIENCE_S))


def telling(many: int) -> Exchange:
    """Return an exchange that settles so many attempts."""
    news = Settlement(ticket=RUN, step="one", outcome=Outcome.SUCCEEDED, took_ms=1)
    return Exchange(run_id=RUN, owner=RUN, epoch=1, settle=(news,) * many)


def test_a_run_of_thousands_of_attempts_is_handed_in_though_that_takes_longer(ledger: SidecarLedger) -> None:
    """Given up as lost, it would be sent again and again, and never be answered in time."""
    assert ledger.exchange(telling(5_000)).run.role is Role.OWNER


def test_a_sidecar_that_is_told_little_has_to_answer_soon(ledger: SidecarLedger) -> None:
    with pytest.raises(SidecarUnavailable):
        ledger.exchange(telling(3))
