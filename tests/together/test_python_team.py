"""A team whose runs a real sidecar holds: found again by other teams, and gone on with when it is away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ensemble.client.links import Links
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.outcomes import RunStatus
from ensemble.team import BadCredentials, Call, Report, Sidecar, SidecarUnavailable, StepResult, Team
from tests.standin.world import SidecarProcess


def by_step(report: Report) -> dict[str, StepResult]:
    return {result.step: result for result in report.results}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    with SidecarProcess(tmp_path_factory.mktemp("sidecar")) as running:
        yield running


@pytest.fixture
def sidecar(process: SidecarProcess) -> Sidecar:
    return Sidecar(process.url, process.token)


def test_another_team_finds_the_run_and_repeats_only_what_had_failed(sidecar: Sidecar) -> None:
    calls: list[str] = []
    down = [True]

    def steady(text: str) -> str:
        calls.append("steady")
        return f"steady {text}"

    def shaky(text: str) -> str:
        calls.append("shaky")
        if down[0]:
            raise ValueError("down")
        return f"shaky {text}"

    key = uuid.uuid4().hex
    first = Team({"steady": steady, "shaky": shaky}, sidecar=sidecar).parallel("x", run_key=key)
    down[0] = False
    second = Team({"steady": steady, "shaky": shaky}, sidecar=sidecar).parallel("x", run_key=key)

    assert ("partial", "succeeded") == (first.status, second.status)
    assert first.run_id == second.run_id
    assert (1, 2) == (calls.count("steady"), calls.count("shaky"))


def test_a_breaker_is_shared_with_other_teams(sidecar: Sidecar) -> None:
    name = f"dead-{uuid.uuid4().hex[:8]}"

    def dead(_text: str) -> str:
        raise ValueError("down")

    defaults = {"breaker": {"failure_threshold": 1, "recovery_timeout": 60}}
    Team({name: dead}, sidecar=sidecar).parallel("x", defaults=defaults)
    report = Team({name: dead}, sidecar=sidecar).parallel("x", defaults=defaults)

    assert "refused" == by_step(report)[name].status


def test_a_wrong_token_is_said_in_the_words_of_a_program(process: SidecarProcess) -> None:
    with pytest.raises(BadCredentials, match=r"does not accept the token of Sidecar\(\.\.\.\)") as refused:
        Team({"a": lambda: "x"}, sidecar=Sidecar(process.url, "wrong")).parallel("x")

    assert "plugin" not in str(refused.value)


def test_a_sidecar_nobody_listens_at_is_gone_on_without_or_raised() -> None:
    away = "http://127.0.0.1:9"
    report = Team({"a": lambda: "x"}, sidecar=Sidecar(away, "t")).parallel("x")

    assert "x" in report.answer
    assert any("The run went on without it" in warning for warning in report.warnings)
    with pytest.raises(SidecarUnavailable, match="leave sidecar out") as refused:
        Team({"a": lambda: "x"}, sidecar=Sidecar(away, "t", fail_open=False)).parallel("x")
    assert "Dify" not in str(refused.value)


@pytest.mark.timeout(120)
def test_a_run_whose_sidecar_dies_goes_on_and_is_handed_in_when_it_is_back(tmp_path: Path) -> None:
    """Killed between the first step and the second; back at the same port, with the same data."""
    with SidecarProcess(tmp_path) as process:
        port = process.port

        def first(call: Call) -> str:
            process.kill()
            return f"first {call.query}"

        team = Team(
            {"first": first, "second": lambda text: f"second {text}"}, sidecar=Sidecar(process.url, process.token)
        )
        report = team.sequential("x")

        assert "succeeded" == report.status, report
        assert any("The run went on without it" in warning for warning in report.warnings)
        process.start(port)
        client = SidecarLedger(process.url, process.token, Links())
        deadline = time.monotonic() + 60
        status: Any = None
        while status is not RunStatus.SUCCEEDED and time.monotonic() < deadline:
            status = client.run(report.run_id).status
            time.sleep(0.1)
        assert RunStatus.SUCCEEDED is status
