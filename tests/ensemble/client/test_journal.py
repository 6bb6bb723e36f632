"""What a run has told its ledger, however much that is."""

from __future__ import annotations

from ensemble.client.journal import Journal
from tests.ensemble.rules.asks import admission, closing, first, later, settlement


def test_a_run_of_more_attempts_than_one_exchange_takes_does_not_fail_over_it() -> None:
    """Ten thousand items tried three times each: the ledger refuses it in words, and what the run gave stands."""
    journal = Journal()
    journal.tell(first(1, 2))
    for start in range(100, 20_200, 10_050):
        journal.tell(later(1, 2, settle=tuple(settlement(admission(start + n), ends=False) for n in range(10_050))))

    told = journal.hand_in(closing())

    assert told is not None
    assert (len(told.settle), told.close) == (20_100, closing())
