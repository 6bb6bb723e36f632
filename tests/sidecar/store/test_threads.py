"""Each thread has a connection of its own: as many as may be set get one, and whoever ends gives it back."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from sidecar.launch.embedded import EmbeddedStore
from sidecar.settings import MOST_THREADS
from sidecar.store.connection import connect

SAYS = "return ARGV[1]"
SHA = hashlib.sha1(SAYS.encode()).hexdigest()  # noqa: S324 - as the server calls it


def test_threads_that_come_and_go_leave_no_connection_behind(valkey: EmbeddedStore) -> None:
    """Else a process that makes threads now and then would be refused the next one some day."""
    redis = connect(valkey.url)
    redis.eval(SAYS, 0, "")
    before = redis.info("clients")["connected_clients"]

    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda number: redis.evalsha(SHA, 0, number), range(32)))
        assert said == [str(number) for number in range(32)]

    assert redis.info("clients")["connected_clients"] <= before + 8
    redis.close()


def test_as_many_threads_as_may_be_set_work_at_once(valkey: EmbeddedStore) -> None:
    """And one of them asks in another way, which takes one connection more."""
    redis, barrier = connect(valkey.url), threading.Barrier(MOST_THREADS)
    redis.eval(SAYS, 0, "")

    def work(number: int) -> str:
        said = str(redis.evalsha(SHA, 0, number))
        barrier.wait(30)  # All hold theirs now.
        redis.ping()
        return said

    with ThreadPoolExecutor(MOST_THREADS) as pool:
        assert list(pool.map(work, range(MOST_THREADS))) == [str(number) for number in range(MOST_THREADS)]
    redis.close()
