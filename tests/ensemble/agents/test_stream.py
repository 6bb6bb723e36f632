"""A stream is read the same however it is cut, ends where the run ends, and costs bounded memory."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ensemble.agents.port import Reply
from ensemble.agents.stream import StreamReader
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from tests.standin.recordings import VERSIONS, service_api

WRITTEN = Path(__file__).parent / "written"
SPENT = Usage(tokens=40, price=Decimal("0.000047"), currency="USD")

RECORDED = {
    f"{version}-{name}": "".join(text for _, text in recording.chunks).encode()
    for version in VERSIONS
    for name, recording in service_api(version).items()
    if recording.chunks and recording.status and "slow" not in name
}
STREAMS = RECORDED | {path.name: path.read_bytes() for path in sorted(WRITTEN.glob("*.sse"))}
SHORT = {name: body for name, body in STREAMS.items() if name.endswith(("cf-fail:streaming", ".sse"))}


def read(*chunks: bytes, **limits: int) -> tuple[Reply, list[str]]:
    pieces: list[str] = []
    reader = StreamReader("market", pieces.append, **limits)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.end(), pieces


def event(name: str, **fields: object) -> bytes:
    return f"data: {json.dumps({'event': name, **fields})}\n\n".encode()


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.floats(0, 1), max_size=40))
def test_pieces_make_no_difference(name: str, cuts: list[float]) -> None:
    body = STREAMS[name]
    at = [0, *sorted(int(cut * len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(at)]

    assert read(body) == read(*chunks)


@pytest.mark.parametrize("name", SHORT)
def test_one_byte_at_a_time_makes_no_difference(name: str) -> None:
    body = STREAMS[name]

    assert read(body) == read(*(body[at : at + 1] for at in range(len(body))))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_comes_twice_is_read_once(name: str) -> None:
    body = STREAMS[name]
    once, _ = read(body)

    if "keep-alives" not in once.message:
        assert once.text == read(body + body)[0].text
        assert once.outcome == read(body + body)[0].outcome


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_every_line_end_of_the_standard_is_read(name: str, line_end: bytes) -> None:
    body = STREAMS[name].replace(b"\n", line_end)

    assert read(STREAMS[name]) == read(body)
    assert read(STREAMS[name]) == read(*(body[at : at + 7] for at in range(0, len(body), 7)))


@pytest.mark.parametrize("name", SHORT)
def test_a_stream_cut_anywhere_is_whole_or_unavailable(name: str) -> None:
    """A success is never made up: cut before the last brace of the terminal event, there is none."""
    body = STREAMS[name]
    whole, _ = read(body)

    for end in range(len(body)):
        reply, _ = read(body[:end])
        same = (reply.outcome, reply.text) == (whole.outcome, whole.text)
        assert same or reply.outcome is Outcome.UNAVAILABLE
        assert reply.outcome is not Outcome.UNAVAILABLE or reply.message.startswith("market")


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300))
@example(body=b"data: {\xff}\n\n")
@example(body=b"data: " + b"[" * 100_000 + b"\n\n")
@example(body=b'data: {"event": "workflow_finished", "data": null}\n\n')
@example(body=b'data: {"event": "message_end", "metadata": 5}\n\n')
@example(body=b'data: {"event": "error", "status": "x"}\n\n')
def test_no_bytes_bring_the_reader_down(body: bytes) -> None:
    reply, _ = read(body)

    assert isinstance(reply.outcome, Outcome)


@pytest.mark.parametrize(
    ("name", "outcome", "text", "pieces", "usage"),
    [
        ("agent-chat.sse", Outcome.SUCCEEDED, "Sales grew by 12 %.", ["Sales ", "grew by 12 %."], SPENT),
        ("chat-replaced.sse", Outcome.SUCCEEDED, "I can't help with that.", ["Something bad"], SPENT),
        (
            "chatflow-1.13.0-no-message-end.sse",
            Outcome.SUCCEEDED,
            "Sales grew.",
            ["Sales ", "grew."],
            Usage(tokens=40),
        ),
        ("workflow-text.sse", Outcome.SUCCEEDED, "Sales grew.", ["Sales ", "grew."], Usage(tokens=77)),
        ("chatflow-rate-limited.sse", Outcome.THROTTLED, "", [], Usage(tokens=0)),
        ("workflow-paused.sse", Outcome.INPUT_REQUIRED, "", [], Usage(tokens=12)),
        ("error-without-code.sse", Outcome.REJECTED, "", [], Usage()),
        ("chat-provider.sse", Outcome.MISCONFIGURED, "", [], Usage()),
    ],
)
def test_what_was_never_recorded_is_read_as_the_source_says(
    name: str, outcome: Outcome, text: str, pieces: list[str], usage: Usage
) -> None:
    reply, streamed = read(STREAMS[name])

    assert (outcome, text, usage) == (reply.outcome, reply.text, reply.usage)
    assert pieces == streamed


def test_a_replaced_answer_is_warned_about() -> None:
    assert "replaced the answer" in read(STREAMS["chat-replaced.sse"])[0].warnings[0]


def test_confidence_and_sources_are_kept() -> None:
    reply, _ = read(STREAMS["workflow-text.sse"])

    assert (0.8, ("q3.pdf",)) == (reply.confidence, reply.sources)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_orders_of_terminal_events_bring_the_same(version: str) -> None:
    """Until 1.13.0 workflow_finished comes first, since then message_end."""
    frames = STREAMS[f"{version}-cf-echo:streaming"].split(b"\n\n")
    turned = [*frames[:-3], frames[-2], frames[-3], b""]

    before, after = (read(b"\n\n".join(order))[0] for order in (frames, turned))

    assert before == after
    assert before.usage.price is not None


def test_the_end_of_the_run_ends_the_stream_though_the_line_stays_open() -> None:
    for name, settled in (("1.7.2-cf-echo:streaming", False), ("1.14.0-cf-echo:streaming", True)):
        reader = StreamReader("market")
        for frame in STREAMS[name].split(b"\n\n"):
            reader.feed(frame + b"\n\n")
            if reader.ended:
                break

        assert settled is reader.settled
        assert reader.unfinished_task is None


def test_a_run_left_in_the_middle_can_be_stopped() -> None:
    reader = StreamReader("market")

    reader.feed(event("workflow_started", task_id="t-1"))

    assert not reader.ended
    assert reader.unfinished_task == "t-1"


def test_a_stream_of_pings_is_nobody_at_home() -> None:
    reply, _ = read(b"event: ping\n\n" * 30)

    assert reply.outcome is Outcome.UNAVAILABLE
    assert "nothing but keep-alives" in reply.message


def test_a_garbled_event_ends_the_trust_in_the_stream() -> None:
    for garbage in (b"data: {oops\n\n", b'data: {"event": "message", "answer": "\xff"}\n\n', b"data: <html>\n\n"):
        reply, _ = read(garbage, event("message", answer="Hello"), event("message_end"))

        assert reply.outcome is Outcome.UNAVAILABLE
        assert "not JSON" in reply.message


@pytest.mark.parametrize("size", [1, 1000, 5000])
def test_an_event_too_long_to_keep_is_given_up(size: int) -> None:
    body = event("message", answer="x" * 5000) + event("message_end")
    reply, _ = read(*(body[at : at + size] for at in range(0, len(body), size)), max_event_bytes=1000)

    assert (Outcome.UNAVAILABLE, False) == (reply.outcome, reply.retry_allowed)
    assert "in one event" in reply.message


@pytest.mark.parametrize("size", [1, 777, 100_000])
def test_a_stream_too_long_to_keep_is_given_up(size: int) -> None:
    body = event("message", answer="x" * 90) * 20 + event("message_end")
    reply, _ = read(*(body[at : at + size] for at in range(0, len(body), size)), max_stream_bytes=1500)

    assert (Outcome.UNAVAILABLE, False) == (reply.outcome, reply.retry_allowed)
    assert "in one stream" in reply.message


def test_a_line_that_never_ends_is_not_collected_past_the_limit() -> None:
    reader = StreamReader("market", max_event_bytes=100_000)
    for _ in range(50):
        reader.feed(b"x" * 65_536)

    assert reader.settled
    assert len(reader._line) == 0
