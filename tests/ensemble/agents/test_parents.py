"""Tokens of calls: short, read by whoever has the key, of no use to others, and in nobody's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.agents.inputs import Given, Variable, fit
from ensemble.agents.parents import PARENT_INPUT, TOKEN_CHARS, BadTokenError, Seal, handed_out, kept_quiet, quietly
from ensemble.agents.port import Call, Reply
from ensemble.contract.outcomes import Outcome

IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
SEAL = Seal(b"the sidecar's token")
TOKEN = SEAL.token("a" * 32, "b" * 32)


@given(IDS, IDS)
def test_a_token_names_a_run_and_enough_of_a_ticket(run_id: str, ticket: str) -> None:
    """In as many letters as a new text input takes, none of which means anything in a template."""
    token = SEAL.token(run_id, ticket)

    parent = Seal(b"the sidecar's token").read(token)
    assert len(token) == TOKEN_CHARS == 48
    assert (parent.run_id, parent.under_way) == (run_id, True)
    assert ticket.startswith(parent.ticket)
    assert token == "".join(c for c in token if c.isalnum() or c in "-_")


@given(st.integers(0, TOKEN_CHARS - 1), st.sampled_from("AQgw-_z0"))
def test_a_token_with_another_letter_is_none(at: int, letter: str) -> None:
    """Wherever it stands."""
    changed = TOKEN[:at] + letter + TOKEN[at + 1 :]
    if changed != TOKEN:
        with pytest.raises(BadTokenError, match="signature"):
            SEAL.read(changed)


@given(st.text(max_size=60))
def test_no_text_is_a_token(text: str) -> None:
    """And the words repeat nothing of it."""
    with pytest.raises(BadTokenError) as caught:
        SEAL.read(text)
    assert len(text) < 6 or text not in str(caught.value)


def test_another_key_reads_none_of_it() -> None:
    """Nor does the secret itself, which is not the key."""
    for secret in (b"", b"another", b"the sidecar's token "):
        with pytest.raises(BadTokenError):
            Seal(secret).read(TOKEN)


def declared(max_length: int | None = None, kind: str = "text-input") -> list[Variable]:
    return [Variable(name="topic", kind="paragraph"), Variable(name=PARENT_INPUT, kind=kind, max_length=max_length)]


def given_to(mode: str, variables: list[Variable], **call: object) -> Given:
    found = fit(mode, variables, Call(**{"query": "bees", "parent": TOKEN, **call}), "market")  # type: ignore[arg-type]
    assert isinstance(found, Given)
    return found


@pytest.mark.parametrize("mode", ["workflow", "advanced-chat", "completion", ""])
def test_an_app_that_declares_the_input_is_given_the_token(mode: str) -> None:
    """Whatever kind of app it is, and also before that is known."""
    assert given_to(mode, declared(48)).inputs[PARENT_INPUT] == TOKEN
    assert PARENT_INPUT not in given_to(mode, declared()[:1]).inputs


@pytest.mark.parametrize("mode", ["workflow", "completion", ""])
def test_the_input_is_never_taken_for_the_task(mode: str) -> None:
    """The other one is the only text variable, then."""
    assert given_to(mode, declared()).inputs == {"topic": "bees", PARENT_INPUT: TOKEN}


@pytest.mark.parametrize("mode", ["workflow", "advanced-chat", ""])
def test_what_the_step_or_the_agent_says_is_used_as_it_is(mode: str) -> None:
    """But not what the run was given: that is the token by which the run itself was told of its parent."""
    own = {"topic": "x", PARENT_INPUT: "mine"}
    assert given_to(mode, declared(), inputs=own).inputs[PARENT_INPUT] == "mine"
    assert given_to(mode, declared(), fixed_inputs={PARENT_INPUT: "mine"}).inputs[PARENT_INPUT] == "mine"
    assert given_to(mode, declared(), run_inputs={PARENT_INPUT: "another"}).inputs[PARENT_INPUT] == TOKEN
    assert PARENT_INPUT not in given_to(mode, declared(), run_inputs={PARENT_INPUT: "another"}, parent="").inputs


def test_an_input_too_short_is_left_empty_with_a_warning() -> None:
    """The call is made all the same."""
    found = given_to("workflow", declared(47))

    assert found.inputs == {"topic": "bees"}
    assert "takes 47 characters and needs 48" in found.warnings[0]
    assert not given_to("workflow", declared(256)).warnings


def test_an_input_of_another_kind_is_none() -> None:
    """A number, a list of choices."""
    assert PARENT_INPUT not in given_to("workflow", declared(kind="number")).inputs


def test_nobody_repeats_a_token() -> None:
    """Neither an answer nor an error nor a stream's piece."""
    call = Call(query="bees", parent=TOKEN)
    token = handed_out({PARENT_INPUT: TOKEN}, call)
    reply = Reply(
        outcome=Outcome.SUCCEEDED, text=f"I got {TOKEN}", data={"a": [TOKEN, 1], "b": {"c": TOKEN}}, message=TOKEN,
        sources=[TOKEN],
    )  # fmt: skip
    pieces: list[str] = []
    quietly(pieces.append, token)(f"<{TOKEN}>")

    assert TOKEN not in repr(kept_quiet(reply, token)) + "".join(pieces) + repr(call)
    assert kept_quiet(reply, token).data["a"][1] == 1
    assert handed_out({}, call) == handed_out({PARENT_INPUT: "mine"}, call) == ""
    assert kept_quiet(reply, "") is reply
