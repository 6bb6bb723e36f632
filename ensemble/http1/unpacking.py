"""Bodies that were packed, though nobody asks for that: a proxy on the way may do it. Bounded, so that no bomb goes off."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ensemble.http1.failures import Failed, Why
from ensemble.http1.framing import PIECE

__all__ = ["unpacked"]

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_ZLIB_HEAD_BYTES = 2


def unpacked(coding: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the *pieces* of a body as they were before *coding*, the value of Content-Encoding; 64 KiB at a time.

    Raises:
        Failed: unpackable; also while reading, where the body is not what *coding* says, or ends too soon.

    """
    match coding.lower():
        case "" | "identity":
            return pieces
        case "gzip" | "x-gzip":
            return _told(_inflated(pieces, _GZIP))
        case "deflate":
            return _told(_deflated(pieces))
        case _:
            raise Failed(Why.UNPACKABLE)


def _told(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except zlib.error:
        raise Failed(Why.UNPACKABLE) from None


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is in a body called *deflate*: by the book it has zlib's head, but some send it without."""
    begun = b""
    for piece in pieces:
        begun += piece
        if len(begun) >= _ZLIB_HEAD_BYTES:
            break
    if begun:
        bare = int.from_bytes(begun[:_ZLIB_HEAD_BYTES]) % 31 or begun[0] & 0x0F != zlib.DEFLATED
        yield from _inflated(_joined(begun, pieces), _RAW if bare else _ZLIB)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _inflated(pieces: Iterator[bytes], form: int) -> Iterator[bytes]:
    """Yield what is in *pieces*; of gzip there may be several packages, one behind the other."""
    package, begun = zlib.decompressobj(form), False
    for piece in pieces:
        left, begun = piece, True
        while left or not package.eof:
            if package.eof:
                package = zlib.decompressobj(form)
            part = package.decompress(left, PIECE)
            left = package.unused_data if package.eof else package.unconsumed_tail
            if part:
                yield part
            if not left and len(part) < PIECE:
                break
    if begun and not package.eof:
        raise Failed(Why.BROKEN)
