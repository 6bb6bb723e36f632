"""What the pages under docs say is what the code does: fields, outputs, outcomes, errors, endpoints, examples, links."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.agents.port import Reply
from ensemble.agents.tool_messages import MAX_CHARS
from ensemble.client import errors as client_errors
from ensemble.client.advice import IN_DIFY
from ensemble.contract import endpoints
from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.caching import MAX_CACHED_BYTES
from ensemble.contract.context import MOST_PARTS
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.problems import ProblemCode
from ensemble.contract.state import MAX_AT_ONCE, Append, SetChange
from ensemble.engine import errors as engine_errors
from ensemble.engine.attempts.stand_ins import StandIn, stand_ins
from ensemble.engine.ledger.book import CACHED_KEPT
from ensemble.engine.request import RUN_TIMEOUT_S, STEP_TIMEOUT_S
from ensemble.engine.retry import Tally, next_try
from ensemble.plan.reading.fallbacks import FRESH_S, MOST_S, STALE_S
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.reading.tools import TOOL_TYPES
from ensemble.routing.team import DECIDING_S
from ensemble.rules.breakers import breaker
from ensemble.rules.records import Breaker
from plugin import errors as plugin_errors
from plugin.limiting import MAX_PARALLEL
from sidecar.budgets.service import MOST_LISTED
from tests.pages import APPS, ROOT, code, fenced, page, rows
from tests.standin.world import SidecarProcess

PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
LONGEST_PAGE = 230
"""Lines. A page that tells more has a second subject."""


INSIDE = [ROOT / "deploy" / "README.md", ROOT / "sidecar" / "README.md", ROOT / "PRIVACY.md"]
"""Pages that stand beside what they tell of."""


@pytest.mark.parametrize("path", PAGES + INSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file that is there and, behind #, to one of its headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_no_page_is_long_and_the_readme_names_it(path: Path) -> None:
    """Whoever looks for a subject finds its page from the README."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_PAGE
    assert f"(docs/{path.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = [(path.name, block) for path in PAGES for block in fenced(path.read_text(encoding="utf-8"), "yaml")]


@pytest.mark.parametrize(("name", "plan"), EXAMPLES)
def test_every_plan_in_the_pages_can_run(name: str, plan: str) -> None:
    """As it is typed into the node, with agents of the names used here; and nothing in it deserves a warning."""
    read = read_plan(plan, known=APPS, inputs={"topic": "pumps"}, typed=True)

    assert read.steps, name
    assert read.warnings == ()


# --- orchestrator.md, and a page of its own for every further tool


NAMED = {"shared_state": "state", "messenger": "messages"}
"""Tools whose pages have the name of their subject, of which the tool is a part."""


def tools() -> Iterator[tuple[str, Any]]:
    """Yield name and declaration of every tool."""
    provider = yaml.safe_load((ROOT / "provider" / "ensemble.yaml").read_text(encoding="utf-8"))
    for file in provider["tools"]:
        tool = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
        yield tool["identity"]["name"], tool


def paths(schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the path of every property below *schema*."""
    for name, each in schema.get("properties", {}).items():
        yield before + name
        yield from paths(each, f"{before}{name}.")
        yield from paths(each.get("items", {}), f"{before}{name}[].")


@pytest.mark.parametrize(("name", "tool"), list(tools()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_parameter_and_output_of_a_tool_is_in_its_page(name: str, tool: Any) -> None:
    """And the page names no other."""
    text = page(f"{NAMED.get(name, name)}.md")

    declared = {each["name"] for each in tool["parameters"]}
    assert {each for row in rows(text, "parameter") for each in code(row[0])} == declared
    assert {each for row in rows(text, "output") for each in code(row[0])} == set(paths(tool["output_schema"]))


def test_every_status_is_explained() -> None:
    """Of steps and of runs, but for those that are not an end."""
    steps = {each for row in rows(page("orchestrator.md"), "a step is") for each in code(row[0])}
    runs = {each for row in rows(page("orchestrator.md"), "a run is") for each in code(row[0])}
    assert steps == {*StepStatus} - {StepStatus.PENDING, StepStatus.RUNNING}
    assert runs == {*RunStatus} - {RunStatus.RUNNING}


def test_every_error_a_builder_can_see_is_explained() -> None:
    """By the name Dify shows; the families are named beside the table."""
    families = {plugin_errors.EnsembleError, engine_errors.EngineError}
    seen = {
        each
        for module in (plugin_errors, client_errors, engine_errors)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, tuple(families)) and each.__module__ == module.__name__
    }
    section = page("orchestrator.md").partition("## When the node fails")[2].partition("\n## ")[0]

    assert {name for row in rows(section, "error") for name in code(row[0])} == {e.__name__ for e in seen - families}
    assert {each.__name__ for each in families} <= set(code(section))


def test_the_defaults_told_are_those_of_the_code() -> None:
    """The run's time, a step's time, the calls at one time."""
    limits = {code(row[0])[0]: row[3] for row in rows(page("orchestrator.md"), "limit")}
    assert limits["timeout"] == f"{RUN_TIMEOUT_S:g}"
    assert limits["max_parallel"] == f"{MAX_PARALLEL}"
    assert f"A step's own timeout is {STEP_TIMEOUT_S:g} s" in page("orchestrator.md")
    assert f"{STEP_TIMEOUT_S:g} s where nobody says" in page("plans.md").replace("\n", " ")


# --- fallback.md


def test_the_outcomes_and_links_told_are_those_of_the_code() -> None:
    """Which outcomes something stands in for, and in which order, asked of the rule itself."""
    told = {name: row[1] for row in rows(page("fallback.md"), "outcome") for name in code(row[0])}
    assert {*told} == {*Outcome} - {Outcome.SUCCEEDED}
    for name, words in told.items():
        chain = stand_ins(Outcome(name), cached=True, backup=True, default=True)
        assert chain == (tuple(StandIn) if words.startswith("yes") else ()), name

    sources = [code(row[1])[:1] for row in rows(page("fallback.md"), "what", "`source`")]
    assert sources == [["cache"], ["cache"], ["backup"], ["default"], []]


def test_the_caches_numbers_are_those_of_the_code() -> None:
    """How long by default, how long at most, how large."""
    text = page("fallback.md").replace("\n", " ")
    assert f"they are {FRESH_S} and {STALE_S:,}" in text
    assert f"each up to {MOST_S // 86_400} days" in text
    assert f"up to {MAX_CACHED_BYTES // 1024} KiB" in text
    assert f"the last {CACHED_KEPT}." in text
    (row,) = (row for row in rows(page("fields.md"), "where", "field") if row[0] == "cache")
    assert row[2] == f"0 to {MOST_S:,} seconds each; {FRESH_S} and {STALE_S:,}"


# --- agents.md


def test_how_much_a_tool_may_say_and_which_kinds_there_are() -> None:
    """As the code has it."""
    section = page("agents.md").partition("## Tools")[2].partition("\n## ")[0]
    assert f"{MAX_CHARS:,} characters" in section
    assert [kind for kind in TOOL_TYPES if f"`{kind}`" not in section] == []


def tried_again(outcome: Outcome) -> str:
    """Return the page's words for what the retry rule does, found by asking it until it says no."""

    def most(retry_times: int, *, sent: bool) -> int:
        reply = Reply(outcome=outcome, retry_allowed=True, sent=sent)
        tally, times = Tally(), 0
        while (again := next_try(reply, retry_times, tally, lambda: 0.5)) is not None:
            tally, times = again.tally, times + 1
        return times

    asked = {(wish, sent): most(wish, sent=sent) for wish in (0, 1, 7) for sent in (True, False)}
    if not any(asked.values()):
        return "no"
    if len(set(asked.values())) == 1:
        return f"{asked[0, True]} times, not counted"
    assert all(times == wish for (wish, sent), times in asked.items() if sent)
    least = asked[0, False]
    assert all(times == max(wish, least) for (wish, sent), times in asked.items() if not sent)
    return f"`retry_times`; at least {least} if it was not sent in full" if least else "`retry_times`"


def heard(outcome: Outcome) -> str:
    """Return the page's word for what a breaker with one failure makes of an outcome."""
    before = Breaker(failures=1)
    after = breaker.settle(before, BreakerPolicy(), 1_000, ticket="f" * 32, generation=0, outcome=outcome)
    if after == before:
        return "neutral"
    if after.cooling_until_ms > before.cooling_until_ms:
        return "cools"
    return "failure" if after.failures > before.failures else "success"


def test_every_outcome_is_in_the_table_with_what_the_rules_make_of_it() -> None:
    """The words for retries and breakers are computed from the rules themselves."""
    told = {code(row[0])[0]: (row[2], row[3]) for row in rows(page("agents.md"), "outcome")}
    assert told == {outcome.value: (tried_again(outcome), heard(outcome)) for outcome in Outcome}


# --- api.md


def test_every_endpoint_and_problem_is_in_the_tables() -> None:
    """Method and path as the contract has them."""
    told = [code(row[0])[0] for row in rows(page("api.md"), "method and path")]
    assert sorted(told) == sorted(f"{each.method} {each.path}" for each in endpoints.ALL)
    assert {code(row[0])[0] for row in rows(page("api.md"), "code")} == {*ProblemCode}


def asked(script: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of every request in the examples of the page."""
    for command in re.findall(r"^(?:ask|curl) .*?(?:\n(?! )|\Z)", script, re.DOTALL | re.MULTILINE):
        words = shlex.split(command)
        verb = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
        url = next(word for word in words if word.startswith(("$URL", "$STATE")))
        yield verb, url.replace("$STATE", "/v1/traces/trace-1/state").replace("$URL", "").partition("?")[0]


def test_the_examples_of_the_api_work_and_leave_no_endpoint_out() -> None:
    """Run in their order by a shell, against a sidecar; every answer is a success."""
    blocks = [block for block in fenced(page("api.md"), "sh") if "$URL" in block or "$STATE" in block]
    script = "\n".join(blocks)
    requests = list(asked(script))
    missing = [each.name for each in endpoints.ALL if not any(map(_of(each), requests))]
    assert missing == []

    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here, so the page's examples were compared and not run")
    with tempfile.TemporaryDirectory(prefix="ens-") as folder, SidecarProcess(Path(folder)) as sidecar:
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            env={"PATH": os.environ["PATH"], "URL": sidecar.url, "TOKEN": sidecar.token},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"failures":1' in done.stdout


def _of(endpoint: endpoints.Endpoint[Any, Any]) -> Callable[[tuple[str, str]], bool]:
    shape = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(endpoint.path)))
    return lambda request: request[0] == endpoint.method and shape.fullmatch(request[1]) is not None


# --- readme/


@pytest.mark.parametrize("language", ["zh_Hans", "ja_JP", "pt_BR"])
def test_the_other_languages_name_every_tool_and_the_orchestrators_outputs(language: str) -> None:
    """By the words Dify shows in that language."""
    text = (ROOT / "readme" / f"README_{language}.md").read_text(encoding="utf-8")
    every = dict(tools())

    assert [tool["identity"]["label"][language] for tool in every.values()] == [
        label for tool in every.values() if f"**{(label := tool['identity']['label'][language])}**" in text
    ]
    outputs = {path for path in paths(every["orchestrator"]["output_schema"]) if "." not in path and "[" not in path}
    assert outputs <= {*code(text)}


# --- limits told in several pages


def test_how_much_one_call_takes_is_what_the_contract_lets_through() -> None:
    """Values, items, members, parts, budgets listed."""
    state = page("state.md").replace("\n ", "")
    assert f"at most {MAX_AT_ONCE} values" in state
    for model, field, words in (
        (Append, "items", "items"),
        (SetChange, "add", "members"),
        (SetChange, "remove", "members"),
    ):
        (most,) = (each.max_length for each in model.model_fields[field].metadata if hasattr(each, "max_length"))
        assert f"at most {most:,} {words}" in state
    assert [
        row[1].count(f"at most {MAX_AT_ONCE}") for row in rows(page("api.md"), "method and path") if "/state-" in row[0]
    ] == [1, 1]
    assert f"at most {MOST_PARTS:,} parts" in page("context.md")
    (listed,) = (row[1] for row in rows(page("api.md"), "method and path") if row[0] == "`GET /v1/budgets`")
    assert f"the {MOST_LISTED:,} defined last" in listed


def test_how_long_somebody_may_take_to_decide() -> None:
    """As the code has it."""
    assert f"may take {DECIDING_S:g} s" in page("router.md")


# --- troubleshooting.md


def spelled(folder: Path) -> Iterator[str]:
    """Yield every text in the modules of *folder*, those put together of values and words with ``{`` for each value."""
    for module in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{" for each in node.values)


def test_what_is_quoted_as_a_symptom_is_said_somewhere() -> None:
    """Word for word, by the plugin, the library or the sidecar."""
    said = "\n".join(text for name in ("plugin", "ensemble", "sidecar") for text in spelled(ROOT / name))
    said = said.replace("not accept the {", f"not accept the {IN_DIFY.token}")
    headers = [("it says", "why"), ("what one sees", "why"), ("what one sees", "why"), ("code", "why")]
    sections = page("troubleshooting.md").split("\n## ")[1:]
    quoted = [
        words
        for section, header in zip(sections, headers, strict=True)
        for row in rows(section, *header)
        for words in code(row[0])
        if " " in words
    ]

    assert len(quoted) > 12
    assert [words for words in quoted if words not in said] == []
