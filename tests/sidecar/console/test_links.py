"""What a run's link opens over HTTP: that run and its messages, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from sidecar.app import create_app
from sidecar.console.signing import LINK_S, Keys, Links
from sidecar.edge.auth import Tenants
from sidecar.settings import Settings
from sidecar.store.connection import Client
from tests.pages import page as told_in
from tests.sidecar.console.browsing import TOKENS, Visitor, parsed
from tests.sidecar.console.making import PUBLIC_URL, STEPS, Run, ended, run_tenant, shared

type Begin = Callable[..., Run]


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


def test_a_link_that_has_ended_says_so(visitor: Visitor, redis: Client, tenant: str) -> None:
    """Who has it learns where the run can be found still."""
    keys = Keys(redis)
    links = Links(keys, Tenants({TOKENS[0]: tenant}), PUBLIC_URL)
    url = links.url(tenant, "0" * 32, keys.now_ms() - LINK_S * 1000)
    assert url is not None
    answer = visitor.get(url.partition("/console/")[2])

    assert answer.status_code == 410
    assert "This link has ended" in answer.text


def test_the_page_tells_how_links_are_taken_back(
    visitor: Visitor, a_run: Begin, redis: Client, valkey: Any, tenant: str
) -> None:
    """Its command is run as it stands, but for where the store is and whose links they are."""
    if not valkey.url.startswith("unix:"):
        pytest.skip("the command is for the sidecar's own store")
    link = shared(ended(a_run()))
    (script,) = re.findall(r'^docker compose exec ensemble python -c "(.+)"$', told_in("console.md"), re.MULTILINE)
    script = script.replace("/data/store/valkey.sock", valkey.url.removeprefix("unix://")).replace("default", tenant)
    before = visitor.get(link).status_code
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (before, done.stdout.strip(), visitor.get(link).status_code) == (200, "1", 403)
