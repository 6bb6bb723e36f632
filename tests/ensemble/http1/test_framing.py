"""Where an answer ends: every way of telling it, every split of its bytes, every lie."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.http1.failures import Failed, Why
from ensemble.http1.framing import LONGEST_HEAD, PIECE, Head, Incoming
from ensemble.http1.unpacking import unpacked
from tests.ensemble.http1.serving import FINE, HEAD

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def incoming(*pieces: bytes) -> Incoming:
    """What comes in these pieces; then the connection ends."""
    left = iter(filter(None, pieces))
    return Incoming(lambda: next(left, b""))


def read(came: Incoming) -> tuple[Head, bytes]:
    """Read one answer, unpacked."""
    head = came.head()
    pieces = list(unpacked(head.fields.get("content-encoding", ""), came.body(head)))
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    return head, b"".join(pieces)


def split(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut *content* at these places."""
    borders = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})
    return (content[begin:end] for begin, end in pairwise(borders))


def packed(body: bytes, coding: str) -> bytes:
    """Pack *body* as the value of Content-Encoding says."""
    return gzip.compress(body, mtime=0) if coding == "gzip" else zlib.compress(body) if coding == "deflate" else body


@st.composite
def answers(draw: st.DrawFn, *, told: bool = True) -> tuple[bytes, bytes]:
    """A valid answer and its body; *told* if the end of the body is told by anything but the connection's."""
    body = draw(st.binary(max_size=300))
    coding = draw(st.sampled_from(["", "gzip", "deflate"]))
    content = packed(body, coding)
    head = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2)) + HEAD
    head += f"Content-Encoding: {coding}\r\n".encode() if coding else b""
    if not told:
        return head + b"\r\n" + content, body
    if draw(st.booleans()):
        return head + f"Content-Length: {len(content)}\r\n\r\n".encode() + content, body
    extension, trailers = draw(st.sampled_from([(b"", b""), (b";a=b", b"T: x\r\nU: y\r\n"), (b" ; c", b"")]))
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(each), extension, each) for each in split(content, draw(CUTS)) if each)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n", body


CUTS = st.lists(st.integers(0, 900), max_size=12)


@given(answers(), CUTS)
def test_however_an_answer_is_split_its_body_is_the_same(answer: tuple[bytes, bytes], cuts: list[int]) -> None:
    """And nothing of it is left over for the next one."""
    content, body = answer
    came = incoming(*split(content, cuts))

    head, got = read(came)

    assert (body, True, True) == (got, came.empty, head.stays_open)


@given(answers(told=False), CUTS)
def test_a_body_that_ends_with_its_connection_likewise(answer: tuple[bytes, bytes], cuts: list[int]) -> None:
    """Of which there is no next answer."""
    content, body = answer

    head, got = read(incoming(*split(content, cuts)))

    assert (body, False) == (got, head.stays_open)


@given(answers(), st.data(), CUTS)
def test_no_part_of_an_answer_is_taken_for_a_whole_one(
    answer: tuple[bytes, bytes], data: st.DataObject, cuts: list[int]
) -> None:
    """Wherever the connection breaks."""
    content, _ = answer
    end = data.draw(st.integers(0, len(content) - 1))

    with pytest.raises(Failed) as failed:
        read(incoming(*split(content[:end], cuts)))

    assert failed.value.why is Why.BROKEN


@given(answers(), st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=4)), min_size=1, max_size=4), CUTS)
def test_garbage_is_an_answer_or_a_failure(
    answer: tuple[bytes, bytes], changes: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    """Never anything that nobody expects."""
    content, _ = answer
    for at, change in changes:
        content = content[:at] + change + content[at + len(change) // 2 :]
    why = None
    try:
        read(incoming(*split(content, cuts)))
    except Failed as failed:
        why = failed.why

    assert why in {None, Why.BROKEN, Why.UNPACKABLE}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nfine", b"fine"),
        (HEAD + b"content-LENGTH:4\r\n\r\nfine", b"fine"),
        (HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nfine", b"fine"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + FINE, b"fine"),
        (CHUNKED + b"4;a=b\r\nfine\r\n0\r\n\r\n", b"fine"),
        (CHUNKED + b"0004\r\nfine\r\n000\r\nTrailer: x\r\n\r\n", b"fine"),
    ],
)
def test_the_next_answer_begins_where_this_one_ends(answer: bytes, body: bytes) -> None:
    """Whatever way that was told."""
    came = incoming(answer + FINE)

    assert (body, True) == ((first := read(came))[1], first[0].stays_open)
    assert read(came)[1] == b"fine"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"Connection: x, Close\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"\r\nfine",
        # Chunks win over a length, but whoever sends both is not trusted with another request.
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
    ],
)
def test_some_answers_are_a_connections_last(answer: bytes) -> None:
    """They are read all the same."""
    head, body = read(incoming(answer))

    assert (b"fine", False) == (body, head.stays_open)


@pytest.mark.parametrize(
    "answer",
    [
        *(HEAD + b"Content-Length: %s\r\n\r\nfine" % length for length in (
            b"-4", b"+4", b"4_0", b"0x4", b"4.0", b"4 4", b"4, 5", b"", b"\xb2", b"9" * 16, b"4, +4",
        )),
        HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine",
        *(CHUNKED + size + b"\r\nfine\r\n0\r\n\r\n" for size in (
            b"-4", b"+4", b"0x4", b" 4", b"", b";", b"4_0", b"four", b"f" * 13, b"4;\n", b"4" + b";" * 5000,
        )),
        CHUNKED + b"4\r\nfineX\r\n0\r\n\r\n",
        CHUNKED + b"4\r\nfine\n0\r\n\r\n",
        CHUNKED + b"3\r\nfine\r\n0\r\n\r\n",
        CHUNKED + b"0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"Content-Length : 4\r\n\r\nfine",
        HEAD + b" folded\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"no field\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"X: a\rb\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"X: a\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"X: a\0\r\nContent-Length: 4\r\n\r\nfine",
        HEAD + b"X: y\r\n" * 300 + b"Content-Length: 4\r\n\r\nfine",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + FINE,
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_plainly_one_answer_is_none(answer: bytes) -> None:
    """Guessing would take half an answer for a whole one."""
    with pytest.raises(Failed) as failed:
        read(incoming(answer))

    assert failed.value.why is Why.BROKEN


@pytest.mark.parametrize(
    ("begin", "more"),
    [(HEAD + b"X: ", b"x"), (b"", b"x"), (CHUNKED, b"0"), (CHUNKED + b"0\r\nT: ", b"x")],
    ids=["head", "status line", "chunk", "trailers"],
)
def test_no_line_is_collected_for_ever(begin: bytes, more: bytes) -> None:
    """A server that never comes to the end of it is left."""
    received = 0

    def receive() -> bytes:
        nonlocal received
        received += 1000
        return begin if received == 1000 and begin else more * 1000

    with pytest.raises(Failed):
        read(Incoming(receive))

    assert received <= LONGEST_HEAD + 5000


def test_a_long_body_is_handed_on_as_it_comes() -> None:
    """What a chunk or a length promises is not waited for, nor kept."""
    for begin in (CHUNKED + b"ffffffffffff\r\n", HEAD + b"Content-Length: 999999999999999\r\n\r\n", HEAD + b"\r\n"):
        came = incoming(begin, *([b"x" * PIECE] * 3))
        pieces = came.body(came.head())

        assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3
