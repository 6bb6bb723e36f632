"""Files as Dify shows them become files as its Service API takes them, by the shapes of its recordings."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.agents.files import as_file, as_files
from ensemble.agents.inputs import Given, fit, parse_form
from ensemble.agents.port import Call
from tests.standin.recordings import VERSIONS, Version, service_api


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_a_workflow_is_passed_on_by_its_address(version: Version) -> None:
    """An upload's id would be good for its own end user only."""
    shown = service_api(version)["wf-files:blocking"].body["data"]["outputs"]["doc"]

    assert {"type": "document", "transfer_method": "remote_url", "url": shown["url"]} == as_file(shown)


@pytest.mark.parametrize("name", ["wf-files:blocking", "wf-files:remote"])
def test_what_is_in_the_form_of_the_service_api_already_stays_as_it_is(name: str) -> None:
    sent = service_api("1.14.0")[name].sent["inputs"]["doc"]

    assert sent == as_file(sent)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        ({"url": "/files/x", "transfer_method": "local_file", "related_id": "u"}, {"upload_file_id": "u"}),
        ({"url": "", "transfer_method": "tool_file", "related_id": "t"}, {"tool_file_id": "t"}),
        ({"url": "/files/x", "transfer_method": "remote_url"}, None),
    ],
)
def test_a_file_without_an_address_goes_by_its_id_or_not_at_all(
    shown: dict[str, Any], wanted: dict[str, Any] | None
) -> None:
    file = as_file({"type": "weird", **shown})

    assert file == (wanted and {"type": "custom", "transfer_method": shown["transfer_method"], **wanted})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("as_list", [True, False])
def test_a_declared_file_variable_is_given_one(version: Version, as_list: bool) -> None:  # noqa: FBT001 - a table
    """A list of one is a file too."""
    form = parse_form(service_api(version)["wf-files:parameters"].body)
    shown = service_api(version)["wf-files:blocking"].body["data"]["outputs"]["doc"]

    given = fit("workflow", form, Call(query="", inputs={"text": "t", "doc": [shown] if as_list else shown}), "app")

    assert isinstance(given, Given)
    assert {"text": "t", "doc": as_file(shown)} == given.inputs


def test_other_values_stay_as_they_are() -> None:
    assert [1, {"type": "image"}, "x"] == as_files([1, {"type": "image"}, "x"])
