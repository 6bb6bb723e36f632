"""What is received: the head of an answer, and where its body ends. Touches no socket, believes nobody.

What is not plainly one answer is none: a length that is no number, two lengths, a chunk that does not end where it says.
Guessing would hand one answer's bytes to the next request, or take half an answer for a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ensemble.http1.failures import Failed, Why

__all__ = ["LONGEST_HEAD", "PIECE", "Head", "Incoming", "read_head"]

PIECE = 64 * 1024
"""The most bytes that are received, or handed on, at a time."""
LONGEST_HEAD = 64 * 1024
"""The most bytes of a head; trailers may take as many."""
_LONGEST_CHUNK_LINE = 4096
_MOST_FIELDS = 256
_MOST_INTERIM = 16
_INTERIM = range(100, 200)
_BODILESS = frozenset({204, 304})
_STATUS = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?")


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of an answer, and what they say about its body and its connection."""

    status: int
    fields: Mapping[str, str]
    """By their names in small letters; several of one name are joined by commas."""
    length: int | None
    """The bytes of the body, 0 where there can't be one; None where its end is told otherwise."""
    chunked: bool
    """Whether the body comes in chunks, whatever else a length says."""
    stays_open: bool
    """Whether the connection outlives the answer."""


def read_head(raw: bytes) -> Head:
    """Read a head without the empty line that ends it.

    Raises:
        Failed: broken, it is no head of an answer, or one whose body nobody could tell the end of.

    """
    first, *lines = raw.decode("latin-1").split("\r\n")
    found = _STATUS.fullmatch(first)
    strays = b"\0" in raw or raw.count(b"\r") != len(lines) or raw.count(b"\n") != len(lines)
    if found is None or strays or len(lines) > _MOST_FIELDS:
        raise Failed(Why.BROKEN)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise Failed(Why.BROKEN)
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    status, chunked, stated = int(found[2]), _chunked(fields), _length(fields)
    length = 0 if status in _BODILESS else None if chunked else stated
    # Both at once is how requests are smuggled past proxies: the answer counts, its connection is not trusted further.
    told = length is not None or (chunked and stated is None)
    closes = "close" in _words(fields.get("connection", ""))
    return Head(status, fields, length, chunked, stays_open=told and found[1] != "0" and not closes)


class Incoming:
    """What has come over a connection and is not taken yet."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """Get more by *receive*, which returns at least a byte, or nothing at the end of the connection."""
        self._receive = receive
        self._came = bytearray()

    @property
    def empty(self) -> bool:
        """Whether everything is taken."""
        return not self._came

    def head(self) -> Head:
        """Take the head of an answer, and those before it that only announce one. Raises Failed."""
        for _ in range(_MOST_INTERIM):
            head = read_head(self._until(b"\r\n\r\n", LONGEST_HEAD))
            if head.status not in _INTERIM:
                return head
        raise Failed(Why.BROKEN)

    def body(self, head: Head) -> Iterator[bytes]:
        """Yield the body that follows *head* as it comes, in pieces of at most 64 KiB. Raises Failed."""
        if head.length is not None:
            return self._counted(head.length)
        return self._chunks() if head.chunked else self._rest()

    def _counted(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._came:
                self._more()
            piece = self._take(min(length, PIECE))
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._counted(size)
            self._until(b"\r\n", 0)
        left = LONGEST_HEAD
        while trailer := self._until(b"\r\n", left):
            left -= len(trailer)

    def _rest(self) -> Iterator[bytes]:
        while self._came:
            yield self._take(PIECE)
        while piece := self._receive():
            yield piece

    def _chunk_size(self) -> int:
        found = _CHUNK.fullmatch(self._until(b"\r\n", _LONGEST_CHUNK_LINE))
        if found is None:
            raise Failed(Why.BROKEN)
        return int(found[1], 16)

    def _until(self, mark: bytes, longest: int) -> bytes:
        """Take what stands before *mark*, at most *longest* bytes, and the mark itself."""
        begin = 0
        while (end := self._came.find(mark, begin, longest + len(mark))) < 0:
            if len(self._came) >= longest + len(mark):
                raise Failed(Why.BROKEN)
            begin = max(0, len(self._came) - len(mark) + 1)
            self._more()
        return self._take(end + len(mark))[:end]

    def _take(self, most: int) -> bytes:
        taken = bytes(self._came[:most])
        del self._came[:most]
        return taken

    def _more(self) -> None:
        piece = self._receive()
        if not piece:
            raise Failed(Why.BROKEN)
        self._came += piece


def _chunked(fields: Mapping[str, str]) -> bool:
    """Whether the body comes in chunks. Raises Failed: it is wrapped in something else, which nobody asked for."""
    coding = fields.get("transfer-encoding")
    if coding is not None and coding.lower() != "chunked":
        raise Failed(Why.BROKEN)
    return coding is not None


def _length(fields: Mapping[str, str]) -> int | None:
    """Return the stated length. Raises Failed: it is no number, an absurd one, or more than one."""
    if "content-length" not in fields:
        return None
    stated = set(_words(fields["content-length"]))
    length = stated.pop()
    if stated or not _LENGTH.fullmatch(length):
        raise Failed(Why.BROKEN)
    return int(length)


def _words(value: str) -> list[str]:
    """Return the words of a field that holds a list, in small letters."""
    return [word.strip(" \t").lower() for word in value.split(",")]
