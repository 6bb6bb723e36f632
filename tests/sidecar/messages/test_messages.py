"""Messages over HTTP: who may send what, the order, waiting, failing, what is told, and how long things are kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from operator import itemgetter
from typing import Any

import pytest
from flask import Flask

from sidecar.messages import mailboxes
from tests.sidecar.runs.opening import a_finished_run

type Ask = Callable[..., Any]
TRACE = "/v1/traces/trace-1"
ROOM = "/v1/traces/trace-1/mailboxes"


@pytest.fixture
def send(ask: Ask) -> Callable[..., Any]:
    """Send from tech to market, both with a mailbox."""
    for agent in ("market", "tech"):
        assert ask("PUT", f"{ROOM}/{agent}", {"max_deliveries": 2}).json == {"agent": agent, "created": True}

    def sending(content: Any = None, **more: Any) -> Any:
        body = {"sender_agent_id": "tech", "receiver_agent_id": "market", "content": content, **more}
        return ask("POST", f"{TRACE}/messages", body)

    return sending


def received(ask: Ask, agent: str = "market", **more: Any) -> list[Any]:
    """Return what *agent* receives."""
    said = ask("POST", f"{ROOM}/{agent}/deliveries", more)
    assert said.status_code == 200, said.text
    deliveries: list[Any] = said.json["deliveries"]
    return deliveries


def test_the_most_urgent_comes_first_and_the_oldest_of_equals(ask: Ask, send: Callable[..., Any]) -> None:
    """Also where it was handed out before and came back."""
    for number, priority in enumerate([5, 9, 5, 1, 9]):
        send(number, task_priority=priority)
    (first,) = received(ask)
    ask("POST", f"{ROOM}/market/rejections", {"receipt": first["receipt"], "retry_after_ms": 0})

    assert [1, 4, 0, 2, 3] == [each["message"]["content"] for each in received(ask, at_most=9)]


def test_a_receiver_without_a_mailbox_is_an_error_that_names_the_near_match(ask: Ask, send: Callable[..., Any]) -> None:
    """Nothing is kept of such a message."""
    said = send(receiver_agent_id="markt")

    assert (said.status_code, said.json["errors"][0]["field"]) == (404, "receiver_agent_id")
    assert "Did you mean 'market'?" in said.json["errors"][0]["fix"]
    assert ask("GET", f"{TRACE}/messages").json["messages"] == []
    assert ask("POST", f"{ROOM}/nobody/deliveries", {}).status_code == 404
    assert ask("GET", f"{ROOM}/nobody/dead-letters").status_code == 404


def test_a_message_arrives_as_it_was_sent_dated_by_the_store(ask: Ask, send: Callable[..., Any]) -> None:
    """Every digit and letter; whose name is not given is called by its id."""
    content = {"n": 12345678901234567890, "f": 1e22, "t": 'é"\n', "none": None, "empty": []}
    sent = send(content, message_id="m/1", message_type="result", task_id="step one", retry_allowed=True)
    (delivery,) = received(ask)

    assert sent.json == {"message_id": "m/1", "duplicate": False}
    assert abs(time.time() - _unix(delivery["message"].pop("timestamp"))) < 60
    assert delivery["message"] == {
        "message_id": "m/1",
        "trace_id": "trace-1",
        "sender_agent_id": "tech",
        "sender_agent_name": "tech",
        "receiver_agent_id": "market",
        "message_type": "result",
        "content": content,
        "task_id": "step one",
        "task_priority": 5,
        "error_code": None,
        "error_message": None,
        "retry_allowed": True,
    }


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_same_id_is_the_same_message(ask: Ask, send: Callable[..., Any]) -> None:
    """Sent again it is kept once, even when it was handled long ago; another one under its id is refused."""
    send("x", message_id="m")
    (delivery,) = received(ask)
    ask("POST", f"{ROOM}/market/acknowledgements", {"receipt": delivery["receipt"]})

    assert send("x", message_id="m").json == {"message_id": "m", "duplicate": True}
    assert received(ask) == []
    other = send("y", message_id="m")
    assert (other.status_code, other.json["errors"][0]["field"]) == (409, "message_id")


def test_a_delivery_is_acknowledged_once_and_only_by_its_newest_receipt(
    ask: Ask, send: Callable[..., Any], redis: Any, tenant: str
) -> None:
    """Who was too slow hears that it is not his any more."""
    send("x")
    (old,) = received(ask)
    redis.zadd(f"ens:{{{tenant}}}:mailbox:trace-1:market:leased", dict.fromkeys([old["message"]["message_id"]], 1))
    (new,) = received(ask)
    said = [
        ask("POST", f"{ROOM}/market/acknowledgements", {"receipt": each["receipt"]}).json["acknowledged"]
        for each in (old, new, new)
    ]

    assert new["deliveries"] == 2
    assert said == [False, True, False]
    assert ask("POST", f"{ROOM}/market/renewals", {"receipt": new["receipt"]}).json == {"renewed": False}


def test_a_late_acknowledgement_counts_as_long_as_nobody_else_was_given_the_message(
    ask: Ask, send: Callable[..., Any], redis: Any, tenant: str
) -> None:
    """Both leases end; the one that waits again is done, and is never delivered again."""
    for number in range(2):
        send(number)
    first, second = received(ask, at_most=2)
    ids = [each["message"]["message_id"] for each in (first, second)]
    redis.zadd(f"ens:{{{tenant}}}:mailbox:trace-1:market:leased", dict.fromkeys(ids, 1))
    (again,) = received(ask)

    assert again["message"]["message_id"] == ids[0]
    late = ask("POST", f"{ROOM}/market/acknowledgements", {"receipt": second["receipt"]})
    assert late.json == {"acknowledged": True}
    assert received(ask) == []
    assert ask("GET", ROOM).json["mailboxes"][0]["waiting"] == 0


def test_a_failed_message_is_retried_then_dead_and_its_sender_is_told(ask: Ask, send: Callable[..., Any]) -> None:
    """By the router itself, with the reason; and a re-drive brings it back."""
    message_id = send("x", task_id="step", task_priority=7).json["message_id"]
    outcomes = []
    for _ in range(2):
        (delivery,) = received(ask, wait_ms=2000)
        body = {"receipt": delivery["receipt"], "reason": "can't read it", "retry_after_ms": 20}
        outcomes.append(ask("POST", f"{ROOM}/market/rejections", body).json["outcome"])
    (told,) = (each["message"] for each in received(ask, "tech"))
    (letter,) = ask("GET", f"{ROOM}/market/dead-letters").json["dead_letters"]

    assert outcomes == ["retried", "dead"]
    assert (told["sender_agent_id"], told["message_type"], told["error_code"]) == (
        "System",
        "error",
        "PROCESSING_ERROR",
    )
    assert (told["error_message"], told["task_id"], told["task_priority"]) == ("can't read it", "step", 7)
    assert told["content"] == {"message_id": message_id, "receiver_agent_id": "market"}
    assert (letter["message"]["message_id"], letter["deliveries"], letter["reason"]) == (message_id, 2, "can't read it")

    assert ask("POST", f"{ROOM}/market/dead-letters", {"message_ids": [message_id, "other"]}).json == {"redriven": 1}
    assert [(each["message"]["message_id"], each["deliveries"]) for each in received(ask)] == [(message_id, 1)]


def test_there_is_never_an_error_for_an_error(ask: Ask, send: Callable[..., Any]) -> None:
    """Two agents that can't read each other's errors would never come to an end."""
    send("x")
    (delivery,) = received(ask)
    ask("POST", f"{ROOM}/market/rejections", {"receipt": delivery["receipt"], "retry": False})
    (told,) = received(ask, "tech")
    rejected = ask("POST", f"{ROOM}/tech/rejections", {"receipt": told["receipt"], "retry": False})

    assert rejected.json["outcome"] == "dead"
    assert len(ask("GET", f"{TRACE}/messages").json["messages"]) == 2


def test_who_died_too_often_over_a_message_gives_it_up(
    ask: Ask, send: Callable[..., Any], redis: Any, tenant: str
) -> None:
    """After as many deliveries as the mailbox allows, at the next look; its sender is told."""
    message_id = send("x").json["message_id"]
    for _ in range(2):
        assert len(received(ask)) == 1
        redis.zadd(f"ens:{{{tenant}}}:mailbox:trace-1:market:leased", {message_id: 1})

    assert received(ask) == []
    (told,) = received(ask, "tech")
    assert "2 times" in told["message"]["error_message"]
    assert ask("GET", f"{ROOM}").json["mailboxes"][0]["dead"] == 1


def test_an_unknown_sender_is_told_by_the_log(ask: Ask, send: Callable[..., Any]) -> None:
    """It has no mailbox, and needs none to send."""
    send("x", sender_agent_id="workflow")
    (delivery,) = received(ask)
    ask("POST", f"{ROOM}/market/rejections", {"receipt": delivery["receipt"], "retry": False})

    last = ask("GET", f"{TRACE}/messages").json["messages"][-1]
    assert (last["receiver_agent_id"], last["error_code"]) == ("workflow", "PROCESSING_ERROR")


def test_who_waits_is_woken_by_a_message(app: Flask, ask: Ask, send: Callable[..., Any]) -> None:
    """Long before the time to wait is over."""
    started = threading.Event()

    def wait() -> tuple[list[Any], float]:
        began = time.monotonic()
        started.set()
        return received(ask, wait_ms=20_000), time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        started.wait()
        time.sleep(0.1)  # so that it most likely waits; it need not
        send("news")
        (delivery,), took_s = waiting.result()

    assert delivery["message"]["content"] == "news"
    assert took_s < 10


def test_half_of_the_threads_may_wait_and_the_others_are_told_to_ask_again(ask: Ask, send: Callable[..., Any]) -> None:
    """8 threads, so 4 wait; where there is a message nobody needs to."""
    with ThreadPoolExecutor(6) as pool:
        body = {"wait_ms": 700}
        asked = [pool.submit(ask, "POST", f"{ROOM}/market/deliveries", body) for _ in range(6)]
        said = [each.result() for each in asked]
    busy = [each for each in said if each.status_code == 503]

    assert len(busy) == 2
    assert {each.json["code"] for each in busy} == {"busy"}
    assert {each.headers["Retry-After"] for each in busy} == {"1"}
    assert len(received(ask, wait_ms=10)) == 0
    send("x")
    assert len(received(ask, wait_ms=10)) == 1


def test_the_names_of_the_router_are_its_own(ask: Ask, send: Callable[..., Any]) -> None:
    """Nobody speaks as System."""
    assert send(sender_agent_id="System").status_code == 403
    assert ask("PUT", f"{ROOM}/System", {}).status_code == 403


def test_what_does_not_fit_is_refused(
    app: Flask, ask: Ask, send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message beyond 1 MiB, NaN, and a mailbox nobody empties."""
    app.config["MAX_CONTENT_LENGTH"] = 2**22
    assert (send("x" * 2**20).status_code, send("x" * (2**20 - 600)).status_code) == (413, 200)
    nan = ask("POST", f"{TRACE}/messages", '{"sender_agent_id":"a","receiver_agent_id":"market","content":NaN}')
    assert (nan.status_code, nan.json["errors"][0]["field"]) == (422, "content")

    monkeypatch.setattr(mailboxes, "MOST_HELD", 3)
    assert [200, 200, 413] == [send(number).status_code for number in range(3)]


def test_old_messages_leave_a_full_log_but_never_one_that_somebody_waits_for(
    ask: Ask, send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged goes first; where nothing may go, nothing new comes."""
    monkeypatch.setattr(mailboxes, "MOST_LOGGED", 3)
    for number in range(3):
        send(number)
    assert send(3).status_code == 413
    (delivery,) = received(ask)
    ask("POST", f"{ROOM}/market/acknowledgements", {"receipt": delivery["receipt"]})

    assert send(3).status_code == 200
    assert [1, 2, 3] == [each["content"] for each in ask("GET", f"{TRACE}/messages").json["messages"]]
    assert [1, 2, 3] == [each["message"]["content"] for each in received(ask, at_most=9)]


def test_everything_is_kept_for_a_day_after_its_last_use(
    ask: Ask, send: Callable[..., Any], redis: Any, tenant: str
) -> None:
    """Receiving is using."""
    send("x")
    keys = redis.keys(f"ens:{{{tenant}}}:m*")
    for key in keys:
        redis.pexpire(key, 5000)
    received(ask)

    assert len(keys) == 7
    assert all(redis.pttl(key) > 86_000_000 for key in redis.keys(f"ens:{{{tenant}}}:m*"))


def test_tenants_have_mailboxes_of_their_own(ask: Ask, send: Callable[..., Any]) -> None:
    """The same trace and name under another token is another mailbox."""
    send("mine")
    assert ask("POST", f"{ROOM}/market/deliveries", {}, other=True).status_code == 404
    assert ask("GET", f"{TRACE}/messages", other=True).json["messages"] == []


def test_the_log_has_what_agents_sent_and_what_the_runs_of_the_trace_exchanged(
    ask: Ask, send: Callable[..., Any]
) -> None:
    """In one order, a page at a time."""
    send("before")
    a_finished_run(ask, "trace-1")
    send("after")
    a_finished_run(ask, "trace-2")
    said = ask("GET", f"{TRACE}/messages").json

    types = [message["message_type"] for message in said["messages"]]
    assert ["task", "status", "task", "result", "status", "task"] == types
    assert ["before", "after"] == [said["messages"][0]["content"], said["messages"][-1]["content"]]
    assert {message["trace_id"] for message in said["messages"]} == {"trace-1"}

    paged, after = [], ""
    while True:
        page = ask("GET", f"{TRACE}/messages?limit=2{after}").json
        paged += page["messages"]
        if page["next_after_ms"] is None:
            break
        after = f"&after_ms={page['next_after_ms']}"
    assert paged == said["messages"]


def _events(ask: Ask, count: int, **headers: str) -> list[tuple[str, Any]]:
    """Return the first *count* events of the trace with their ids."""
    said = ask("GET", f"{TRACE}/events", headers={name.replace("_", "-"): each for name, each in headers.items()})
    assert (said.status_code, said.mimetype) == (200, "text/event-stream")
    found = []
    try:
        for text in said.iter_encoded():
            lines = dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line[1:])
            if "data" in lines:
                found.append((lines["id"], json.loads(lines["data"])))
            if len(found) == count:
                break
    finally:
        said.close()
    return found


def test_a_trace_is_followed_as_it_goes_on(ask: Ask, send: Callable[..., Any]) -> None:
    """What was, then what comes; whoever comes back names the last event seen, and misses nothing after it."""
    send("first")
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(_events, ask, 6)
        a_finished_run(ask, "trace-1")
        send("last")
        seen = following.result()

    assert {"first", "last"} <= {event["content"] for _, event in seen if isinstance(event["content"], str)}
    log = ask("GET", f"{TRACE}/messages").json["messages"]
    by_id = itemgetter("message_id")
    assert sorted(log, key=by_id) == sorted((event for _, event in seen), key=by_id)
    assert [event["timestamp"] for event in log] == sorted(event["timestamp"] for event in log)
    again = _events(ask, 1, Last_Event_ID=str(int(seen[-1][0]) + 999))
    assert again[0] in seen
    assert again[0][0] == seen[-1][0]  # the first of those that came in the same millisecond


def test_a_stream_gives_its_place_back_when_its_reader_goes(ask: Ask, send: Callable[..., Any]) -> None:
    """Also one that never read a word."""
    send("x")
    for _ in range(6):
        said = ask("GET", f"{TRACE}/events")
        assert said.status_code == 200
        said.close()
    streams = [ask("GET", f"{TRACE}/events") for _ in range(5)]

    assert [each.status_code for each in streams] == [200] * 4 + [503]
    for each in streams:
        each.close()
