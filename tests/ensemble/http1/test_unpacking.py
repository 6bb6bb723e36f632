"""Packed bodies: what is in them, never more at a time than may be, and nothing that was cut short."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.http1.failures import Failed, Why
from ensemble.http1.framing import PIECE
from ensemble.http1.unpacking import unpacked


def bare(body: bytes) -> bytes:
    """Deflate without zlib's head and checksum, as some servers send it."""
    return zlib.compress(body, wbits=-zlib.MAX_WBITS)


def unpack(coding: str, content: bytes, step: int = 3) -> bytes:
    """Unpack *content*, given in pieces of *step* bytes."""
    return b"".join(unpacked(coding, (content[at : at + step] for at in range(0, len(content), step))))


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_a_body_is_unpacked_however_it_is_split(body: bytes, step: int) -> None:
    """In whichever form it was packed."""
    assert unpack("", body, step) == unpack("Identity", body, step) == body
    assert unpack("gzip", gzip.compress(body), step) == unpack("X-GZIP", gzip.compress(body), step) == body
    assert unpack("deflate", zlib.compress(body), step) == unpack("deflate", bare(body), step) == body
    assert (
        unpack("gzip", gzip.compress(body) + gzip.compress(b"and") + gzip.compress(body), step) == body + b"and" + body
    )


@pytest.mark.parametrize(
    ("coding", "content"),
    [("gzip", gzip.compress(b"fine", mtime=0)), ("deflate", zlib.compress(b"fine")), ("deflate", bare(b"fine"))],
    ids=["gzip", "deflate", "bare"],
)
def test_one_that_ends_too_soon_is_not_whole(coding: str, content: bytes) -> None:
    """Even where everything in it had come, and only its checksum is missing."""
    for end in range(1, len(content)):
        with pytest.raises(Failed) as failed:
            unpack(coding, content[:end])
        assert failed.value.why in {Why.BROKEN, Why.UNPACKABLE}


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", b"fine"),
        ("gzip", gzip.compress(b"fine", mtime=0)[:-8] + b"checksum"),
        ("gzip", gzip.compress(b"fine", mtime=0) + b"more"),
        ("deflate", b"\xff\xff\xff"),
        ("deflate", zlib.compress(b"fine") + b"more"),
        ("br", b"fine"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"fine", mtime=0), mtime=0)),
    ],
)
def test_what_is_not_what_it_says_is_unpackable(coding: str, content: bytes) -> None:
    """Nor is what nobody here knows."""
    with pytest.raises(Failed) as failed:
        unpack(coding, content)

    assert failed.value.why is Why.UNPACKABLE


def test_nothing_is_nothing_however_it_is_said_to_be_packed() -> None:
    """As heads say of empty bodies."""
    assert unpack("gzip", b"") == unpack("deflate", b"") == b""


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [("gzip", gzip.compress(b"x" * 50_000_000, mtime=0)), ("deflate", bare(b"x" * 50_000_000))],
    ids=["gzip", "deflate"],
)
def test_a_bomb_comes_out_in_pieces(coding: str, bomb: bytes) -> None:
    """So whoever reads it stops where it is too much."""
    pieces = unpacked(coding, iter([bomb]))

    assert [len(next(pieces)) for _ in range(100)] == [PIECE] * 100
