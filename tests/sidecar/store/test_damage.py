"""A key of ours that holds another type than ours: whoever meets it is told which, and nothing else suffers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ensemble.rules.addresses import LEASES
from ensemble.rules.records import Defaults
from ensemble.rules.snapshot import Address, Changes, Snapshot
from sidecar.errors import StoreDamaged
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.store.keys import full_key, kind_of
from sidecar.store.store import Store
from tests.sidecar.runs.opening import IDENTITY, a_finished_run
from tests.sidecar.runs.test_sweep import opened

type Ask = Callable[..., Any]

TRACE = "/v1/traces/t"
ROOM = f"{TRACE}/mailboxes/market"
RESULT = f"/v1/results/{'a' * 32}"
RUN = f"/v1/runs/{'b' * 32}"
SAID: dict[str, tuple[str, str, Any]] = {
    f"run:{'b' * 32}": ("GET", RUN, None),
    "runs": ("GET", "/v1/runs", None),
    "runs:t": ("GET", f"{TRACE}/messages", None),
    "agents": ("GET", "/v1/agents", None),
    "breakers": ("GET", "/v1/breakers", None),
    "budgets": ("GET", "/v1/budgets", None),
    "slots": ("GET", "/v1/slots", None),
    f"result:{'a' * 32}": ("GET", RESULT, None),
    "state:t:a": ("GET", f"{TRACE}/state/a/k", None),
    "messages:t:agents": ("PUT", ROOM, {}),
    "mailbox:t:market:ready": ("POST", f"{ROOM}/deliveries", {}),
    "mailbox:t:market:bell": ("POST", f"{ROOM}/deliveries", {"wait_ms": 1000}),
}
"""What is asked where each key is damaged."""


def damage(redis: Any, key: str) -> str:
    """Put something of another type in the key's place, and return which type, in words."""
    redis.delete(key)
    if kind_of(key) == "string":
        redis.rpush(key, "other")
        return "a list"
    redis.set(key, "other")
    return "a string"


def test_the_type_of_every_key_is_known(ask: Ask, redis: Any, tenant: str) -> None:
    """After a bit of everything."""
    a_finished_run(ask, "t")

    def did(method: str, url: str, body: Any, **query: str) -> Any:
        said = ask(method, url, body, query_string=query)
        assert said.status_code == 200, said.text
        return said.json

    did("PUT", "/v1/breakers/force", {"state": "closed"}, identity=IDENTITY)
    did("POST", "/v1/breakers/admissions", {"identity": IDENTITY, "ticket": "call-1"})
    did("PUT", "/v1/budgets/one", {"limits": {"tokens": 9}}, name="b")
    did("POST", "/v1/budgets/reservations", {"budgets": ["b"], "ticket": "run-1", "tokens": 3})
    did("PUT", "/v1/slots", {"total": 5})
    did("PUT", RESULT, {"value": 1})
    did("PUT", f"{TRACE}/state/a/k", {"writer": "a", "value": 1})
    did("PUT", ROOM, {})
    for _ in range(4):
        did("POST", f"{TRACE}/messages", {"sender_agent_id": "a", "receiver_agent_id": "market", "content": "x"})
    first, second, _ = did("POST", f"{ROOM}/deliveries", {"at_most": 3})["deliveries"]
    did("POST", f"{ROOM}/rejections", {"receipt": first["receipt"], "retry_after_ms": 60_000})
    did("POST", f"{ROOM}/rejections", {"receipt": second["receipt"], "retry": False})

    there = {key: redis.type(key) for key in redis.scan_iter(match=full_key(tenant, "*"))}

    assert there == {key: kind_of(key) for key in there}
    assert set(there.values()) == {"string", "hash", "zset", "list"}
    assert len(there) > 20


@pytest.mark.parametrize("relative", SAID)
def test_whoever_meets_a_key_of_another_type_is_told_which(
    relative: str, ask: Ask, redis: Any, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By its name without the tenant's part, and with what to do; the log has the whole name."""
    method, url, body = SAID[relative]
    ask("PUT", ROOM, {})
    holds = damage(redis, full_key(tenant, relative))

    said = ask(method, url, body)

    assert (said.status_code, said.json["code"]) == (500, "store_damaged")
    (fault,) = said.json["errors"]
    assert fault["field"] == relative
    assert f"holds {holds} in the store, where the sidecar keeps a " in fault["problem"]
    assert "Rename or delete it" in fault["fix"]
    assert repr(relative) in said.json["detail"]
    assert tenant not in said.text
    assert "user_script" not in said.text
    assert full_key(tenant, relative) in caplog.text


def test_nothing_is_written_where_one_of_the_keys_is_damaged(store: Store, redis: Any, tenant: str) -> None:
    """Whatever the damaged key was to hold: a document, a counter, a place in an index."""
    whole = {Address("thing:1", "document"): "{}"}
    damaged = Address("thing:2", "x"), Address("runs", "x")
    for address in damaged:
        damage(redis, full_key(tenant, address.key))
    for changes in (
        Changes(puts={**whole, damaged[0]: "{}"}),
        Changes(puts=whole, increments={damaged[0]: 1}),
        Changes(puts=whole, index={damaged[1]: 5}),
        Changes(puts=whole, index={damaged[1]: None}),
    ):

        def decide(_: Snapshot, changes: Changes = changes) -> tuple[None, Changes]:
            return None, changes

        with pytest.raises(StoreDamaged):
            store.decide(tenant, decide)
        assert not redis.exists(full_key(tenant, "thing:1"))


KEYS_OF_A_MAILBOX = (
    *(f"messages:t:{name}" for name in ("agents", "messages", "log", "deliveries", "meta")),
    *(f"mailbox:t:market:{name}" for name in ("ready", "later", "leased", "dead", "bell")),
)
OF_THE_SENDER = ("mailbox:t:sender:ready", "mailbox:t:sender:bell")
VERBS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "register": ("PUT", ROOM, {}),
    "send": ("POST", f"{TRACE}/messages", {"sender_agent_id": "sender", "receiver_agent_id": "market"}),
    "receive": ("POST", f"{ROOM}/deliveries", {"at_most": 2}),
    "acknowledge": ("POST", f"{ROOM}/acknowledgements", {}),
    "renew": ("POST", f"{ROOM}/renewals", {}),
    "reject": ("POST", f"{ROOM}/rejections", {"retry_after_ms": 60_000}),
    "give up": ("POST", f"{ROOM}/rejections", {"retry": False}),
    "redrive": ("POST", f"{ROOM}/dead-letters", {}),
}
CASES = [(verb, key) for verb in VERBS for key in KEYS_OF_A_MAILBOX] + [("give up", key) for key in OF_THE_SENDER]


def contents(redis: Any, tenant: str) -> dict[str, Any]:
    """Return all that is kept of a tenant."""
    read = {
        "hash": redis.hgetall,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        "list": lambda key: redis.lrange(key, 0, -1),
        "string": redis.get,
    }
    return {key: read[redis.type(key)](key) for key in redis.scan_iter(match=full_key(tenant, "*"))}


@pytest.mark.parametrize(("verb", "relative"), CASES)
def test_no_message_is_half_handled_where_one_of_the_keys_is_damaged(
    verb: str, relative: str, ask: Ask, redis: Any, tenant: str
) -> None:
    """Whichever it is and whatever was to happen; with a mailbox that has a message in every state."""
    for box in (ROOM, f"{TRACE}/mailboxes/sender"):
        assert ask("PUT", box, {}).status_code == 200
    for _ in range(5):
        assert ask("POST", f"{TRACE}/messages", VERBS["send"][2]).status_code == 200
    leased = [each["receipt"] for each in ask("POST", f"{ROOM}/deliveries", {"at_most": 3}).json["deliveries"]]
    ask("POST", f"{ROOM}/rejections", {"receipt": leased[1], "retry_after_ms": 60_000})
    ask("POST", f"{ROOM}/rejections", {"receipt": leased[2], "retry": False})
    damage(redis, full_key(tenant, relative))
    before = contents(redis, tenant)
    method, url, body = VERBS[verb]
    with_receipt = verb in {"acknowledge", "renew", "reject", "give up"}

    said = ask(method, url, body | ({"receipt": leased[0]} if with_receipt else {}))

    assert (said.status_code, said.json["code"]) == (500, "store_damaged"), said.text
    assert relative in [fault["field"] for fault in said.json["errors"]]
    assert contents(redis, tenant) == before


def test_a_damaged_index_does_not_keep_the_sweep_from_other_tenants(store: Store, redis: Any, tenant: str) -> None:
    """Nor from what else there is to tidy of its own."""
    other = f"t-{uuid.uuid4().hex}"
    runs = Runs(store, Defaults(lease_ms=1))
    opened(runs, other)
    damage(redis, full_key(tenant, LEASES))
    swept = 0
    while not swept:
        swept = Sweeper(store, [tenant, other], 30_000).sweep()

    assert swept == 1


def test_a_key_that_was_mended_is_used_again(ask: Ask, redis: Any, tenant: str) -> None:
    """Without a restart."""
    key = full_key(tenant, "runs")
    damage(redis, key)
    assert ask("GET", "/v1/runs").status_code == 500

    redis.rename(key, full_key(tenant, "moved"))

    assert ask("GET", "/v1/runs").status_code == 200
