"""What the shared state tool and the messenger read, say without a sidecar, and send to Dify."""

from __future__ import annotations

import re
from typing import Any

import pytest

from plugin.adapters.pools import Pools
from plugin.errors import BadParameters, SidecarNeeded
from plugin.messenger.parameters import read_messenger_parameters
from plugin.messenger.service import exchange_messages
from plugin.shared_state.parameters import read_shared_state_parameters
from plugin.shared_state.service import share_state
from plugin.stores import Said, said_messages


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("plain words", "plain words"),
        ("5", 5),
        ('"5"', "5"),
        ("007", "007"),
        ("NaN", "NaN"),
        ("12e3456", "12e3456"),
        ("[1, 1e999]", "[1, 1e999]"),
        ("{'a': 1e999}", "{'a': 1e999}"),
        ("true", True),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("{'a': [1, None, True]}", {"a": [1, None, True]}),
        ("[not a list", "[not a list"),
        ({"a": 1}, {"a": 1}),
        ([1, "x"], [1, "x"]),
        ("", None),
        (None, None),
    ],
)
def test_a_value_is_what_it_looks_like(given: Any, read: Any) -> None:
    """JSON is JSON, what Python spelled on Dify's way is read too, and all else is text."""
    asked = {"operation": "put", "trace_id": "t", "key": "k", "value": given}

    assert repr(read_shared_state_parameters(asked).value) == repr(read)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"trace_id": ""}, "trace_id"),
        ({"trace_id": "a b"}, "trace_id"),
        ({"key": " "}, "key"),
        ({"operation": "append", "value": ""}, "value"),
        ({"operation": "merge", "value": "[1]"}, "value"),
        ({"operation": "increment", "value": "1.5"}, "value"),
        ({"operation": "increment", "value": "true"}, "value"),
        ({"expected_version": "newest"}, "expected_version"),
        ({"at_most": 0}, "at_most"),
        ({"ttl_s": "1e99"}, "ttl_s"),
    ],
)
def test_what_shared_state_can_not_read_is_named(given: dict[str, Any], field: str) -> None:
    """With what to write instead."""
    asked = {"operation": "get", "trace_id": "t", "key": "k"} | given

    with pytest.raises(BadParameters, match=rf"(?m)^{field}: .+\. \w.+"):
        read_shared_state_parameters(asked)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"operation": "send", "agent": "a"}, "to"),
        ({"operation": "receive"}, "agent"),
        ({"operation": "acknowledge", "agent": "a"}, "receipt"),
        ({"operation": "register", "agent": " , "}, "agent"),
        ({"operation": "receive", "agent": "a", "wait_s": 60}, "wait_s"),
        ({"operation": "send", "to": "b", "priority": 11}, "priority"),
        ({"operation": "acknowledge", "agent": "a", "receipt": "inbox.receipt"}, "receipt"),
        ({"operation": "send", "to": "b", "message_id": "sys.workflow_run_id"}, "message_id"),
    ],
)
def test_what_the_messenger_can_not_read_is_named(given: dict[str, Any], field: str) -> None:
    """With what to write instead."""
    with pytest.raises(BadParameters, match=rf"(?m)^{field}: .+\. \w.+"):
        read_messenger_parameters({"trace_id": "t"} | given)


def test_what_is_unset_has_a_default() -> None:
    """Dify leaves out what is unset, or sends None or an empty text."""
    read = read_messenger_parameters({"operation": "send", "trace_id": "t", "to": "b", "priority": None, "retry": ""})

    assert (read.agent, read.priority, read.retry, read.acknowledge, read.lease_ms) == (
        "workflow",
        5,
        True,
        False,
        30000,
    )
    state = read_shared_state_parameters({"operation": "get", "trace_id": "t", "key": "k"})
    assert (state.namespace, state.agent, state.ttl_s) == ("shared", "workflow", 3600)


def test_without_a_sidecar_both_say_that_they_need_one() -> None:
    """And where to enter it."""
    with pytest.raises(SidecarNeeded, match="Sidecar URL"):
        share_state({"operation": "get", "trace_id": "t", "key": "k"}, {}, Pools())
    with pytest.raises(SidecarNeeded, match="Sidecar URL"):
        exchange_messages({"operation": "mailboxes", "trace_id": "t"}, {}, Pools())


CREDENTIALS = {"sidecar_url": "http://127.0.0.1:9", "sidecar_token": "t" * 32}
RAW = re.compile(r"Input should|Value error|should have|valid (string|dictionary)|pattern '|validation error")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"operation": "put", "key": "k" * 300}, "key: too long. Write up to 256 characters."),
        (
            {"operation": "get", "key": "a/.."},
            "key: '.' and '..' mean something else in an address. Choose another name.",
        ),
        ({"operation": "get", "key": "a\tb"}, "key: written otherwise than it has to be. Leave out line breaks"),
        ({"operation": "get", "key": "k", "namespace": "a:b"}, "namespace: written otherwise .* Write 1-64 letters"),
        ({"operation": "put", "key": "k", "agent": "a:b"}, "agent: written otherwise .* Write 1-64 letters"),
        ({"operation": "put_many", "value": {"k" * 300: 1}}, "value: too long. Write up to 256 characters."),
        ({"operation": "put_many", "value": {f"k{n}": n for n in range(101)}}, "value: too many. Write at most 100."),
        ({"operation": "append", "key": "k", "value": [0] * 1001}, "value: too many. Write at most 1000."),
        ({"operation": "add", "key": "k", "value": [[1]]}, r"value\.0: of no type .* Write a text, a number, true or"),
        ({"operation": "remove", "key": "k", "value": {"a": 1}}, r"value\.0: of no type"),
        ({"operation": "list", "key": "k" * 300}, "key: too long. Write up to 256 characters."),
        ({"operation": "list", "at_most": 20_000}, "at_most: too large. Write 10000 or less."),
    ],
)
def test_what_the_contract_does_not_take_of_shared_state_is_told_by_its_parameter(
    asked: dict[str, Any], told: str
) -> None:
    """In words of ours, with the fix, and before anything is sent."""
    with pytest.raises(BadParameters, match=rf"\A{told}") as refused:
        share_state({"trace_id": "t"} | asked, CREDENTIALS, Pools())

    assert not RAW.search(str(refused.value))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"operation": "send", "to": "a:b"}, "to: written otherwise .* Write 1-64 letters"),
        ({"operation": "send", "to": ".."}, "to: '.' and '..' mean something else in an address. Choose"),
        ({"operation": "send", "to": "a", "agent": "a:b"}, "agent: written otherwise .* Write 1-64 letters"),
        ({"operation": "send", "to": "a", "task_id": "x" * 200}, "task_id: too long. Write up to 128 characters."),
        ({"operation": "send", "to": "a", "message_id": "x" * 200}, "message_id: too long. Write up to 128 char"),
        ({"operation": "register", "agent": "good, a:b"}, "agent: written otherwise .* Write 1-64 letters"),
        ({"operation": "receive", "agent": "a:b"}, "agent: written otherwise .* Write 1-64 letters"),
        ({"operation": "redrive", "agent": "a", "message_id": "x" * 200}, r"message_id\.0: too long. Write up to"),
        ({"operation": "acknowledge", "agent": "a", "receipt": "x" * 300}, "receipt: too long. Write up to 256"),
        ({"operation": "reject", "agent": "a", "receipt": "x", "reason": "x" * 5000}, "reason: too long. Write up to"),
    ],
)
def test_what_the_contract_does_not_take_of_the_messenger_is_told_by_its_parameter(
    asked: dict[str, Any], told: str
) -> None:
    """As above."""
    with pytest.raises(BadParameters, match=rf"\A{told}") as refused:
        exchange_messages({"trace_id": "t"} | asked, CREDENTIALS, Pools())

    assert not RAW.search(str(refused.value))


class Told:
    """Takes messages as the SDK's tool makes them."""

    def create_text_message(self, text: str) -> tuple[str, Any]:
        return "text", text

    def create_variable_message(self, variable_name: str, variable_value: Any) -> tuple[str, Any]:
        return variable_name, variable_value

    def create_stream_variable_message(self, variable_name: str, variable_value: str) -> tuple[str, Any]:
        return variable_name, variable_value

    def create_blob_message(self, blob: bytes, meta: dict[str, Any] | None = None) -> tuple[str, Any]:
        return "blob", (blob, meta)


def test_what_is_too_long_for_a_variable_is_cut_and_keeps_its_type() -> None:
    """The daemon kills a plugin that writes too long a line; the text goes out whole, in pieces."""
    big = "x" * 2_000_000
    said = Said(text=big, variables={"object": {"a": big}, "items": [big], "content": big, "number": 3})

    sent = list(said_messages(Told(), said))

    assert "".join(each for name, each in sent if name == "text") == big
    variables = {name: each for name, each in sent if name != "text"}
    assert [type(each) for each in variables.values()] == [dict, list, str, int]
    assert all(len(str(each)) < 1_000_000 for each in variables.values())
