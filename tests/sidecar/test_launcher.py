"""`python -m sidecar` as a real process: where it listens, its token, its data, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3

from sidecar.settings import files, table
from sidecar.store.connection import connect
from tests.pages import fenced, page
from tests.processes import alive, until
from tests.sidecar.launched import PATIENCE_S, ROOT, Sidecar, Start

SLOW_S = 6
"""What a store takes to load that is made to take its time."""


def test_it_says_where_it_listens_and_keeps_its_token_in_a_private_file(start: Start) -> None:
    """The token itself goes to a terminal only, never into a pipe or the log."""
    sidecar = start()
    token_file = sidecar.data / "token"

    assert sidecar.url in sidecar.greeting
    assert str(token_file) in sidecar.greeting
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(sidecar.data.stat().st_mode) == 0o700
    assert sidecar.ask("GET", "/v1/about").json()["store"].endswith("(embedded)")
    status, logged = sidecar.end()
    assert status == 0
    assert token_file.read_text().strip() not in sidecar.greeting + logged


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_host_that_stands_for_all_addresses_is_not_told_as_one_to_paste(start: Start, host: str) -> None:
    """But the port is, and how the machine is found."""
    if host == "::" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    sidecar = start(ENSEMBLE_HOST=host)
    port = sidecar.url.rpartition(":")[2]

    assert f"by this machine's name or address, port {port} - paste" in sidecar.greeting
    assert host not in sidecar.greeting.partition(" - ")[0]


def test_at_a_terminal_the_token_itself_is_shown(tmp_path: Path) -> None:
    """For whoever pastes it into Dify."""
    terminal, its_end = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar"],
        cwd=ROOT,
        env=os.environ | {"ENSEMBLE_DATA_DIR": str(tmp_path), "ENSEMBLE_PORT": "0"},
        stdout=its_end,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_end)
    with os.fdopen(terminal) as lines:
        greeting = lines.readline()
        process.terminate()
        process.wait(PATIENCE_S)

    assert (tmp_path / "token").read_text().strip() in greeting


def test_data_token_and_versions_survive_a_restart(start: Start) -> None:
    """SIGTERM loses nothing."""
    first = start()
    first.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":"kept"}')
    token = (first.data / "token").read_text()
    assert first.end()[0] == 0
    assert not (first.data / "address").exists()

    second = start()
    assert token == (second.data / "token").read_text()
    assert second.ask("GET", "/v1/traces/t/state/a/k").json() == {"key": "k", "value": "kept", "version": 1}


def test_a_copy_made_while_it_runs_can_be_restored(start: Start, tmp_path: Path) -> None:
    """By the page's own program; token and budgets are there again, and what came after the copy is not."""
    (program,) = fenced(page("sidecar.md"), "python")
    sidecar, backup = start(), tmp_path / "backup"
    sidecar.ask("PUT", "/v1/budgets/one?name=ours", '{"limits":{"tokens":100}}')
    variables = {"ENSEMBLE_DATA_DIR": str(sidecar.data), "BACKUP": str(backup)}
    subprocess.run([sys.executable, "-c", program], env=os.environ | variables, check=True, timeout=PATIENCE_S)
    sidecar.ask("PUT", "/v1/budgets/one?name=later", '{"limits":{"tokens":100}}')
    client = connect(f"unix://{sidecar.data / 'store' / 'valkey.sock'}")
    assert client.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "100"}
    client.close()
    token = (sidecar.data / "token").read_text()
    assert sidecar.end()[0] == 0

    restored = start(backup)
    assert (restored.data / "token").read_text() == token
    assert [each["name"] for each in restored.ask("GET", "/v1/budgets").json()["budgets"]] == ["ours"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly_though_connections_are_open(start: Start, how: signal.Signals) -> None:
    """Within seconds, with status 0, its store ended too."""
    sidecar = start()
    store = sidecar.store_pid()
    host, port = sidecar.url.removeprefix("http://").split(":")
    kept = http.client.HTTPConnection(host, int(port))
    kept.request("GET", "/v1/health/live")
    kept.getresponse().read()
    began = time.monotonic()
    status, _ = sidecar.end(how)
    took = time.monotonic() - began
    kept.close()

    assert status == 0
    assert took < 5
    with pytest.raises(ProcessLookupError):
        os.kill(store, 0)


def test_a_second_start_on_the_same_data_is_refused_and_disturbs_nothing(start: Start) -> None:
    """The refusal names the directory and the process that has it."""
    sidecar = start()
    second = Sidecar(sidecar.data)
    status, said = second.end()

    assert (status, second.greeting) == (1, "")
    assert str(sidecar.data) in said
    assert str(sidecar.process.pid) in said
    assert "Traceback" not in said
    assert sidecar.ask("GET", "/v1/health/ready").status == 200


def test_after_a_kill_the_next_start_takes_over_and_what_was_written_strictly_is_there(start: Start) -> None:
    """Neither the orphaned store nor the lock stands in its way."""
    first = start(ENSEMBLE_DURABILITY="strict")
    first.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":1}')
    orphan = first.store_pid()
    first.end(signal.SIGKILL)

    second = start(ENSEMBLE_DURABILITY="strict")
    assert second.ask("GET", "/v1/traces/t/state/a/k").json()["value"] == 1
    assert second.store_pid() != orphan
    assert second.ask("GET", "/v1/about").json()["durability"] == "always"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_killed_launcher_takes_its_store_with_it(start: Start) -> None:
    """Nobody may ever start on that data again; the store ends in good order, with all that was written on disk."""
    sidecar = start(ENSEMBLE_DURABILITY="strict")
    sidecar.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":1}')
    orphan = sidecar.store_pid()
    sidecar.end(signal.SIGKILL)

    until(lambda: not alive(orphan), "the store to end")
    assert "bye bye" in (sidecar.data / "store" / "valkey.log").read_text()
    assert start().ask("GET", "/v1/traces/t/state/a/k").json()["value"] == 1


def test_a_hang_up_that_comes_before_it_listens_is_heeded_once_it_does(tmp_path: Path) -> None:
    """Tokens are read anew then, and nothing is ended for it."""
    secret, data = tmp_path / "secret", tmp_path / "data"
    secret.write_text("one=first-secret-token-1\n")
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar"],
        cwd=ROOT,
        env=os.environ
        | {"ENSEMBLE_DATA_DIR": str(data), "ENSEMBLE_PORT": "0", "ENSEMBLE_TOKENS_FILE": str(secret)}
        | {"ENSEMBLE_LOG_LEVEL": "info"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until((data / "lock").exists, "the start to begin")
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stderr is not None
        assert "listens at" in process.stdout.readline()
        heeded = any("read anew, of the tenants" in line for line in process.stderr)
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE_S)

    assert heeded, logged
    assert process.returncode == 0


def test_a_store_that_crashes_is_started_again(start: Start) -> None:
    """Meanwhile the answer is 503, never 500; afterwards the data is there."""
    sidecar = start(ENSEMBLE_DURABILITY="strict")
    sidecar.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":1}')
    os.kill(sidecar.store_pid(), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    said = sidecar.ask("GET", "/v1/traces/t/state/a/k")
    while said.status == 503 and time.monotonic() < deadline:
        said = sidecar.ask("GET", "/v1/traces/t/state/a/k")

    assert (said.status, said.json()["value"]) == (200, 1)


def test_workers_are_replaced_while_the_store_takes_its_time_to_come_back(start: Start) -> None:
    """The master waits for nobody: all children are killed at once, and the store's file takes seconds to load."""
    sidecar = start(ENSEMBLE_DURABILITY="strict")
    sidecar.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":1}')
    store = sidecar.store_pid()
    workers = sidecar.children() - {store}
    (written,) = (sidecar.data / "store" / "appendonlydir").glob("*.incr.aof")
    with written.open("a") as commands:
        commands.write(f"*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n${len(str(SLOW_S))}\r\n{SLOW_S}\r\n")
    for pid in [store, *workers]:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while {store, *workers} & sidecar.children():
        assert time.monotonic() - began < SLOW_S

    assert sidecar.ask("GET", "/v1/health/live").status == 200
    assert sidecar.ask("GET", "/v1/health/ready").status == 503
    assert time.monotonic() - began < SLOW_S
    while sidecar.ask("GET", "/v1/health/ready").status != 200:
        assert time.monotonic() - began < PATIENCE_S
    assert sidecar.ask("GET", "/v1/traces/t/state/a/k").json()["value"] == 1
    _, logged = sidecar.end()
    assert "was ended by SIGKILL" in logged
    assert "answers again" in logged


def test_its_processes_serve_side_by_side(start: Start) -> None:
    """Increments through all workers and threads at once lose nothing."""
    sidecar = start()
    url, token = sidecar.url, (sidecar.data / "token").read_text().strip()

    def work() -> None:
        with urllib3.PoolManager(
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        ) as pool:
            for _ in range(25):
                said = pool.request("POST", f"{url}/v1/traces/t/state/shared/n", body='{"writer":"a"}', retries=False)
                assert said.status == 200

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sidecar.ask("GET", "/v1/traces/t/state/shared/n").json()["value"] == 200


def test_named_tokens_make_tenants_and_no_token_file(start: Start) -> None:
    """The greeting names the tenants, not the tokens."""
    sidecar = start(ENSEMBLE_TOKENS="one=first-secret-token-1,two=second-secret-token")

    assert "one or two" in sidecar.greeting
    assert "secret" not in sidecar.greeting
    assert not (sidecar.data / "token").exists()
    said = urllib3.request("GET", f"{sidecar.url}/v1/runs", headers={"Authorization": "Bearer second-secret-token"})
    assert said.status == 200


def test_a_tenant_with_two_tokens_from_a_file_is_one_tenant(start: Start, tmp_path: Path) -> None:
    """Named once in the greeting, with the file; what one token wrote the other reads."""
    secret = tmp_path / "secret"
    secret.write_text("one=first-secret-token-1\none=second-secret-token\n")
    sidecar = start(ENSEMBLE_TOKENS_FILE=str(secret))

    assert f"the token of one from {secret}" in sidecar.greeting
    url, json = f"{sidecar.url}/v1/traces/t/state/a/k", {"Content-Type": "application/json"}
    old, new = ({"Authorization": f"Bearer {token}"} for token in ("first-secret-token-1", "second-secret-token"))
    assert urllib3.request("PUT", url, headers=old | json, body='{"writer":"a","value":1}').status == 200
    assert urllib3.request("GET", url, headers=new).json()["value"] == 1


@pytest.mark.parametrize(
    ("variables", "status", "says"),
    [
        ({"ENSEMBLE_WORKERS": "none"}, 2, "ENSEMBLE_WORKERS"),
        ({"ENSEMBLE_REDIS_URL": "redis://127.0.0.1:1"}, 1, "ENSEMBLE_REDIS_URL"),
        ({"ENSEMBLE_HOST": "192.0.2.1"}, 1, "ENSEMBLE_HOST"),
    ],
)
def test_what_hinders_the_start_is_said_in_one_line_without_a_traceback(
    start: Start, variables: dict[str, str], status: int, says: str
) -> None:
    """The variable to change is named."""
    ended, said = start(**variables).end()

    assert ended == status
    assert says in said
    assert "Traceback" not in said


def test_a_token_file_others_may_read_is_refused(start: Start, tmp_path: Path) -> None:
    """With the command that puts it right."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "token").write_text("a-token-everybody-may-read\n")
    (data / "token").chmod(0o644)
    status, said = start().end()

    assert status == 1
    assert "chmod 600" in said
    assert "everybody" not in said


def test_help_names_every_setting() -> None:
    """`python -m sidecar --help`."""
    said = subprocess.run(
        [sys.executable, "-m", "sidecar", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert all(name in said.stdout and meaning in said.stdout for name, _, meaning in table())
    assert all(f"  {name}\n" in said.stdout for name in files())
