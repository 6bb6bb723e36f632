"""The stand-in's tools answer as the recording does, and fail in the daemon's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.standin import tools
from tests.standin.backwards import BackwardsRefused, check_permission
from tests.standin.invocation import Invocation
from tests.standin.recordings import VERSIONS, Version, inner_api, unframed
from tests.standin.tools import Said, Tools

CALL = Invocation("s")


def silent(_: dict[str, Any]) -> Iterator[Said]:
    return iter(())


def ask(workspace: Tools, **request: Any) -> list[Any]:
    asked = {"tool_type": "builtin", "provider": "acme/web/web", "tool": "search", "tool_parameters": {}, **request}
    return list(workspace(asked, CALL))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_text_has_the_recorded_form(version: Version) -> None:
    recorded = inner_api(version)["inner:tool"]
    request = recorded["request"]["json"]
    workspace = Tools({"current_time": lambda _: iter([tools.text("2026")])}, provider="time")

    assert unframed(recorded) == list(workspace(request, CALL))


def test_files_are_stored_before_they_are_seen() -> None:
    said = ask(Tools({"search": lambda _: iter([tools.blob("image/png", "a.png"), tools.blob("text/csv", "b.csv")])}))

    assert ["image_link", "binary_link"] == [message["type"] for message in said]
    assert all(message["meta"]["tool_file_id"] in message["message"]["text"] for message in said)
    assert not any("blob" in message["message"] for message in said)


@pytest.mark.parametrize(
    ("workspace", "request_", "words"),
    [
        (Tools({}), {}, "builtin tool search not found"),
        (Tools({}), {"provider": "a/b/c"}, "plugin provider a/b/c not found"),
        (Tools({"search": silent}, authorized=False), {}, "no default provider for acme/web/web"),
        (Tools({"search": silent}, required=("q",)), {}, "tool parameter q not found in tool config"),
    ],
)
def test_what_is_known_beforehand_is_refused_before_the_tool_runs(
    workspace: Tools, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(BackwardsRefused, match=r"^invoke tool failed: request failed with status code: 400") as refused:
        workspace(
            {"tool_type": "builtin", "provider": "acme/web/web", "tool": "search", "tool_parameters": {}, **request_},
            CALL,
        )

    assert words in str(refused.value)


def test_what_a_tool_raises_breaks_its_answer_off() -> None:
    def fails(_: dict[str, Any]) -> Any:
        yield tools.text("half")
        raise KeyError("city")

    said = Tools({"search": fails})(
        {"tool_type": "builtin", "provider": "acme/web/web", "tool": "search", "tool_parameters": {}}, CALL
    )

    assert "half" == next(iter(said))["message"]["text"]
    with pytest.raises(BackwardsRefused, match=r'^read tool response failed: .*"error_type": "KeyError"'):
        next(iter(said))


@pytest.mark.parametrize(
    ("permission", "kind", "refused"),
    [
        ({"tool": {"enabled": True}}, "tool", False),
        ({"tool": {"enabled": False}}, "tool", True),
        ({}, "tool", True),
        ({"app": {"enabled": True}}, "fetch_app", False),
        ({"model": {"enabled": True, "llm": True}}, "llm", False),
        ({"model": {"enabled": True, "llm": True}}, "text_embedding", True),
        ({"model": {"llm": True}}, "llm", True),
        ({}, "storage", False),
    ],
)
def test_the_manifest_decides_what_may_be_asked(permission: dict[str, Any], kind: str, refused: bool) -> None:  # noqa: FBT001 - a column of the table
    manifest = {"resource": {"permission": permission}}
    if not refused:
        check_permission(manifest, kind)
        return
    with pytest.raises(
        BackwardsRefused, match=r"^permission denied, you need to enable [a-z-]+ access in plugin manifest$"
    ):
        check_permission(manifest, kind)
