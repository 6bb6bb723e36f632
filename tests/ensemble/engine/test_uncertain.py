"""A step that was under way when its engine died is done again, given up or asked after, as the plan says."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.exchange import LEASE_MS, Remote
from ensemble.contract.outcomes import Outcome, RunStatus, Source
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.ledger.book import Book
from ensemble.engine.run import run
from ensemble.engine.threads import ThreadRunner
from tests.ensemble.engine.kit import Scripted, bad, good, play, request, slow

REMOTE = Remote(task_id="t", workflow_run_id="w")


class Askable(Scripted):
    """An agent that can say what became of an earlier call."""

    def __init__(self, answer: Reply) -> None:
        super().__init__("b", [self.lasting, good("again")])
        self.answer = answer
        self.asked: list[Remote] = []

    def lasting(self, call: Call, scope: CallScope) -> Reply:
        """Tell the run's id, then take long."""
        scope.reached(REMOTE)
        return slow(0.5)(call, scope)

    def reconcile(self, remote: Remote, _call: Call, _scope: CallScope) -> Reply:
        """Say what it was told to say."""
        self.asked.append(remote)
        return self.answer


def plan(on_uncertain: str) -> dict[str, Any]:
    """Return a plan whose second step is the one in question."""
    return {"steps": [{"id": "b", "agent": "b", "on_uncertain": on_uncertain}, {"id": "c", "agent": "c"}]}


def died(book: Book, on_uncertain: str, agent: Scripted) -> None:
    """Let an engine die while the agent works: its generator is left where it stands, its lease ends."""
    going = run(
        request(plan(on_uncertain), {"b": agent, "c": Scripted("c")}, run_key="k"),
        ledger=book,
        runner=ThreadRunner(),
        hosts=Hosts(),
    )
    for event in going:
        if "c succeeded" in getattr(event, "line", ""):
            break
    GRAVEYARD.append(going)


GRAVEYARD: list[Any] = []
"""Keeps dead engines from being collected, which would close them in good order."""


def clocked() -> tuple[Book, list[int]]:
    """Return a book and how far its clock is ahead, milliseconds."""
    ahead = [0]
    return Book(clock=lambda: time.time_ns() // 1_000_000 + ahead[0]), ahead


@pytest.mark.parametrize("on_uncertain", ["retry", "fail", "reconcile"])
def test_what_the_plan_says_is_done(on_uncertain: str) -> None:
    """Done again with a warning; given up, and said so; asked after, and not called again."""
    book, ahead = clocked()
    agent = Askable(good("it had done it"))
    died(book, on_uncertain, agent)
    ahead[0] = LEASE_MS

    played = play(plan(on_uncertain), {"b": agent, "c": Scripted("c")}, ledger=book, run_key="k")

    status, text = played.by_step["b"].status.value, played.by_step["b"].text
    warned = any("b: an earlier call died" in warning for warning in played.report.warnings)
    calls, asked = len(agent.calls), agent.asked
    assert (status, text, warned, calls, asked) == {
        "retry": ("succeeded", "again", True, 2, []),
        "fail": ("uncertain", "", False, 1, []),
        "reconcile": ("succeeded", "it had done it", False, 1, [REMOTE]),
    }[on_uncertain]
    view = book.run(played.report.run_id)
    assert view.budget.calls_reserved == 0


def test_where_nobody_can_tell_the_step_stays_uncertain() -> None:
    """And is not called again behind the builder's back; a repeated call of the tool does it."""
    book, ahead = clocked()
    agent = Askable(Reply(outcome=Outcome.UNCERTAIN, message="gone"))
    died(book, "reconcile", agent)
    ahead[0] = LEASE_MS

    agents = {"b": agent, "c": Scripted("c")}
    first = play(plan("reconcile"), agents, ledger=book, run_key="k")
    assert (first.statuses()["b"], first.report.status, len(agent.calls)) == ("uncertain", RunStatus.PARTIAL, 1)

    again = play(plan("reconcile"), agents, ledger=book, run_key="k")
    assert (again.statuses()["b"], again.report.status, len(agent.calls)) == ("succeeded", RunStatus.SUCCEEDED, 2)


@pytest.mark.parametrize(
    ("answer", "further", "wanted"),
    [
        (good("it had done it"), True, ("it had done it", Source.BACKUP, "x", None)),
        (bad(message="it had not"), True, ("from d", Source.BACKUP, "d", None)),
        (bad(message="it had not"), False, ("", None, "b", Outcome.AGENT_FAILED)),
        (Reply(outcome=Outcome.UNCERTAIN, message="gone"), True, ("", None, "b", Outcome.UNCERTAIN)),
    ],
)
def test_a_backup_is_asked_after_at_its_own_app(answer: Reply, further: bool, wanted: Any) -> None:  # noqa: FBT001
    """Not the agent it stood in for, which never heard of that run; what it says counts as a backup's word."""
    book, ahead = clocked()
    hosts, backup, other = Hosts(), Askable(answer), Scripted("d", [good("from d")], host="http://three")
    backup.host = "http://two"
    agents = {"b": Scripted("b0", [bad(Outcome.REJECTED)]), "x": backup, "d": other}
    agents["c"] = Scripted("c", [slow(0.2)], host="http://four")
    backed = {
        "agents": {"x": {"fallback": "d"} if further else {}},
        "steps": [{"id": "b", "agent": "b", "on_uncertain": "reconcile", "fallback": "x"}, {"id": "c", "agent": "c"}],
    }
    going = run(request(backed, agents, run_key="k"), ledger=book, runner=ThreadRunner(), hosts=Hosts())
    assert any("c succeeded" in getattr(event, "line", "") for event in going)
    GRAVEYARD.append(going)
    ahead[0] = LEASE_MS

    played = play(backed, agents, ledger=book, run_key="k", hosts=hosts, timeout_s=20)

    assert backup.asked == [REMOTE]
    assert len(agents["b"].calls) == len(backup.calls) == 1
    got = played.by_step["b"]
    assert (got.text, got.source, got.agent, got.error and got.error.code) == wanted
    assert played.seconds < 5
    assert [hosts.taken(f"http://{name}") for name in ("one", "two", "three")] == [0, 0, 0]
