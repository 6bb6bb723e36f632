"""Shared state and messages from Dify's side: real plugin process, real sidecar, several workflows at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import urllib3

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.updating import update_atomic
from ensemble.client.wire import connections
from ensemble.contract.mailboxes import MailboxParams, Receive, Send, TraceLogParams
from ensemble.contract.state import Append, Increment, StateParams, TraceParams
from plugin.errors import SidecarUnavailable
from tests.processes import workers_of
from tests.standin.apps import App
from tests.standin.invocation import Result
from tests.standin.parameters import variable
from tests.standin.world import World
from tests.together.team import Team


@pytest.fixture
def w(scene: World) -> World:
    """The world of this folder."""
    return scene


@pytest.fixture
def sidecar(w: World) -> SidecarLedger:
    """The sidecar's client."""
    return SidecarLedger(w.sidecar.url, w.sidecar.token, connections())


def call(w: World, tool: str, **given: Any) -> Result:
    """Call a tool as a workflow does, and require that the node is green."""
    result = attempt(w, tool, **given)
    assert result.error is None, result.error
    return result


def attempt(w: World, tool: str, **given: Any) -> Result:
    """Call a tool as a workflow does."""
    values = {name: each if isinstance(each, str) else variable(each) for name, each in given.items()}
    return w.plugin.invoke(tool, values, w.credentials()).result()


def state(w: World, operation: str, **given: Any) -> dict[str, Any]:
    """Call the shared state tool and return its variables."""
    return call(w, "shared_state", operation=operation, **given).variables


def message(w: World, operation: str, **given: Any) -> dict[str, Any]:
    """Call the messenger and return its variables."""
    return call(w, "messenger", operation=operation, **given).variables


def test_two_workflows_share_state(w: World) -> None:
    """One counts, collects and leaves results; the other reads them, each value in its type."""

    def branch(name: str) -> None:
        for number in range(5):
            state(w, "increment", trace_id="s", key="visits")
            state(w, "append", trace_id="s", key="findings", value=f"{name} {number}")
            state(w, "add", trace_id="s", key="done", value=name)
            state(w, "merge", trace_id="s", key="progress", value={name: number})
        state(w, "put", trace_id="s", key="result", value={"by": name, "n": 5}, agent=name, namespace=name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(branch, ["market", "tech", "law", "news"]))

    assert state(w, "get", trace_id="s", key="visits")["number"] == 20
    assert len(set(state(w, "get", trace_id="s", key="findings")["items"])) == 20
    assert sorted(state(w, "get", trace_id="s", key="done")["items"]) == ["law", "market", "news", "tech"]
    assert state(w, "get", trace_id="s", key="progress")["object"] == dict.fromkeys(
        ["market", "tech", "law", "news"], 4
    )
    assert state(w, "get", trace_id="s", key="result", namespace="tech")["object"] == {"by": "tech", "n": 5}
    listed = state(w, "list", trace_id="s", key="")
    assert [entry["key"] for entry in listed["entries"]] == ["done", "findings", "progress", "visits"]
    assert listed["object"]["visits"] == 20


def test_a_no_of_shared_state_is_an_answer_a_workflow_can_branch_on(w: World) -> None:
    """A value that is not there, a version that is not the newest, a set that has it already."""
    missing = call(w, "shared_state", operation="get", trace_id="n", key="k")
    assert (missing.variables["done"], missing.variables["found"], missing.variables["type"]) == (False, False, "none")
    assert "holds no 'k'" in missing.text

    first = state(w, "put", trace_id="n", key="k", value="mine", expected_version=0)
    second = state(w, "put", trace_id="n", key="k", value="yours", expected_version=0)
    assert ((first["done"], first["version"]), (second["done"], second["version"])) == ((True, 1), (False, 1))
    assert "version 1" in second["problem"]
    assert call(w, "shared_state", operation="get", trace_id="n", key="k").text == "mine"
    assert [state(w, "add", trace_id="n", key="s", value="x")["done"] for _ in range(2)] == [True, False]
    assert [state(w, "delete", trace_id="n", key="k", expected_version=1)["done"] for _ in range(2)] == [True, False]
    many = state(w, "put_many", trace_id="n", value={"a": 1, "b": [2]}, agent="law", namespace="law")
    assert [entry["version"] for entry in many["entries"]] == [1, 1]
    assert state(w, "get_many", trace_id="n", key="b, c, a", namespace="law")["object"] == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (
            {"operation": "put", "key": "k", "value": "x"},
            "SidecarRefused",
            "expected_version: missing Send the version",
        ),
        ({"operation": "put", "key": "k", "value": "x", "namespace": "law"}, "SidecarRefused", "belongs to 'law'"),
        ({"operation": "append", "key": "", "value": "x"}, "BadParameters", "key: is empty."),
        ({"operation": "put", "key": "..", "value": "x"}, "BadParameters", "key: "),
    ],
)
def test_what_shared_state_refuses_fails_the_node_in_words(
    w: World, given: dict[str, str], kind: str, words: str
) -> None:
    """Naming the field and the fix."""
    error = attempt(w, "shared_state", trace_id="r", **given).error

    assert error is not None
    assert error.error_type == kind
    assert words in error.message


def test_a_workflow_hands_work_to_another_and_gets_its_answer(w: World) -> None:
    """Task, acknowledgement, result; every message stands in the trace's log."""
    message(w, "register", trace_id="m", agent="boss, market")
    sent = message(w, "send", trace_id="m", agent="boss", to="market", content={"q": "size?"}, priority=9)
    got = message(w, "receive", trace_id="m", agent="market")
    task = got["messages"][0]
    assert (task["sender"], task["type"], task["data"], task["priority"]) == ("boss", "task", {"q": "size?"}, 9)
    assert (got["message_id"], got["count"]) == (sent["message_id"], 1)

    message(
        w,
        "send",
        trace_id="m",
        agent="market",
        to="boss",
        content="big",
        message_type="result",
        task_id=task["task_id"],
    )
    assert message(w, "acknowledge", trace_id="m", agent="market", receipt=got["receipt"])["outcome"] == "acknowledged"
    again = message(w, "acknowledge", trace_id="m", agent="market", receipt=got["receipt"])
    assert (again["done"], again["outcome"]) == (False, "gone")
    answer = message(w, "receive", trace_id="m", agent="boss", acknowledge="at_once", wait_s=1)
    assert (answer["content"], answer["messages"][0]["task_id"]) == ("big", sent["message_id"])
    assert message(w, "receive", trace_id="m", agent="boss")["outcome"] == "empty"
    assert [each["content"] for each in message(w, "log", trace_id="m")["messages"]] == ['{"q": "size?"}', "big"]


def test_a_rejected_message_dies_is_told_and_comes_back(w: World) -> None:
    """The sender reads why; the dead letter is listed and re-driven."""
    message(w, "register", trace_id="d", agent="boss, market")
    message(w, "send", trace_id="d", agent="boss", to="market", content="?")
    got = message(w, "receive", trace_id="d", agent="market")
    rejected = message(
        w, "reject", trace_id="d", agent="market", receipt=got["receipt"], retry="no", reason="not a question"
    )
    told = message(w, "receive", trace_id="d", agent="boss")["messages"][0]
    letters = message(w, "dead_letters", trace_id="d", agent="market")

    assert rejected["outcome"] == "dead"
    assert (told["sender"], told["error_code"], told["error_message"]) == (
        "System",
        "PROCESSING_ERROR",
        "not a question",
    )
    assert [each["reason"] for each in letters["messages"]] == ["not a question"]
    assert message(w, "redrive", trace_id="d", agent="market")["count"] == 1
    assert message(w, "receive", trace_id="d", agent="market")["content"] == "?"
    views = {view["agent"]: view for view in message(w, "mailboxes", trace_id="d")["mailboxes"]}
    assert (views["market"]["leased"], views["market"]["dead"]) == (1, 0)


def test_an_unknown_receiver_fails_the_node_and_names_the_near_match(w: World) -> None:
    """Nothing was sent."""
    message(w, "register", trace_id="u", agent="market")
    error = attempt(w, "messenger", operation="send", trace_id="u", agent="a", to="markt", content="x").error

    assert error is not None
    assert error.error_type == "SidecarRefused"
    assert "Did you mean 'market'?" in error.message


def test_one_producer_three_consumers_one_of_them_dies(w: World) -> None:
    """What the dying one held comes to the others; every message is handled and acknowledged once."""
    message(w, "register", trace_id="c", agent="work")
    sent = [message(w, "send", trace_id="c", agent="boss", to="work", content=str(n))["message_id"] for n in range(24)]
    # One that received and was never heard of again.
    dead = message(w, "receive", trace_id="c", agent="work", limit=5, lease_s=1)
    assert dead["count"] == 5

    def consume(_: int) -> list[str]:
        handled: list[str] = []
        while True:
            got = message(w, "receive", trace_id="c", agent="work", wait_s=2)
            if not got["done"]:
                return handled
            if message(w, "acknowledge", trace_id="c", agent="work", receipt=got["receipt"])["done"]:
                handled.append(got["message_id"])

    with ThreadPoolExecutor(2) as pool:
        handled = [each for part in pool.map(consume, range(2)) for each in part]

    assert sorted(handled) == sorted(sent)


def test_the_log_of_a_trace_holds_the_orchestrators_messages_too(
    w: World, sidecar: SidecarLedger, make_team: Callable[..., Team]
) -> None:
    """In one order with those sent by the messenger; a follower sees them as well."""
    message(w, "register", trace_id="l", agent="market")
    message(w, "send", trace_id="l", agent="boss", to="market", content="before")
    assert make_team(App(name="market")).run("how big?", pattern="sequential", trace_id="l").error is None
    message(w, "send", trace_id="l", agent="boss", to="market", content="after")

    messages = sidecar.get_trace_log(TraceLogParams(trace_id="l")).messages
    contents = [each.content for each in messages]
    assert contents[0] == "before"
    assert contents[-1] == "after"
    assert [str(each.message_type) for each in messages[1:-1]] == ["status", "task", "result", "status"]
    following = sidecar.follow_trace(TraceLogParams(trace_id="l"))
    assert [next(following).message_id for _ in messages] == [each.message_id for each in messages]


def test_killed_workers_of_the_server_lose_no_update_and_no_message(w: World, sidecar: SidecarLedger) -> None:
    """Writers go on through it: what was answered is there, and nothing is there that nobody asked for."""
    at = StateParams(trace_id="k", namespace="shared", key="n")
    items = StateParams(trace_id="k", namespace="shared", key="items")
    message(w, "register", trace_id="k", agent="work")

    def write(name: int) -> tuple[int, int, list[str]]:
        asked = answered = 0
        kept = []
        for number in range(40):
            asked += 1
            try:
                sidecar.increment_state(at, Increment(writer="a"))
                answered += 1
                sidecar.append_state(items, Append(writer="a", items=(f"{name}/{number}",)))
                kept.append(f"{name}/{number}")
            except SidecarUnavailable:
                pass
            for _ in range(20):  # the same id again is the same message
                try:
                    ask = Send(message_id=f"{name}-{number}", sender_agent_id="a", receiver_agent_id="work")
                    sidecar.send_message(TraceParams(trace_id="k"), ask)
                    break
                except SidecarUnavailable:
                    continue
        return asked, answered, kept

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, name) for name in range(4)]
        killed = 0
        while killed < 3 and not all(each.done() for each in writing):
            victims = workers_of(w.sidecar.pid)
            if victims:
                os.kill(min(victims), signal.SIGKILL)
                killed += 1
            wait(writing, timeout=0.1)  # so that there is something between two of them
        told = [each.result() for each in writing]

    assert killed > 0
    value = sidecar.get_state(at).value
    assert sum(answered for _, answered, _ in told) <= value <= sum(asked for asked, _, _ in told)
    there = sidecar.get_state(items).value
    assert len(there) == len(set(there))
    assert {each for _, _, kept in told for each in kept} <= set(there)
    received: set[str] = set()
    while got := sidecar.receive_messages(MailboxParams(trace_id="k", agent="work"), Receive(at_most=100)).deliveries:
        received |= {each.message.message_id for each in got}
    assert received == {f"{name}-{number}" for name in range(4) for number in range(40)}


def test_a_function_updates_a_value_through_the_wire(sidecar: SidecarLedger) -> None:
    """Four writers, every word kept."""
    at = StateParams(trace_id="f", namespace="shared", key="words")

    def work(name: int) -> None:
        for number in range(5):

            def add(value: list[str], word: str = f"{name}/{number}") -> list[str]:
                return [*value, word]

            update_atomic(sidecar, at, add, writer="a", default=[])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(set(sidecar.get_state(at).value)) == 20


def test_half_of_the_threads_wait_and_the_rest_still_serves(w: World) -> None:
    """Fourteen who wait fill the places of both workers; another request is answered at once, those beyond hear 503."""
    pool = urllib3.PoolManager(maxsize=32, retries=False)
    headers = {"Authorization": f"Bearer {w.sidecar.token}", "Content-Type": "application/json"}
    message(w, "register", trace_id="h", agent="work")
    url = f"{w.sidecar.url}/v1/traces/h/mailboxes/work/deliveries"

    def receive(_: int) -> tuple[int, str | None]:
        said = pool.request("POST", url, body=b'{"wait_ms": 1500}', headers=headers)
        return said.status, said.headers.get("Retry-After")

    with ThreadPoolExecutor(14) as threads:
        waiting = threads.map(receive, range(14))
        assert pool.request("GET", f"{w.sidecar.url}/v1/health/ready", timeout=2).status == 200
        said = list(waiting)

    assert {status for status, _ in said} == {200, 503}
    assert {after for status, after in said if status == 503} == {"1"}
