"""The log of a run: who said what to whom, and which attempt moved a breaker."""

from __future__ import annotations

from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.messages import MessageType
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.rules.addresses import run_hash
from ensemble.rules.runs.log import run_log
from tests.ensemble.rules.asks import admission, agent_of, closing, first, hex_id, later, settlement
from tests.ensemble.rules.store import StrictStore

MINE, THEIRS = 11, 12
RUN, OTHER_RUN = 1, 2


def test_the_log_tells_who_said_what_in_order() -> None:
    store = StrictStore()
    one, three = admission(1, "one"), admission(3, "three")
    store.exchange(first(RUN, MINE, admit=(one, three)))
    store.now_ms += 5
    news = (settlement(one), settlement(three, Outcome.UNAVAILABLE))
    store.exchange(later(RUN, MINE, settle=news, close=closing(RunStatus.PARTIAL)))
    log = run_log(hex_id(RUN), store.hashes[run_hash(hex_id(RUN))])
    said = [(m.message_type, m.sender_agent_id, m.receiver_agent_id, m.task_id) for m in log]
    assert said == [
        (MessageType.STATUS, "System", "System", hex_id(RUN)),
        (MessageType.TASK, "System", agent_of("one"), "one"),
        (MessageType.TASK, "System", agent_of("three"), "three"),
        (MessageType.RESULT, agent_of("one"), "System", "one"),
        (MessageType.ERROR, agent_of("three"), "System", "three"),
        (MessageType.STATUS, "System", "System", hex_id(RUN)),
    ]
    assert (log[3].content.data, log[3].content.task_id) == (f"one by {one.ticket}", "one")
    assert (log[4].error_code, log[4].error_message, log[4].retry_allowed) == (
        "unavailable",
        "it was unavailable",
        True,
    )
    assert len({message.message_id for message in log}) == len(log)
    assert log == run_log(hex_id(RUN), store.hashes[run_hash(hex_id(RUN))])


def test_the_log_tells_which_attempt_moved_a_breaker_and_how() -> None:
    """Opened by the second failure, tried by another run's attempt, opened again; each in its own run's log, once."""
    store = StrictStore()
    twice = BreakerPolicy(failure_threshold=2)
    one, two = (admission(number, breaker=twice) for number in (1, 2))
    store.exchange(first(RUN, MINE, admit=(one, two)))
    for ask in (one, two):
        store.exchange(later(RUN, MINE, settle=(settlement(ask, Outcome.UNAVAILABLE, ends=False),)))
    store.now_ms += 60_000
    probe = admission(3, breaker=twice)
    store.exchange(first(OTHER_RUN, THEIRS, "other", admit=(probe,)))
    store.exchange(later(OTHER_RUN, THEIRS, settle=(settlement(probe, Outcome.UNAVAILABLE, ends=False),)))

    def moves(run: int) -> list[tuple[object, ...]]:
        log = run_log(hex_id(run), store.hashes[run_hash(hex_id(run))])
        told = [each for each in log if isinstance(each.content, dict) and "breaker" in each.content]
        assert all(each.message_type is MessageType.STATUS and each.task_id == "one" for each in told)
        assert len({each.message_id for each in log}) == len(log)
        return [(each.content["before"], each.content["breaker"], each.content["cause"]) for each in told]

    assert moves(RUN) == [("closed", "open", "failures")]
    assert moves(OTHER_RUN) == [("open", "half_open", "recovery"), ("half_open", "open", "probe_failed")]
