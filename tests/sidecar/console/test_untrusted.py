"""What agents and users wrote stands on pages as text, whatever it is, and however much of it there is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ensemble.contract.exchange import PlannedStep
from ensemble.contract.messages import AgentMessage, MessageType
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.contract.runs import AttemptView, RunView
from sidecar.console.messages import told
from sidecar.console.pages import Pages
from sidecar.console.run_page import ROWS_SHOWN, run_page
from sidecar.console.words import clean, json_head
from tests.sidecar.console.browsing import TOKENS, Parsed, Visitor, parsed
from tests.sidecar.console.making import Run, identity, result

PAGES = Pages()
SLOWEST_S = 0.3
NASTY = (
    "<script>alert(1)</script>",
    "</div></main><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'y',
    "{{ 7 * 7 }}{% raw %}",
    "<!-- --><![CDATA[ ]]>",
    "\u202egnp.exe\u202c",
    "العربية mixed with English",
    "a\x00b\x08c\x1b[31m",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;",
    "市场分析 🧑‍🚀 e\u0301",
    "x" * 5000,
)
TEXTS = st.sampled_from(NASTY) | st.text(max_size=80)
NAMES = st.sampled_from(["market", "市场", "عربي", "a b-c.d_e"])


def run_of(task: str, text: str, name: str = "one", **more: Any) -> RunView:
    """Return a run in which every text is somebody's."""
    step = PlannedStep(id=name, agent=name, identity=text[:512] or "i", depends_on=())
    error = ErrorInfo(code=Outcome.AGENT_FAILED, message=text[:4096])
    ended = StepResult(
        step=name,
        agent=name,
        status=StepStatus.FAILED,
        text=text,
        data={text: text},
        error=error,
        sources=(text,),
        attempts=1,
    )
    attempt = AttemptView(
        ticket="0" * 32,
        step=name,
        agent=name,
        identity=text[:512] or "i",
        attempt=1,
        epoch=1,
        content=text,
        admitted_ms=1_000_000_000_000,
        settled_ms=1_000_000_000_500,
        took_ms=500,
        outcome=Outcome.AGENT_FAILED,
        error=error,
    )
    given = {"attempts": (attempt,), "results": (ended,), "steps": (step,), "pattern": text[:64], **more}
    return RunView(
        run_id="0" * 32,
        run_key=text[:256] or "k",
        trace_id="trace",
        task=task,
        status=RunStatus.FAILED,
        opened_ms=1_000_000_000_000,
        closed_ms=1_000_000_001_000,
        epoch=1,
        lease_ms=0,
        answer=text,
        warnings=(text,),
        **given,
    )


def shown(app: Flask, run: RunView) -> str:
    """Return the page of a run."""
    with app.test_request_context("/console/runs/x"):
        page = run_page(run, run.opened_ms + 1000)
        others = ((0, run),)
        return PAGES.page(
            "run.html",
            tenant="t",
            page=page,
            run=run,
            now_ms=page.now_ms,
            shared=None,
            messages_at="runs/x/messages",
            others=others,
            live=False,
        ).get_data(as_text=True)


def assert_text_only(page: str, plain: str) -> Parsed:
    """Check that *page* has the same elements and attributes as the page *plain*, whatever texts stand in both."""
    found, known = parsed(page), parsed(plain)
    assert found.faults == []
    shape = [(tag, sorted(attributes)) for tag, attributes in found.elements]
    assert [
        each for each in shape if each not in [(tag, sorted(attributes)) for tag, attributes in known.elements]
    ] == []
    assert [each for each in found.elements if each[0] == "script"] == [
        each for each in known.elements if each[0] == "script"
    ]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(task=TEXTS, text=TEXTS, name=NAMES)
@example(task=NASTY[0], text=NASTY[1], name="market")
@example(task=NASTY[2], text=NASTY[2], name="market")
def test_no_text_of_a_run_becomes_markup(app: Flask, task: str, text: str, name: str) -> None:
    """Same elements, same attributes as with harmless texts, and the texts themselves to be read."""
    plain = shown(app, run_of("task", "text", name))
    # What is cut says so, and what is empty is left out: neither adds anything a harmless text would not.
    cut = shown(app, run_of("x" * 5000, "x" * 25_000, name))
    page = assert_text_only(
        shown(app, run_of(task, text, name)), plain + cut.partition("<body>")[2].replace("</body>", "")
    )

    said = "".join(page.text.split())
    assert "".join(clean(task.strip()[:300]).split()) in said
    assert "".join(clean(text[:2000]).split()) in said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=TEXTS,
    content=st.recursive(
        TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
    ),
)
def test_no_message_becomes_markup(app: Flask, text: str, content: Any) -> None:
    """Whatever stands in it."""

    def page(*messages: AgentMessage) -> str:
        with app.test_request_context("/console/runs/x/messages"):
            return PAGES.page(
                "messages.html",
                tenant="t",
                run_id="0" * 32,
                run_at="runs/x",
                shared=None,
                messages=[told(each) for each in messages],
                first=0,
                total=len(messages),
                later=None,
                earlier=None,
            ).get_data(as_text=True)

    def message(content: Any, text: str) -> AgentMessage:
        return AgentMessage(
            trace_id="t",
            sender_agent_id="a",
            sender_agent_name=text[:128],
            receiver_agent_id="b",
            message_type=MessageType.ERROR,
            content=content,
            task_id=text[:128] or "x",
            error_code=text[:64] or "x",
            error_message=text[:4096] or "x",
        )

    assert_text_only(page(message(content, text)), page(message("content", "text")))


@pytest.mark.parametrize("text", NASTY)
def test_what_somebody_wrote_comes_through_http_as_text(
    operator: Visitor, a_run: Callable[..., Run], text: str
) -> None:
    """In the list, on the run's page and in its messages."""
    run = a_run()
    run.open({"one": ()}, text[:4000])
    run.call("one", content=text[:4000])
    run.end("one", told=result("one", text, data={text: text}, started_ms=1))
    run.close(answer=text, warnings=(text,))

    for page in ("", f"runs/{run.run_id}", f"runs/{run.run_id}/messages"):
        found = parsed(operator.get(page).text)
        assert found.faults == []
        assert len(found.having("script")) == 1
        assert found.having("img") == []
        assert "".join(clean(text[:100]).split()) in "".join(found.text.split())


def test_a_very_long_answer_is_shown_by_its_beginning(app: Flask) -> None:
    """With how much there is more, and where; the page stays small and is made fast."""
    text = "é<" * 524_288
    began = time.perf_counter()
    page = shown(app, run_of("task", text))
    took_s = time.perf_counter() - began

    assert len(page) < 300_000
    assert "1,028,576 more characters" in page
    assert took_s < SLOWEST_S


def big(steps: int) -> RunView:
    """Return a run of many steps, each called twice."""
    names = [f"step {number}" for number in range(steps)]
    planned = tuple(
        PlannedStep(id=name, agent="market", identity="i", depends_on=(names[0],) if name != names[0] else ())
        for name in names
    )
    results = tuple(result(name, "word " * 50, started_ms=number, took_ms=5) for number, name in enumerate(names))
    attempts = tuple(
        AttemptView(
            ticket=uuid.uuid4().hex,
            step=name,
            agent="market",
            identity="i",
            attempt=again + 1,
            epoch=1,
            admitted_ms=1_000_000_000_000 + 10 * number + 5 * again,
            settled_ms=1_000_000_000_004 + 10 * number + 5 * again,
            took_ms=4,
            outcome=Outcome.SUCCEEDED if again else Outcome.UNAVAILABLE,
        )
        for number, name in enumerate(names)
        for again in range(2)
    )
    return run_of("many", "text", steps=planned, results=results, attempts=attempts)


def test_two_thousand_steps_are_shown_fast_a_page_at_a_time(app: Flask) -> None:
    """With where the page stands among all, and the plan in words."""
    run = big(2000)
    shown(app, big(3))
    page, took_s = "", []
    for _ in range(3):
        began = time.perf_counter()
        page = shown(app, run)
        took_s.append(time.perf_counter() - began)

    assert min(took_s) < SLOWEST_S, took_s
    assert f"Steps 1–{ROWS_SHOWN} of 2,000" in page  # noqa: RUF001 -- as it is printed
    assert "2,000 steps in 2 levels (1, 1,999): too many to draw." in page
    assert page.count('class="fall"') == ROWS_SHOWN
    assert "step 149" in page
    assert "step 150" not in page


def test_every_step_stands_on_one_of_the_pages() -> None:
    """None twice, none left out, and the last page ends."""
    run = big(401)
    pages = [run_page(run, run.opened_ms + 9000)]
    while (later := pages[-1].later) is not None:
        pages.append(run_page(run, run.opened_ms + 9000, later))
    seen = [row.step for page in pages for row in page.rows]

    assert seen == [step.id for step in run.steps]
    assert run_page(run, run.opened_ms, 10**6).rows


@given(
    value=st.recursive(
        st.text() | st.integers() | st.booleans() | st.none() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    most=st.integers(1, 200),
)
def test_the_beginning_of_json_is_never_longer_than_asked_for(value: Any, most: int) -> None:
    """Whatever it holds."""
    assert len(json_head(value, most)) <= most + 2


def test_the_pages_work_with_the_identities_that_plans_make(app: Flask, operator: Visitor) -> None:
    """An identity holds slashes, colons and hashes; its page is found all the same."""
    headers = {"Authorization": f"Bearer {TOKENS[0]}"}
    for odd in (identity("a"), "model:x/y#1&2=3", "app:<b>", "tool:é 市/?"):
        answer = app.test_client().put(
            "/v1/breakers/force", query_string={"identity": odd}, json={"state": "open"}, headers=headers
        )
        assert answer.status_code == 200
    links = [
        each["href"] for each in parsed(operator.get("breakers").text).having("a") if "breaker?" in each.get("href", "")
    ]

    assert len(links) == 4
    assert [operator.get(each.removeprefix("./")).status_code for each in links] == [200] * 4
