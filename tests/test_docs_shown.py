"""What the pages show for shells and for Python does what it is shown for, against a sidecar."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.contract.mailboxes import DeadLettersParams, MailboxParams, Register, Send
from ensemble.contract.state import StateParams, TraceParams
from ensemble.team import Sidecar
from tests.pages import ROOT, fenced, page
from tests.standin.world import SidecarProcess


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """One for all pages: none of them minds what another left."""
    with SidecarProcess(tmp_path_factory.mktemp("shown")) as process:
        yield process


def done(sidecar: SidecarProcess, *words: str) -> str:
    """Return what a command wrote, told the sidecar's address and token by the names the pages use."""
    told = {"URL": sidecar.url, "TOKEN": sidecar.token, "SIDECAR_URL": sidecar.url, "SIDECAR_TOKEN": sidecar.token}
    ended = subprocess.run(
        words, cwd=ROOT, env={"PATH": os.environ["PATH"], **told}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
@pytest.mark.parametrize("name", ["breakers.md", "budgets.md", "slots.md"])
def test_every_request_that_is_shown_is_answered(name: str, sidecar: SidecarProcess) -> None:
    """With the function the page refers to."""
    (ask,) = (line for line in page("api.md").splitlines() if line.startswith("ask() {"))
    blocks = [block for block in fenced(page(name), "sh") if block.startswith("ask ")]
    assert blocks
    assert "(api.md#examples)" in page(name)

    said = done(sidecar, "bash", "-eu", "-c", "\n".join([ask, *blocks]))
    answers = [json.loads(line) for line in said.splitlines()]
    assert len(answers) == sum(block.count('ask "') for block in blocks)


def test_a_value_is_changed_by_a_function_of_ones_own(sidecar: SidecarProcess) -> None:
    """Twice: from the default, and from what was there."""
    (code,) = fenced(page("state.md"), "python")
    for _ in range(2):
        done(sidecar, sys.executable, "-c", code)

    kept = (
        Sidecar(sidecar.url, sidecar.token)
        .client()
        .get_state(StateParams(trace_id="orders-2026", namespace="shared", key="plan"))
    )
    assert (kept.value, kept.version) == ({"step": 2}, 2)


def test_messages_are_handled_as_the_page_tells(sidecar: SidecarProcess) -> None:
    """One is done, and one that can't be handled is a dead letter at once."""
    client = Sidecar(sidecar.url, sidecar.token).client()
    client.register_agent(MailboxParams(trace_id="trace-1", agent="market"), Register())
    for content in ({"question": "How big?"}, {"remark": "none"}):
        ask = Send(sender_agent_id="boss", receiver_agent_id="market", content=content)
        client.send_message(TraceParams(trace_id="trace-1"), ask)
    (code,) = fenced(page("messages.md"), "python")

    assert done(sidecar, sys.executable, "-c", code.replace("wait_ms=5000", "wait_ms=0")) == "How big?\n"
    dead = client.list_dead_letters(DeadLettersParams(trace_id="trace-1", agent="market"))
    assert [each.reason for each in dead.dead_letters] == ["CantHandle: there is no question"]


def test_a_text_is_packed_in_python_and_by_the_endpoint(sidecar: SidecarProcess, tmp_path: Path) -> None:
    """Within the limit that is set there; and the body that is shown is one the endpoint takes."""
    (code,) = fenced(page("context.md"), "python")
    assert "...[compressed]" in done(sidecar, sys.executable, "-c", code)

    (shown,) = fenced(page("context.md"), "json")
    body = tmp_path / "body.json"
    body.write_text(shown, encoding="utf-8")
    (ask,) = (line for line in page("api.md").splitlines() if line.startswith("ask() {"))
    answer = json.loads(done(sidecar, "bash", "-eu", "-c", f'{ask}\nask "$URL/v1/context" -d @{body}'))
    told = page("context.md").partition("The answer has ")[2].partition("\n\n")[0]
    assert {*answer} | {*answer["entries"][0]} == set(told.split("`")[1::2]) - {"kept", "cut", "dropped"}
