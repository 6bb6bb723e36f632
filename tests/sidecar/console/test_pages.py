"""The pages over HTTP: what stands on each, what every answer tells the browser, and what a link does and does not open."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from tests.sidecar.console.browsing import TOKENS, Visitor, parsed, words
from tests.sidecar.console.making import STEPS, Run, ended, failed, identity, result, run_tenant

type Begin = Callable[..., Run]


def test_the_list_tells_of_each_run_in_a_line(operator: Visitor, a_run: Begin) -> None:
    """The newest first, open ones too; of one's own tenant only."""
    one, two, strange = a_run(), a_run(), a_run(other=True)
    ended(one, "the first task")
    two.open(STEPS, "the second task", pattern="parallel")
    ended(strange, "nobody else's business")

    answer = operator.get()
    page = parsed(answer.text)
    rows = re.findall(r"<tr.*?</tr>", answer.text, re.DOTALL)[1:]
    assert page.faults == []
    assert [each in row for row, each in zip(rows, ("the second task", "the first task"), strict=True)] == [True, True]
    assert re.search(r"running.*the second task.*parallel", words(parsed(rows[0])))
    assert re.search(r"partial.*the first task.*plan.* ms 4 40 just now", words(parsed(rows[1])))
    assert 'data-live="3000"' in answer.text
    assert "nobody else" not in answer.text


def test_the_list_is_filtered_and_paged(operator: Visitor, a_run: Begin) -> None:
    """By trace and status; the next page keeps the filter."""
    for number in range(53):
        run = a_run()
        run.open({"one": ()}, f"task {number}.", trace_id="trace-a" if number % 2 else "trace-b")
        if number % 4 == 0:
            run.close(RunStatus.FAILED, "")

    assert len(re.findall(r"task \d+\.", operator.get().text)) == 50
    (older,) = parsed(operator.get("?status=running").text).having("a", rel="next") or [{}]
    assert older == {}
    assert len(re.findall(r"task \d+\.", operator.get("?status=failed").text)) == 14
    assert len(re.findall(r"task \d+\.", operator.get("?trace_id=trace-a").text)) == 26
    assert "No run is found" in operator.get("?trace_id=trace-a&status=failed").text
    (older,) = parsed(operator.get().text).having("a", rel="next")
    rest = operator.get(older["href"].removeprefix("./"))
    assert sorted(re.findall(r"task (\d+)\.", rest.text)) == ["0", "1", "2"]


@pytest.mark.parametrize("query", ["?status=green", "?trace_id=a b", "?before_ms=-1", "?before_ms=x"])
def test_a_filter_that_can_not_be_meant_is_said_so(operator: Visitor, query: str) -> None:
    """On a page."""
    answer = operator.get(query)

    assert (answer.status_code, answer.mimetype) == (422, "text/html")
    assert "Nothing can be found by this" in answer.text


def test_a_runs_page_tells_all_of_it(operator: Visitor, a_run: Begin) -> None:
    """Its answer, what failed and why, each attempt, the plan, what was spent, and where it belongs."""
    run = a_run()
    ended(run)

    answer = operator.get(f"runs/{run.run_id}")
    page = parsed(answer.text)
    said = words(page)
    assert (answer.status_code, page.faults) == (200, [])
    for each in (
        "the whole answer",
        "it broke",
        "agent failed",
        "careful",
        "2 attempts",
        "from the cache, 1 min 1 s old, stale",
        "facts <b>bold</b>",
        f"key of {run.run_id}",
        run.run_id,
        run.trace_id,
    ):
        assert each in said, each
    titles = [each for each in re.findall(r"<title>([^<]+)</title>", answer.text) if each.startswith("Attempt")]
    assert [re.sub(r", .*", "", each) for each in titles] == [
        "Attempt 1 by market: succeeded",
        "Attempt 1 by market: unavailable",
        "Attempt 2 by market: agent failed",
        "Attempt 1 by market: succeeded",
    ]
    assert len(page.having("path", class_="arrow")) == 2
    assert "data-live" not in answer.text


def test_a_page_of_an_open_run_asks_to_be_looked_at_again(operator: Visitor, a_run: Begin, redis: Any) -> None:
    """And says when nobody runs it any more, and what was under way then."""
    run = a_run()
    run.open(STEPS)
    run.call("market")
    before = operator.get(f"runs/{run.run_id}").text
    key = f"ens:{{{run_tenant(redis, run)}}}:run:{run.run_id}"
    document = redis.hget(key, "run")
    redis.hset(key, "run", re.sub(r'"lease_until_ms":\d+', '"lease_until_ms":1', document))
    after = operator.get(f"runs/{run.run_id}").text

    assert 'data-live="1500"' in before
    assert "still under way" in before
    assert "pending" in before
    assert "not heard of" not in before
    assert "not heard of any more" in after


def test_what_was_under_way_when_an_engine_died_is_marked_in_words(operator: Visitor, a_run: Begin, redis: Any) -> None:
    """An attempt nobody knows the end of, and a step that was kept from the engine before."""
    first = a_run()
    first.open(STEPS, run_key=f"again-{first.run_id}", trace_id="t1")
    first.call("market", "rivals")
    first.end("market", told=result("market", started_ms=0))
    key = f"ens:{{{run_tenant(redis, first)}}}:run:{first.run_id}"
    redis.hset(key, "run", re.sub(r'"lease_until_ms":\d+', '"lease_until_ms":1', redis.hget(key, "run")))
    second = a_run()
    second.open(STEPS, run_key=f"again-{first.run_id}", trace_id="t1")
    assert second.run_id == first.run_id

    said = words(parsed(operator.get(f"runs/{first.run_id}").text))
    assert "kept from before" in said
    assert "one attempt uncertain" in said
    assert "taken up 1 time again" in said


def test_what_was_skipped_for_another_is_no_error_of_its_own(operator: Visitor, a_run: Begin) -> None:
    """One line says what failed; the others are told on the timeline."""
    run = a_run()
    run.open({"first": (), "second": ("first",)})
    run.call("first")
    run.end("first", Outcome.AGENT_FAILED, failed("first", "it broke"))
    told = ErrorInfo(code="upstream_failed", message="first has no result.")
    run.skip(StepResult(step="second", agent="market", status=StepStatus.SKIPPED, error=told))
    run.close(RunStatus.FAILED, "")

    page = parsed(operator.get(f"runs/{run.run_id}").text)
    errors = words(page).partition("Errors")[2].partition("Timeline")[0]
    assert errors.strip() == "first market · agent failed it broke"
    assert "skipped" in words(page)


def test_groups_are_told_by_some_of_their_parts(operator: Visitor, a_run: Begin) -> None:
    """The others stand together in a row that counts how they ended."""
    run = a_run()
    run.open({"each": (), "sum": ("each",)}, max_parallel=100, groups={"each"})
    parts = [f"each[{number}]" for number in range(60)]
    run.call(*parts)
    for part in parts[:58]:
        run.end(part, told=result(part, started_ms=1))
    run.end(parts[58], Outcome.AGENT_FAILED, failed(parts[58], "no", started_ms=1))
    run.skip(result("each", "all of it", started_ms=1, took_ms=250))
    run.skip(result("sum", "by its fallback", started_ms=1, took_ms=0))
    run.close(RunStatus.PARTIAL)

    said = words(parsed(operator.get(f"runs/{run.run_id}").text))
    assert "each[2]" in said
    assert "each[23]" in said
    assert "each[24]" not in said
    assert re.search(r"36 more parts .*34 succeeded 1 failed 1 uncertain", said)
    assert said.count("All its parts: 250 ms") == 1


def test_the_messages_of_a_run_are_told_in_order(operator: Visitor, a_run: Begin) -> None:
    """What was opened, given, answered, why not, and how it was closed."""
    run = a_run()
    ended(run, "the task of all")

    page = parsed(operator.get(f"runs/{run.run_id}/messages").text)
    said = words(page)
    assert page.faults == []
    order = [
        "run opened",
        "the task of all",
        "do it",
        "facts <b>bold</b>",
        "it broke",
        "run partial",
        "the whole answer",
    ]
    places = [said.index(each) for each in order]
    assert places == sorted(places)


def test_runs_of_one_trace_stand_together_nested_ones_inside(operator: Visitor, a_run: Begin) -> None:
    """On the page of each and on the trace's own."""
    outer, inner = a_run(), a_run()
    outer.open({"one": ()}, "the outer task")
    outer.call("one")
    inner.open(
        {"deep": ()}, "the inner task", agent="writer", trace_id=outer.trace_id, parent=outer.inside(outer, "one")
    )

    for page in (f"runs/{inner.run_id}", f"traces/{outer.trace_id}"):
        text = operator.get(page).text
        assert text.index("the outer task") < text.rindex("the inner task")
        assert re.search(r'class="in in-1"><bdi>the inner task', text)
        assert f'href="../runs/{outer.run_id}"' in text


def test_the_other_pages_tell_what_the_api_tells(operator: Visitor, a_run: Begin, client: FlaskClient) -> None:
    """Agents with their figures, breakers with their changes, budgets, slots, mailboxes and dead letters."""
    run = a_run()
    run.open({f"s{number}": () for number in range(5)}, agent="flaky", trace_id="trace-m")
    for number in range(5):
        run.call(f"s{number}", agent="flaky")
        run.end(f"s{number}", Outcome.AGENT_FAILED, failed(f"s{number}", "no"))
    headers = {"Authorization": f"Bearer {TOKENS[0]}"}

    def put(method: str, path: str, body: Any) -> Any:
        answer = client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    put("PUT", "/v1/budgets/one?name=work", {"limits": {"tokens": 10, "money": {"amount": "2.5", "currency": "EUR"}}})
    put("PUT", "/v1/slots", {"total": 7})
    put(
        "PUT",
        f"/v1/breakers/force?identity={identity('other').replace('#', '%23')}",
        {"state": "open", "reason": "repairs"},
    )
    box = "/v1/traces/trace-m/mailboxes/flaky"
    put("PUT", box, {"description": "breaks", "max_deliveries": 1})
    put(
        "POST",
        "/v1/traces/trace-m/messages",
        {"sender_agent_id": "a", "receiver_agent_id": "flaky", "content": {"k": "<i>"}},
    )
    receipt = put("POST", f"{box}/deliveries", {})["deliveries"][0]["receipt"]
    put("POST", f"{box}/rejections", {"receipt": receipt, "reason": "can't be done", "retry": False})

    said = {
        page: words(parsed(operator.get(page).text)) for page in ("agents", "breakers", "budgets", "traces/trace-m")
    }
    assert re.search(r"failing flaky .* open 5 100\.0 %", said["agents"])
    assert re.search(r"open flaky .* failures", said["breakers"])
    assert "repairs" in said["breakers"]
    assert re.search(r"work for good .* Tokens 0 . 10 .* Money 0 EUR . 2.5 EUR", said["budgets"])
    assert re.search(r"everywhere \d 7", said["budgets"])
    assert re.search(r"flaky 0 0 0 1 breaks", said["traces/trace-m"])
    assert 'can\'t be done {"k": "<i>"}' in said["traces/trace-m"]
    asked = identity("flaky").replace("#", "%23")
    assert "failures" in words(parsed(operator.get(f"breaker?identity={asked}").text))
    assert re.search(r"agent failed 5", words(parsed(operator.get(f"agent?identity={asked}").text)))


def test_pages_without_anything_say_so(operator: Visitor) -> None:
    """A fresh sidecar's are no empty tables."""
    told = {
        "": "No run is on record",
        "agents": "No agent",
        "breakers": "every breaker is closed",
        "budgets": "None is defined",
        "traces/none": "None is on record",
    }

    assert [page for page, each in told.items() if each not in operator.get(page).text] == []
