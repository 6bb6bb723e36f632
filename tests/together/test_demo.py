"""`make demo` comes to its end by itself and shows the four ways."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.standin.service_api import ROOT

WAYS = ("one agent alone", "four in sequence", "three in parallel, then synthesis", "four in parallel")


@pytest.mark.timeout(120)
def test_the_demo_ends_well_within_a_minute() -> None:
    """With exit status 0, and a table of measured time, tokens, cost and errors."""
    demo = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (demo.returncode, demo.stderr)
    progress = [line for line in demo.stdout.splitlines() if re.match(r" *\[ +\d", line)]
    assert len(progress) > 20
    assert [line for line in progress if not line.startswith("  [")] == []
    table = demo.stdout[demo.stdout.rindex("no answer") :]
    measured = re.compile(r"\d+\.\d\d s\D+\d+\D+[\d.]+ USD\D+\d+%\D+\d+%")
    for way in WAYS:
        [row] = [line for line in table.splitlines() if re.match(rf"[\s│|]*{way}\s{{2,}}|[\s│|]*{way}\s*[│|]", line)]
        assert measured.search(row), row
    dying = demo.stdout[demo.stdout.index("an agent dies") :]
    told = re.findall(r"(called|breaker)  +([a-z_, ]+)", dying)
    assert [what.split(" (")[0].strip() for name, what in told if name == "breaker"] == [
        "closed", "open", "open", "closed", "closed",
    ]  # fmt: skip
    assert [what.strip() for name, what in told if name == "called"][-3:] == [
        "data_analysis, improvement_suggestion",
        "competitor_research",
        "nobody",
    ]
    assert "breaker_open" in dying
