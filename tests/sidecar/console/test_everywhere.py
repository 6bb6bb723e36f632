"""What holds for every page: what it tells browsers, where its links lead, and what becomes of what can't be shown."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from ensemble.contract import endpoints
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.runs import RunParams
from sidecar.app import create_app
from sidecar.console.pages import HEADERS
from sidecar.console.reading import Reader
from sidecar.console.session import SESSION_COOKIE
from sidecar.settings import Settings
from tests.sidecar.console.browsing import TOKENS, Visitor, parsed
from tests.sidecar.console.making import STEPS, Run, ended, failed, identity, shared

type Begin = Callable[..., Run]


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
    visitor.client.set_cookie(SESSION_COOKIE, "of a session", domain="localhost", path="/console", secure=True)
    left = visitor.post("sign-out", {})
    client.close()

    for answer in answers:
        assert (answer.status_code, answer.mimetype) == (503, "text/html")
        assert "does not answer" in answer.text
        assert answer.headers["Retry-After"] == "1"
    assert (left.status_code, visitor.cookie(SESSION_COOKIE)) == (303, "")


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
