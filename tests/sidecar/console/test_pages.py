"""The pages over HTTP: what stands on each, what every answer tells the browser, and what a link does and does not open."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ensemble.contract import endpoints
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import ExchangeAnswer
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.runs import RunParams
from sidecar.app import create_app
from sidecar.console.desk import Desk
from sidecar.console.pages import HEADERS
from sidecar.console.reading import Reader
from sidecar.console.signing import LINK_S
from sidecar.settings import Settings
from sidecar.store.connection import Client
from tests.sidecar.console.browsing import TOKENS, Parsed, Visitor, parsed
from tests.sidecar.console.conftest import PUBLIC_URL
from tests.sidecar.console.making import Run, failed, identity, result

type Begin = Callable[..., Run]
STEPS: dict[str, tuple[str, ...]] = {"market": (), "rivals": (), "report": ("market", "rivals")}


def shared(answer: ExchangeAnswer) -> str:
    """Return a link's page, as the way from the console's first one."""
    assert answer.run.url is not None
    before, _, token = answer.run.url.partition("/shared/")
    assert before == f"{PUBLIC_URL}/console"
    return f"shared/{token}"


def ended(run: Run, task: str = "the task") -> ExchangeAnswer:
    """Conduct a run in which one of three agents failed twice; return what its opening was answered."""
    answer = run.open(STEPS, task, pattern="plan", limits=Limits(tokens=1000), run_key=f"key of {run.run_id}")
    run.call("market", "rivals")
    run.end("market", told=result("market", "facts <b>bold</b>", started_ms=0, took_ms=7))
    run.end("rivals", Outcome.UNAVAILABLE)
    run.call("rivals", attempt=2)
    run.end("rivals", Outcome.AGENT_FAILED, failed("rivals", "it broke", attempts=2, started_ms=1, took_ms=9))
    run.call("report")
    run.end("report", told=result("report", "old", source=Source.CACHE, age_ms=61_000, stale=True, started_ms=9))
    run.close(RunStatus.PARTIAL, "the whole answer", ("careful",))
    return answer


def words(page: Parsed) -> str:
    """Return a page's text in one line."""
    return " ".join(page.text.split())


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


def run_tenant(redis: Any, run: Run) -> str:
    """Return whose a run is, by the key it stands under."""
    (key,) = redis.keys(f"ens:*:run:{run.run_id}")
    return str(re.findall(r"{(.+)}", key)[0])


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


def test_groups_are_told_by_some_of_their_parts(operator: Visitor, a_run: Begin) -> None:
    """The others stand together in a row that counts how they ended."""
    run = a_run()
    run.open({"each": (), "sum": ("each",)}, max_parallel=100)
    parts = [f"each[{number}]" for number in range(60)]
    run.call(*parts)
    for part in parts[:58]:
        run.end(part, told=result(part, started_ms=1))
    run.end(parts[58], Outcome.AGENT_FAILED, failed(parts[58], "no", started_ms=1))
    run.close(RunStatus.PARTIAL)

    said = words(parsed(operator.get(f"runs/{run.run_id}").text))
    assert "each[2]" in said
    assert "each[23]" in said
    assert "each[24]" not in said
    assert re.search(r"36 more parts .*34 succeeded 1 failed 1 uncertain", said)


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


# --- Links


def test_a_link_shows_its_run_and_its_messages_and_leads_nowhere_else(visitor: Visitor, a_run: Begin) -> None:
    """Without signing in, read-only, with the day on which it ends."""
    run, other = a_run(), a_run()
    link = shared(ended(run))
    other.open({"one": ()}, "another task", trace_id=run.trace_id)

    page = visitor.get(link)
    parts = parsed(page.text)
    assert page.status_code == 200
    assert "the whole answer" in page.text
    assert "read-only, until" in page.text
    assert "another task" not in page.text
    token = link.partition("/")[2]
    leads = {each["href"] for each in parts.having("a") if "href" in each}
    assert leads == {"#main", f"../shared/{token}/messages"}
    assert parts.having("form") == []
    messages = visitor.get(f"{link}/messages")
    assert "it broke" in messages.text
    assert {each["href"] for each in parsed(messages.text).having("a") if "href" in each} == {
        "#main",
        f"../../shared/{token}",
    }
    assert visitor.get("runs/" + run.run_id).status_code == 303


def test_owner_follower_and_whoever_comes_late_are_given_a_link_to_one_run(visitor: Visitor, a_run: Begin) -> None:
    """The run they share, whatever id each of them came with."""
    owner, follower, late = a_run(), a_run(), a_run()
    key = {"run_key": f"key-{uuid.uuid4().hex}"}
    answers = [owner.open(STEPS, **key), follower.open(STEPS, **key)]
    owner.close()
    answers.append(late.open(STEPS, **key))

    assert [each.run.role.value for each in answers] == ["owner", "follower", "finished"]
    for answer in answers:
        assert owner.run_id in visitor.get(shared(answer)).text


def test_a_link_is_told_with_the_opening_only(a_run: Begin) -> None:
    """And for a day."""
    run = a_run()
    opened = run.open(STEPS)
    run.call("market")
    later = run._say()

    assert opened.run.url is not None
    assert later.run.url is None
    assert LINK_S == 24 * 3600


def test_there_are_no_links_where_the_sidecar_does_not_know_how_it_is_reached(redis: Client, tenant: str) -> None:
    """Nor is a key made for them; the console is there all the same."""
    app = create_app(Settings.from_environment({}), redis, {TOKENS[0]: tenant})
    headers = {"Authorization": f"Bearer {TOKENS[0]}"}

    def tell(body: str) -> str:
        return app.test_client().post("/v1/exchange", data=body, content_type="application/json", headers=headers).text

    assert Run(tell).open(STEPS).run.url is None
    assert redis.get(f"ens:{{{tenant}}}:console") is None
    assert Visitor(app.test_client()).sign_in().status_code == 303


def test_a_link_works_at_every_sidecar_on_the_store(second_app: Flask, a_run: Begin) -> None:
    """Whichever the proxy chooses."""
    link = shared(ended(a_run()))

    assert Visitor(second_app.test_client()).get(link).status_code == 200


@pytest.mark.parametrize("page", ["", "/messages"])
def test_what_is_no_link_says_so_and_is_told_in_the_log(
    visitor: Visitor, a_run: Begin, caplog: pytest.LogCaptureFixture, page: str
) -> None:
    """One run's signature opens no other run."""
    one, two = a_run(), a_run()
    link = shared(ended(one))
    two.open(STEPS, "a secret task")
    answer = visitor.get(link.replace(one.run_id, two.run_id) + page)

    assert answer.status_code == 403
    assert "The link opens nothing" in answer.text
    assert "a secret task" not in answer.text
    assert "A request was refused" in caplog.text
    assert link.rpartition(".")[2] not in caplog.text


def test_a_link_whose_run_is_gone_says_so(visitor: Visitor, a_run: Begin, redis: Any) -> None:
    """It may be kept shorter than the link lasts."""
    run = a_run()
    link = shared(ended(run))
    redis.delete(f"ens:{{{run_tenant(redis, run)}}}:run:{run.run_id}")
    answer = visitor.get(link)

    assert answer.status_code == 404
    assert "its time to be kept has passed" in answer.text


def test_a_link_that_has_ended_says_so(visitor: Visitor, app: Flask, tenant: str) -> None:
    """Who has it learns where the run can be found still."""
    desk = desk_of(app)
    url = desk.links.url(tenant, "0" * 32, desk.keys.now_ms() - LINK_S * 1000)
    assert url is not None
    answer = visitor.get(url.partition("/console/")[2])

    assert answer.status_code == 410
    assert "This link has ended" in answer.text


def desk_of(app: Flask) -> Desk:
    """Return what the app's pages work with."""
    closures = [cell.cell_contents for cell in app.view_functions["console.ask"].__closure__ or ()]
    return next(each for each in closures if isinstance(each, Desk))


# --- What holds for all of them


def all_pages(run: Run, link: str) -> list[str]:
    """Return an address of every page there is, of errors too."""
    pages = ["", "sign-in", f"runs/{run.run_id}", f"runs/{run.run_id}/messages", "agents", "breakers", "budgets", link]
    pages += [
        f"traces/{run.trace_id}",
        f"{link}/messages",
        "shared/none",
        "runs/none",
        "none",
        "static/none",
        "sign-out",
    ]
    asked = identity("market").replace("#", "%23")
    return [*pages, f"agent?identity={asked}", f"breaker?identity={asked}", "agent?identity=none", "breaker", "agent"]


def test_every_page_is_whole_and_tells_the_browser_to_trust_nothing(
    operator: Visitor, a_run: Begin, app: Flask
) -> None:
    """Also where something is wrong; nothing is kept, framed, indexed, or loaded from elsewhere."""
    run = a_run()
    pages = all_pages(run, shared(ended(run)))
    stranger = Visitor(app.test_client())

    for page in pages:
        for who in (operator, stranger):
            answer = who.get(page)
            assert answer.mimetype == "text/html", page
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, page
            assert answer.headers["Cache-Control"] == "no-store", page
            assert answer.status_code < 500, page
            if answer.status_code != 303:
                found = parsed(answer.text)
                assert found.faults == [], page
                assert not any("style" in attributes for _, attributes in found.elements), page
                assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes), page
                assert all("://" not in each.get("href", each.get("src", "")) for _, each in found.elements), page


def test_every_route_is_among_these_pages(app: Flask) -> None:
    """A page somebody adds is looked at, too."""
    run = Run(lambda _: "")
    run.trace_id = "t"
    routes = {
        rule.rule.removeprefix("/console") for rule in app.url_map.iter_rules() if rule.rule.startswith("/console")
    }
    shapes = {re.compile(re.sub(r"<\w+>", "[^/]+", route) + "$"): route for route in routes - {""}}
    seen = {
        route
        for shape, route in shapes.items()
        for page in all_pages(run, "shared/x")
        if shape.match("/" + page.partition("?")[0])
    }

    assert seen == routes - {""}


def test_links_and_files_are_found_below_any_folder(operator: Visitor, a_run: Begin) -> None:
    """All are relative, so a proxy may put whatever it likes before them."""
    run = a_run()
    ended(run)
    bare = operator.client.get("/console")
    for page in ("", f"runs/{run.run_id}", f"runs/{run.run_id}/messages", f"traces/{run.trace_id}", "agents"):
        for _, attributes in parsed(operator.get(page).text).elements:
            for name in ("href", "src", "action"):
                target = attributes.get(name, "./")
                assert re.match(r"\.\.?/|\?|#", target), target
                assert target.count("../") <= page.count("/"), target

    assert (bare.status_code, bare.headers["Location"]) == (303, "console/")


def test_files_are_kept_by_browsers_until_they_change(visitor: Visitor) -> None:
    """Their address holds what is in them; nobody has to sign in for them."""
    page = parsed(visitor.get("sign-in").text)
    (script,) = page.having("script")
    (style,) = page.having("link", rel="stylesheet")

    for address, kind in ((script["src"], "text/javascript"), (style["href"], "text/css")):
        answer = visitor.get(address.removeprefix("./"))
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert "immutable" in answer.headers["Cache-Control"]
        assert re.search(r"\?v=[0-9a-f]{12}$", address)


@pytest.mark.parametrize(
    ("method", "page"), [("POST", ""), ("PUT", "runs/x"), ("DELETE", "agents"), ("GET", "sign-out")]
)
def test_a_page_asked_for_in_another_way_says_so(operator: Visitor, method: str, page: str) -> None:
    """As a page."""
    answer = operator.client.open(f"/console/{page}", method=method, base_url="https://localhost")

    assert (answer.status_code, answer.mimetype) == (405, "text/html")


def test_the_api_still_answers_as_it_did(operator: Visitor) -> None:
    """A session is no token, and what is no page is no page."""
    for path in ("/v1/runs", "/consoles", "/v1/console"):
        answer = operator.client.get(path, base_url="https://localhost")
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")


def test_the_console_asks_for_nothing_that_changes_anything() -> None:
    """Its reader refuses to."""
    reader = Reader({}, "t")

    with pytest.raises(TypeError, match="only reads"):
        reader.ask(endpoints.CANCEL_RUN, RunParams(run_id="0" * 32))


def test_a_store_that_is_away_is_told_on_a_page(tenant: str) -> None:
    """With when to come back."""
    from sidecar.store.connection import connect  # noqa: PLC0415 -- of one test

    client = connect("redis://127.0.0.1:1/0")
    app = create_app(Settings.from_environment({}), client, {TOKENS[0]: tenant})
    visitor = Visitor(app.test_client())
    answers = [visitor.get(f"shared/{tenant}.{'0' * 32}.9999999999.{'A' * 43}"), visitor.sign_in()]
    client.close()

    for answer in answers:
        assert (answer.status_code, answer.mimetype) == (503, "text/html")
        assert "does not answer" in answer.text
        assert answer.headers["Retry-After"] == "1"


def test_steps_that_never_began_are_told_apart_from_those_that_wait(operator: Visitor, a_run: Begin) -> None:
    """Once a run is over nothing waits any more."""
    run = a_run()
    run.open(STEPS)
    run.call("market")
    run.end("market", Outcome.CANCELLED, failed("market", "ended", Outcome.CANCELLED, status=StepStatus.CANCELLED))
    assert ">pending<" in re.sub("</svg>", ">", operator.get(f"runs/{run.run_id}").text)
    run.close(RunStatus.CANCELLED, "")

    page = re.sub("</svg>", ">", operator.get(f"runs/{run.run_id}").text)
    assert ">pending<" not in page
    assert "no result" in page
