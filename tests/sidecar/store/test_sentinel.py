"""A store behind Sentinels, and one that is a Cluster, through the sidecar's own door to them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot
from sidecar.errors import StartError, StoreUnavailable
from sidecar.settings import Durability
from sidecar.store.connection import connect
from sidecar.store.server import check_server, server_facts
from sidecar.store.store import Store
from tests.sidecar import servers

COUNTER, TWIN = Address("numbers", "one"), Address("numbers", "two")


def add(snapshot: Snapshot) -> tuple[int, Changes]:
    """Add one to two numbers, in one commit."""
    draft = Draft(snapshot)
    draft.add(COUNTER, 1)
    draft.add(TWIN, 1)
    return snapshot.counter(COUNTER), draft.changes()


def both(store: Store, tenant: str) -> tuple[int, int]:
    """Return the two numbers."""
    return store.look(tenant, lambda seen: (seen.counter(COUNTER), seen.counter(TWIN)), (COUNTER, TWIN))


def until(done: Callable[[], Any], what: str) -> Any:
    """Return what *done* returns once that is something; ask again for 15 s."""
    ends = time.monotonic() + 15
    while time.monotonic() < ends:
        try:
            if found := done():
                return found
        except StoreUnavailable:
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[servers.Server]:
    """Three nodes."""
    with servers.cluster() as running:
        yield running


@pytest.mark.timeout(60)
def test_when_the_primary_dies_the_next_one_takes_over_and_nothing_is_half_written() -> None:
    """Asks fail as 'away' meanwhile, and are served again by the same client without anybody's hand."""
    with servers.sentinel() as watched:
        redis = connect(watched.url)
        store = Store(redis)
        check_server(server_facts(redis), Durability.EVERYSEC)
        for _ in range(20):
            store.decide("t", add, (COUNTER, TWIN))
        replica = Redis(port=watched.ports[1], db=2)
        until(lambda: replica.hlen("ens:{t}:numbers") == 2, "the replica to have it")
        until(lambda: replica.hget("ens:{t}:numbers", "one") == b"20", "the replica to be in step")

        watched.primary.send_signal(signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            store.decide("t", add, (COUNTER, TWIN))
        until(lambda: store.decide("t", add, (COUNTER, TWIN)) >= 0, "another primary")

        one, two = both(store, "t")
        assert one == two
        assert one >= 21
        redis.close()


def test_a_cluster_is_asked_how_all_its_primaries_are_set(cluster: servers.Server) -> None:
    """One that evicts is enough to refuse it."""
    redis = connect(cluster.url)
    facts = server_facts(redis)
    assert redis.ping()
    check_server(facts, Durability.EVERYSEC)
    port = int(cluster.url.rpartition(":")[2])
    node: Any = Redis(port=port)
    node.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StartError, match=r"noeviction, allkeys-lru|allkeys-lru, noeviction"):
            check_server(server_facts(redis), Durability.EVERYSEC)
    finally:
        node.config_set("maxmemory-policy", "noeviction")
    redis.close()


def test_tenants_of_a_cluster_lie_on_different_nodes_and_are_all_served(cluster: servers.Server) -> None:
    redis = connect(cluster.url)
    store = Store(redis)
    for tenant in ("a", "b", "c", "d"):
        store.decide(tenant, add, (COUNTER, TWIN))
    assert [both(store, tenant) for tenant in "abcd"] == [(1, 1)] * 4
    ports = [int(each.rpartition(":")[2]) for each in cluster.url.split(",")]
    counts = [Redis(port=port).dbsize() for port in ports]
    assert sum(map(bool, counts)) >= 1
    assert sum(counts) < 4, "a third node has some as well"
    redis.close()


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/ours"])
def test_a_store_that_is_not_there_is_away_and_connecting_to_it_waits_for_the_first_ask(url: str) -> None:
    redis = connect(url)

    with pytest.raises(StoreUnavailable):
        Store(redis).decide("t", add, (COUNTER, TWIN))
