"""The Python examples run as they stand, against a stand-in Dify, and the page tells the very same code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.team import RunOptions
from examples.python.__main__ import APPS, KEYS
from tests.standin.service_api import StandIn, process

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/python"
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dify() -> Iterator[StandIn]:
    """A Dify with every app the examples name."""
    with process(*APPS) as running:
        yield running


def start(module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module, with these variables beside what a process needs of this machine's."""
    clean = {name: value for name, value in os.environ.items() if name != "DIFY_URL" and not name.endswith("_KEY")}
    command = [sys.executable, "-W", "error", "-m", module, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=clean | variables, capture_output=True, text=True, timeout=50, check=False
    )


def run(name: str, dify: StandIn, **changes: str) -> list[str]:
    """Return the lines an example prints; it has to end well, and to say nothing on stderr."""
    done = start(f"examples.python.{name}", **{"DIFY_URL": dify.url, **KEYS, **changes})

    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def test_each_is_given_the_answer_before_it(dify: StandIn) -> None:
    assert [
        "research: facts on the market for solar pumps",
        "analysis: they grow",
        "headline: THEY GROW",
        "succeeded, 90 tokens",
    ] == run("sequential", dify)
    (asked,) = dify.log().of("analysis")
    assert "### research\nfacts on the market for solar pumps" in asked.query


def test_who_fails_is_named_with_the_reason(dify: StandIn) -> None:
    said = run("sequential", dify, ANALYSIS_KEY="app-aaaaaaaaaaaaaaaaaaaaaaaa")

    (line,) = (line for line in said if line.startswith("analysis failed: "))
    assert "key" in line
    assert said[-1].startswith("partial, ")


@pytest.mark.parametrize("missing", ["DIFY_URL", "RESEARCH_KEY"])
def test_a_variable_that_is_missing_is_a_sentence(missing: str) -> None:
    variables = {"DIFY_URL": "http://127.0.0.1:9/v1", **KEYS}
    del variables[missing]

    done = start("examples.python.sequential", **variables)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"{missing} is not set. Put there the ")
    assert "python -m examples.python" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_example_runs_without_a_dify(dify: StandIn) -> None:
    done = start("examples.python", "sequential")

    assert (0, "") == (done.returncode, done.stderr)
    assert run("sequential", dify) == done.stdout.splitlines()


def test_who_is_late_is_left_out_and_named(dify: StandIn) -> None:
    said = run("parallel", dify)

    assert ["### market", "it grows", "", "### rivals", "two of them", "without slow: timed_out", "partial"] == said[
        -7:
    ]
    assert any("slow" in line for line in said[:-7])


def test_what_was_said_last_is_kept_and_the_breaker_spares_the_app(dify: StandIn) -> None:
    said = run("resilient", dify)

    assert "copper: advice by: copper at 9 (agent)" == said[0]
    assert ["copper: advice by: copper at 9 (cache)"] * 3 == said[1:4]
    assert "tin: advice by: nobody knows (default)" == said[4]
    # One good call, and three failures; after those nobody asks any more.
    assert 4 == len(dify.log().of("prices"))


def test_the_order_has_levels_and_a_circle_is_refused(dify: StandIn) -> None:
    assert [
        "level 1: names, market",
        "level 2: rivals",
        "level 3: report",
        "in order: names → market → rivals → report",
    ] == run("order", dify)[:4]
    assert "A circle: hen waits for egg, egg waits for hen." in run("order", dify)[4]


def test_variables_are_resolved_and_what_is_not_there_is_named(dify: StandIn) -> None:
    said = run("variables", dify)

    assert [
        "Q3 of ACME: It grew.",
        "panels and Too dear.",
        "{'years': [2023, 2024], 'size': 4.1}",
    ] == said[:3]
    assert "Did you mean 'market'?" in said[3]
    assert "market has no output 'price'. There are: text, report, summary" in said[4]


def test_the_trace_goes_through_every_call_and_comes_out_again(dify: StandIn) -> None:
    dify.reset()
    trace = "0af7651916cd43dd8448eb211c80319c"

    assert ["written of: solar pumps", f"X-Trace-Id: {trace}"] == run("tracing", dify)
    calls = dify.log().calls
    assert {"market", "rivals", "writer"} == {call.app for call in calls}
    assert {trace} == {call.headers["x-trace-id"] for call in calls}
    assert {trace} == {call.headers["traceparent"].split("-")[1] for call in calls}
    assert len(calls) == len({call.headers["traceparent"] for call in calls})


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_the_code_as_it_is(name: str) -> None:
    """Without its first line, which the page says in its own words."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8").partition('"""\n\n')[2]
    section = PAGE.partition(f"examples/python/{name}.py")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)

    assert source == code


def test_every_option_is_in_the_table() -> None:
    page = (ROOT / "docs/team.md").read_text(encoding="utf-8")
    table = page.partition("## Every option")[2].partition("\n## ")[0]
    told = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }

    assert set(RunOptions.__annotations__) == told


def test_every_example_has_a_test() -> None:
    tested = set(re.findall(r'run\("(\w+)", dify\)', Path(__file__).read_text(encoding="utf-8")))

    assert set(NAMES) == tested
