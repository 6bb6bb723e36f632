"""What the button "save" finds out, with real calls."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from dify_plugin.errors.tool import ToolProviderCredentialValidationError

from ensemble.contract.about import CONTRACT_VERSION, About
from plugin import checking
from plugin.adapters.pools import Pools
from plugin.checking import problems
from provider.ensemble import EnsembleProvider
from tests.plugin.web import Asked, Told, Web

GOOD, BAD, SLOW = (f"app-{letter * 24}" for letter in "GBS")
FOREVER = threading.Event()


def dify_and_sidecar(asked: Asked, contract: int = CONTRACT_VERSION, product: str = "ensemble") -> Told:
    """Answer as a Dify and as a sidecar, which tell one another apart by their paths."""
    bearer = asked.headers.get("Authorization", "").removeprefix("Bearer ")
    if asked.path == "/v1/about":
        if bearer != "good":
            return Told(401)
        return Told(body=About(version="0.1.0", contract=contract, product=product).model_dump_json().encode())
    if bearer == SLOW:
        return Told(hold=FOREVER)
    if asked.path == "/v1/info" and bearer == GOOD:
        info = {"name": "An app", "description": "", "tags": [], "mode": "workflow", "author_name": "me"}
        return Told(body=json.dumps(info).encode(), headers={"Content-Type": "application/json"})
    wrong = {"code": "unauthorized", "message": "Access token is invalid", "status": 401}
    return Told(401, json.dumps(wrong).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def saved(web: Web) -> dict[str, Any]:
    """Return credentials that are all right."""
    web.rule = dify_and_sidecar
    return {
        "sidecar_url": web.url,
        "sidecar_token": "good",
        "dify_base_url": f"{web.url}/v1",
        "app_keys": f"one = {GOOD}, two = {GOOD} @ {web.url}/v1",
    }


def test_what_works_is_saved(web: Web, saved: dict[str, Any]) -> None:
    """After one call to the sidecar and one for each key."""
    EnsembleProvider().validate_credentials(saved)

    assert sorted(asked.path for asked in web.asked) == ["/v1/about", "/v1/info", "/v1/info"]


def test_nothing_to_check_is_fine() -> None:
    """Local mode without agents; they may come later."""
    assert problems({}) == []


def test_everything_that_is_wrong_is_said_in_one_message(web: Web, saved: dict[str, Any]) -> None:
    """Name by name, without a key or the token."""
    saved |= {"sidecar_token": "b4d", "app_keys": f"one = {GOOD}, two = {BAD}, three = {BAD}"}

    with pytest.raises(ToolProviderCredentialValidationError) as caught:
        EnsembleProvider().validate_credentials(saved)

    words = str(caught.value)
    assert "does not accept the Sidecar token" in words
    assert "App 'two': " in words
    assert "App 'three': " in words
    assert "App 'one'" not in words
    assert "BBBB" not in words
    assert "b4d" not in words


def test_bad_shapes_are_said_before_anything_is_called(web: Web, saved: dict[str, Any]) -> None:
    """A list that can't be read has no keys to try."""
    (words,) = problems(saved | {"app_keys": "nonsense", "max_calls": "x"})

    assert "App keys: " in words
    assert "Calls per run: " in words
    assert web.asked == []


@pytest.mark.parametrize(
    ("contract", "advice"), [(0, "update the sidecar"), (CONTRACT_VERSION + 1, "update the plugin")]
)
def test_a_version_that_does_not_fit_is_said_plainly(
    web: Web, saved: dict[str, Any], contract: int, advice: str
) -> None:
    """With both versions, and which of the two is the older one."""
    web.rule = lambda asked: dify_and_sidecar(asked, contract)

    (words,) = problems(saved)

    assert f"speaks version {contract} of the contract, this plugin version {CONTRACT_VERSION}" in words
    assert advice in words


def test_another_service_at_the_sidecars_address_is_noticed(web: Web, saved: dict[str, Any]) -> None:
    """It may even answer in a similar language."""
    web.rule = lambda asked: dify_and_sidecar(asked, product="orchestra")

    (words,) = problems(saved)

    assert "'orchestra', not an Ensemble sidecar" in words


def test_the_check_has_an_end(web: Web, saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has not answered by then is named; the others' answers count."""
    monkeypatch.setattr(checking, "WITHIN_S", 0.3)
    try:
        found = problems(saved | {"app_keys": f"slow = {SLOW}, two = {BAD}"})
    finally:
        FOREVER.set()

    assert any(words.startswith("App 'slow' did not answer in time") for words in found)
    assert any(words.startswith("App 'two': ") for words in found)


def test_many_keys_are_tried_at_one_time(web: Web, saved: dict[str, Any]) -> None:
    """Eight answers that each wait for the other seven all come."""
    meeting = threading.Barrier(8)

    def together(asked: Asked) -> Told:
        if asked.path == "/v1/info":
            meeting.wait(5)
        return dify_and_sidecar(asked)

    web.rule = together

    assert problems(saved | {"app_keys": ", ".join(f"a{n} = {GOOD}" for n in range(8))}, Pools()) == []
