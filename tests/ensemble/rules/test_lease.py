"""Who may run a run, as tables: how it stands, who asks, what the asker is."""

from __future__ import annotations

import pytest

from ensemble.contract.exchange import LEASE_MS
from ensemble.contract.outcomes import RunStatus
from ensemble.rules import lease
from ensemble.rules.lease import Standing
from ensemble.rules.records import Run

NOW = 1_000_000
OWNER, FORMER, STRANGER = "a" * 32, "b" * 32, "c" * 32
ENDED = sorted(set(RunStatus) - {RunStatus.RUNNING, RunStatus.SUCCEEDED})


def run(status: RunStatus = RunStatus.RUNNING, left_ms: int = LEASE_MS) -> Run:
    return Run(
        owner=OWNER,
        epoch=3,
        former=(FORMER,),
        lease_until_ms=NOW + left_ms,
        status=status,
        opened_ms=1,
        since_ms=2,
        closed_ms=None if status is RunStatus.RUNNING else NOW,
    )


@pytest.mark.parametrize(
    ("record", "owner", "closing", "standing"),
    [
        pytest.param(None, OWNER, False, Standing.NEW, id="no such run"),
        pytest.param(run(), OWNER, False, Standing.OWNER, id="sent twice"),
        pytest.param(run(left_ms=-1), OWNER, False, Standing.OWNER, id="sent twice after a lapse"),
        pytest.param(run(), STRANGER, False, Standing.FOLLOWER, id="alive"),
        pytest.param(run(), STRANGER, True, Standing.SUPERSEDED, id="handed in late, alive"),
        pytest.param(run(left_ms=1), STRANGER, False, Standing.FOLLOWER, id="alive to the last ms"),
        pytest.param(run(left_ms=0), STRANGER, False, Standing.HEIR, id="lapsed"),
        pytest.param(run(), FORMER, False, Standing.SUPERSEDED, id="taken over, alive"),
        pytest.param(run(left_ms=0), FORMER, False, Standing.SUPERSEDED, id="taken over, lapsed"),
        pytest.param(run(RunStatus.SUCCEEDED), STRANGER, False, Standing.LATE, id="succeeded"),
        pytest.param(run(RunStatus.SUCCEEDED), FORMER, False, Standing.LATE, id="succeeded, former owner"),
        pytest.param(run(RunStatus.SUCCEEDED), OWNER, False, Standing.LATE, id="succeeded, late copy"),
        pytest.param(run(RunStatus.SUCCEEDED), OWNER, True, Standing.OWNER, id="opened and closed, sent twice"),
        pytest.param(run(left_ms=0), STRANGER, True, Standing.SUPERSEDED, id="handed in late, lapsed"),
        *[pytest.param(run(s), STRANGER, True, Standing.SUPERSEDED, id=f"{s}: handed in late") for s in ENDED],
        *[pytest.param(run(s), STRANGER, False, Standing.REOPENER, id=f"{s}: again") for s in ENDED],
        *[pytest.param(run(s), OWNER, False, Standing.LATE, id=f"{s}: late copy") for s in ENDED],
        *[pytest.param(run(s), FORMER, False, Standing.SUPERSEDED, id=f"{s}: former owner") for s in ENDED],
    ],
)
def test_opening(record: Run | None, owner: str, closing: bool, standing: Standing) -> None:  # noqa: FBT001 - a column
    assert lease.open_again(record, owner, NOW, closing=closing) is standing


@pytest.mark.parametrize(
    ("record", "owner", "epoch", "closing", "standing"),
    [
        pytest.param(run(), OWNER, 3, False, Standing.OWNER, id="the owner"),
        pytest.param(run(left_ms=-99), OWNER, 3, False, Standing.OWNER, id="lapsed, but nobody came"),
        pytest.param(run(), OWNER, 2, False, Standing.SUPERSEDED, id="an older epoch"),
        pytest.param(run(), FORMER, 2, False, Standing.SUPERSEDED, id="an owner of old"),
        pytest.param(run(), STRANGER, 3, False, Standing.SUPERSEDED, id="never an owner"),
        pytest.param(run(RunStatus.FAILED), OWNER, 3, True, Standing.OWNER, id="close sent twice"),
        pytest.param(run(RunStatus.FAILED), OWNER, 3, False, Standing.LATE, id="after the end"),
        pytest.param(run(RunStatus.FAILED), FORMER, 2, True, Standing.SUPERSEDED, id="close of old"),
    ],
)
def test_carrying_on(record: Run, owner: str, epoch: int, closing: bool, standing: Standing) -> None:  # noqa: FBT001
    assert lease.carry_on(record, owner, epoch, closing=closing) is standing


def test_a_lease_ends_with_the_run() -> None:
    assert lease.left_ms(run(left_ms=5), NOW) == 5
    assert lease.left_ms(run(left_ms=-5), NOW) == 0
    assert lease.left_ms(run(RunStatus.FAILED), NOW) == 0


def test_a_run_remembers_its_last_owners_only() -> None:
    record = run()
    for number in range(50):
        record = lease.hand_over(record, f"{number:032x}", NOW, LEASE_MS)
    assert record.epoch == 53
    assert record.former == tuple(f"{number:032x}" for number in range(49 - lease.FORMER_KEPT, 49))
