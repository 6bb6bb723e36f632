"""The benchmarks run from end to end and write what they promise; the figures of so short a run mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

SHAPES = ("chain4", "par4", "par32", "diamond")
NAMES = {
    *(f"{group}.{shape}" for group in ("overhead", "ratio", "overhead0") for shape in SHAPES),
    *(f"exchange.p99_ms.{clients}" for clients in (1, 16, 64)),
    *(f"routing.{strategy}.accuracy" for strategy in ("rules", "semantic", "llm", "auto")),
    *(f"routing.{strategy}.{cost}" for strategy in ("semantic", "llm", "auto") for cost in ("tokens", "calls")),
    *(f"{what}.{figure}" for what in ("state", "messages") for figure in ("ops_s", "p99_ms")),
    "exchange.rps",
    "exchange.ratio",
    "exchange.cpu_ms",
    "breaker.us",
    "packing.mb_s",
    "packing.recall",
    "parallel4.s",
    "demo.sequential_s",
    "demo.parallel_s",
    "memory.plugin_mb",
    "memory.sidecar_worker_mb",
}


@pytest.mark.timeout(180)
def test_a_quick_run_writes_every_figure(tmp_path: Path) -> None:
    """`python -m benchmarks --quick` ends well and writes each figure once, with those it stands beside."""
    report = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(report)]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = {each["name"]: each for each in json.loads(report.read_text("utf-8"))}
    assert set(figures) == NAMES
    assert all(each["value"] > 0 and each["unit"] for name, each in figures.items() if name != "exchange.cpu_ms")
    assert figures["overhead.par32"]["versus"].keys() >= {"threads + requests", "greenlets + urllib3"}
    assert figures["exchange.rps"]["versus"].keys() >= {"bare route", "empty route", "bare route, long way"}
