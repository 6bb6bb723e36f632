"""The store: all or nothing, versions, lost races, and what happens when the server forgets its scripts."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ensemble.rules.snapshot import EVERY, Address, Changes, Guard, Snapshot
from sidecar.errors import Contended
from sidecar.store.connection import Client, connect
from sidecar.store.store import Store

DOCUMENT = Address("thing:1", "document")
OTHER = Address("thing:2", "document")
COUNTER = Address("thing:1", "count")


def _write(store: Store, tenant: str, changes: Changes, *, seen: tuple[Address, ...] = ()) -> None:
    def decide(snapshot: Snapshot) -> tuple[None, Changes]:
        snapshot.require((*changes.puts, *changes.deletes, *changes.checks, *seen))
        return None, changes

    store.decide(tenant, decide)


def _read(store: Store, tenant: str, *addresses: Address) -> list[str | None]:
    return store.look(tenant, lambda snapshot: [snapshot.text(address) for address in addresses], addresses)


def _interfere(between: Callable[[], None], changes: Changes) -> Callable[[Snapshot], tuple[int, Changes]]:
    """Return a decision for *changes* during whose first taking something happens *between* read and commit."""
    taken = 0

    def decide(snapshot: Snapshot) -> tuple[int, Changes]:
        nonlocal taken
        snapshot.require((*changes.puts, *changes.deletes, *changes.checks))
        taken += 1
        if taken == 1:
            between()
        return taken, changes

    return decide


def test_what_was_put_is_read_and_what_was_deleted_is_gone(store: Store, tenant: str) -> None:
    """Documents keep every character; what is not there is None; a hash can be read whole."""
    text = '{"a":"line\\n\\u0000 é 市","n":12345678901234567890.10}\nsecond line'
    _write(store, tenant, Changes(puts={DOCUMENT: text, OTHER: "{}"}, increments={COUNTER: 7}))

    assert [text, "{}", None] == _read(store, tenant, DOCUMENT, OTHER, Address("thing:3", "document"))
    whole = store.look(tenant, lambda snapshot: snapshot.fields("thing:1"), (Address("thing:1", EVERY),))
    assert {"document": text, "count": "7"} == whole

    _write(store, tenant, Changes(deletes=(DOCUMENT,), increments={COUNTER: -2}))
    assert [None, "5"] == _read(store, tenant, DOCUMENT, COUNTER)


def test_addresses_asked_for_late_are_read_with_the_earlier_ones_at_one_moment(store: Store, tenant: str) -> None:
    """A decision that lacks something is taken anew on a snapshot that holds it all."""
    _write(store, tenant, Changes(puts={DOCUMENT: "1", OTHER: "2"}))
    clocks = []

    def decide(snapshot: Snapshot) -> tuple[str, Changes]:
        clocks.append(snapshot.now_ms)
        return f"{snapshot.text(DOCUMENT)}{snapshot.text(OTHER)}", Changes()

    assert store.decide(tenant, decide) == "12"
    assert len(clocks) == 3


def test_more_fields_than_one_command_takes_are_read(store: Store, tenant: str) -> None:
    """Long lists are cut on the way and whole again in the snapshot."""
    addresses = tuple(Address("big", f"f{number}") for number in range(9000))
    for start in range(0, 9000, 1500):
        _write(store, tenant, Changes(puts={address: address.field for address in addresses[start : start + 1500]}))

    assert [address.field for address in addresses] == _read(store, tenant, *addresses)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(puts={DOCUMENT: "mine", OTHER: "mine"}),
        Changes(puts={OTHER: "mine"}, deletes=(DOCUMENT,)),
        Changes(puts={OTHER: "mine"}, checks=(DOCUMENT,)),
    ],
    ids=["put", "delete", "check"],
)
def test_nothing_is_written_over_a_document_that_changed_and_the_decision_is_taken_anew(
    store: Store, tenant: str, changes: Changes
) -> None:
    """The first commit writes none of its documents."""
    _write(store, tenant, Changes(puts={DOCUMENT: "before"}))
    seen: list[list[str | None]] = []

    def between() -> None:
        _write(store, tenant, Changes(puts={DOCUMENT: "theirs"}))

    decide = _interfere(between, changes)

    def watched(snapshot: Snapshot) -> tuple[int, Changes]:
        answer = decide(snapshot)
        seen.append(_read(store, tenant, DOCUMENT, OTHER))
        return answer

    assert store.decide(tenant, watched) == 2
    assert [["theirs", None], ["theirs", None]] == seen


def test_a_document_that_changed_and_changed_back_counts_as_changed(store: Store, tenant: str) -> None:
    """Versions never come twice, not even when a document is deleted and written again."""
    _write(store, tenant, Changes(puts={DOCUMENT: "same"}))

    def between() -> None:
        _write(store, tenant, Changes(deletes=(DOCUMENT,)))
        _write(store, tenant, Changes(puts={DOCUMENT: "same"}))

    assert store.decide(tenant, _interfere(between, Changes(puts={DOCUMENT: "mine"}))) == 2


def test_a_document_that_was_only_read_may_change(store: Store, tenant: str) -> None:
    """Reading something hot does not make a decision collide."""
    _write(store, tenant, Changes(puts={DOCUMENT: "hot"}))
    decide = _interfere(lambda: _write(store, tenant, Changes(puts={DOCUMENT: "hotter"})), Changes(puts={OTHER: "x"}))

    def reading(snapshot: Snapshot) -> tuple[int, Changes]:
        snapshot.text(DOCUMENT)
        return decide(snapshot)

    assert store.decide(tenant, reading) == 1


def test_a_bound_that_no_longer_holds_writes_nothing(store: Store, tenant: str) -> None:
    """Somebody else's increment counts, over several counters together."""
    other = Address("thing:2", "count")
    bounded = Changes(
        puts={OTHER: "x"}, increments={COUNTER: 5}, guards=(Guard(addresses=(COUNTER, other), delta=5, at_most=9),)
    )

    def between() -> None:
        _write(store, tenant, Changes(increments={other: 5}))

    with pytest.raises(Contended):
        store.decide(tenant, _interfere(between, bounded))
    assert [None, None] == _read(store, tenant, OTHER, COUNTER)

    _write(store, tenant, Changes(increments={other: -1}))
    _write(store, tenant, bounded)
    assert ["x", "5"] == _read(store, tenant, OTHER, COUNTER)


def test_indexes_and_times_to_live_are_written(store: Store, redis: Any, tenant: str) -> None:
    """Members come and go; a key asked to expire does."""
    key = f"ens:{{{tenant}}}:runs"
    _write(store, tenant, Changes(index={Address("runs", "a"): 5, Address("runs", "b"): 6}, expiries={"runs": 60_000}))
    _write(store, tenant, Changes(index={Address("runs", "a"): None}))

    assert [("b", 6.0)] == redis.zrange(key, 0, -1, withscores=True)
    assert 50_000 < redis.pttl(key) <= 60_000


def test_tenants_share_nothing(store: Store, tenant: str) -> None:
    """The same address is another document for another tenant."""
    _write(store, tenant, Changes(puts={DOCUMENT: "mine"}))

    assert [None] == _read(store, tenant + "x", DOCUMENT)


def test_everything_of_a_tenant_lies_in_one_slot_of_a_cluster(store: Store, redis: Any, tenant: str) -> None:
    """Also where a key's own name holds braces."""
    _write(store, tenant, Changes(puts={Address("breaker:{x}", "breaker"): "1", DOCUMENT: "2"}))

    keys = redis.keys(f"ens:{{{tenant}}}:*")
    assert len(keys) == 2
    assert len({redis.execute_command("CLUSTER KEYSLOT", key) for key in keys}) == 1


def test_scripts_the_server_forgot_are_sent_again(store: Store, redis: Any, tenant: str) -> None:
    """A restarted server knows no scripts."""
    redis.script_flush()
    _write(store, tenant, Changes(puts={DOCUMENT: "1"}))
    redis.script_flush()

    assert ["1"] == _read(store, tenant, DOCUMENT)


def _count_up(store: Store, tenant: str) -> None:
    def decide(snapshot: Snapshot) -> tuple[None, Changes]:
        return None, Changes(puts={DOCUMENT: str(int(snapshot.text(DOCUMENT) or 0) + 1)})

    store.decide(tenant, decide)


def test_no_write_is_lost_among_threads(valkey: Any, tenant: str) -> None:
    """Thirty rounds of four threads, let go at the same instant, on one document."""
    store = Store(connect(valkey.url))
    barrier = threading.Barrier(4)

    def work() -> None:
        for _ in range(30):
            barrier.wait()
            _count_up(store, tenant)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()

    assert ["120"] == _read(store, tenant, DOCUMENT)


def test_a_bound_holds_among_threads(valkey: Any, tenant: str) -> None:
    """Of eight that each want one of three places, exactly three get in, thirty times over."""
    store = Store(connect(valkey.url))
    barrier = threading.Barrier(8)

    def enter(snapshot: Snapshot, counter: Address) -> tuple[bool, Changes]:
        if snapshot.counter(counter) >= 3:
            return False, Changes()
        return True, Changes(increments={counter: 1}, guards=(Guard((counter,), 1, 3),))

    def work(round_number: int) -> bool:
        counter = Address("room", f"round {round_number}")
        barrier.wait()
        return store.decide(tenant, lambda snapshot: enter(snapshot, counter), (counter,))

    with ThreadPoolExecutor(8) as pool:
        for round_number in range(30):
            assert sum(pool.map(work, [round_number] * 8)) == 3


def _in_process(url: str, tenant: str, rounds: int) -> None:
    store = Store(connect(url))
    for _ in range(rounds):
        _count_up(store, tenant)


def test_no_write_is_lost_among_processes(valkey: Any, store: Store, tenant: str) -> None:
    """Three processes, a hundred writes each."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_in_process, args=(valkey.url, tenant, 100)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [0, 0, 0] == [process.exitcode for process in processes]
    assert ["300"] == _read(store, tenant, DOCUMENT)


def test_who_always_loses_is_told_and_nothing_of_it_is_written(store: Store, redis: Client, tenant: str) -> None:
    """After sixteen tries the answer is `Contended`, not an endless loop."""
    _write(store, tenant, Changes(puts={DOCUMENT: "0"}))
    tries = 0

    def decide(snapshot: Snapshot) -> tuple[None, Changes]:
        nonlocal tries
        snapshot.require((DOCUMENT, OTHER))
        tries += 1
        _write(store, tenant, Changes(puts={DOCUMENT: f"theirs {tries}"}))
        return None, Changes(puts={DOCUMENT: "mine", OTHER: "mine"})

    with pytest.raises(Contended):
        store.decide(tenant, decide)
    assert tries == 16
    assert ["theirs 16", None] == _read(store, tenant, DOCUMENT, OTHER)
