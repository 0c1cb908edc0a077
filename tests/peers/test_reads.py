"""How large reads are: as suits the lines that a peer sends, where outboxes have room for them."""

from __future__ import annotations

from typing import Any

import pytest

from nettool.peers.reads import LONG_LINES_READ, SHARE, SPREAD_LINES_READ, size_after
from nettool.settings import CHUNK, READ
from tests.support.street import MemoryStreet


def read(*heads: bytes, line: int = 1024, size: int = READ, before: bytes = b"") -> bytes:
    """A read of so many bytes, of lines of this length to these addresses in turn."""
    lines = [head + b": " + b"x" * (line - len(head) - 3) + b"\n" for head in heads]
    return (before + b"".join(lines) * (size // line + 1))[:size]


@pytest.mark.parametrize(
    "data, expected",
    [
        (read(b"bob"), LONG_LINES_READ),
        (read(b"bob", line=16384, before=b"the end of a line\n"), LONG_LINES_READ),
        (read(b"#room", size=LONG_LINES_READ), LONG_LINES_READ),
        (read(b"bob", b"eve", b"dan"), SPREAD_LINES_READ),
        (read(b"bob", b"bobby", b"eve", line=16384), SPREAD_LINES_READ),
        (read(b"bobby", b"bob", b"eve", line=16384), SPREAD_LINES_READ),
        (read(b"bob", b"eve", b"dan", size=SPREAD_LINES_READ), SPREAD_LINES_READ),
        (read(b"bob", line=32), READ),
        (read(b"bob", b"eve", line=32, size=SPREAD_LINES_READ), READ),
        (b"x" * READ, LONG_LINES_READ),
        (b"x" * (READ - 1) + b"\n", LONG_LINES_READ),
        (b"bob: x\n" + b"y" * READ, LONG_LINES_READ),
        (b"bob: x\neve: x\n" + b"y" * READ, LONG_LINES_READ),
        (b"bob: x\neve: x\ndan: x\n" + b"y" * READ, SPREAD_LINES_READ),
        (b"no colon\n" * 3 + b"y" * READ, LONG_LINES_READ),
        (b"\n" * READ, READ),
    ],
)
def test_reads_are_as_large_as_suits_the_lines(data: bytes, expected: int) -> None:
    assert size_after(data, 0) == expected
    assert size_after(data, SHARE * SPREAD_LINES_READ) == expected


@pytest.mark.parametrize(
    "data, long", [(read(b"bob"), LONG_LINES_READ), (read(b"bob", b"eve", b"dan"), SPREAD_LINES_READ)]
)
def test_reads_stay_small_where_one_would_be_most_of_an_outbox(data: bytes, long: int) -> None:
    assert size_after(data, SHARE * long) == long
    assert size_after(data, SHARE * long - 1) == READ


def test_what_a_long_read_of_one_address_becomes_is_two_chunks() -> None:
    """A third one, of a few bytes, would cost a write."""
    line = len(read(b"bob", size=1024))
    grown = LONG_LINES_READ // line * len(b"from  to " + b"a" * 16)
    assert LONG_LINES_READ + grown <= 2 * CHUNK


@pytest.mark.parametrize("layered, expected", [(False, LONG_LINES_READ), (True, None)], ids=["plain", "layered"])
def test_the_size_changes_where_nothing_lies_between_us_and_the_socket(layered: bool, expected: int | None) -> None:
    street = MemoryStreet(layered=layered)
    alice, _ = street.peer(b"alice"), street.peer(b"bob")
    transport: Any = alice.protocol.transport
    before = transport.bufferSize
    alice.protocol.dataReceived(read(b"bob", size=READ - 1))
    assert transport.bufferSize == before
    alice.protocol.dataReceived(read(b"bob"))
    assert transport.bufferSize == (expected or before)
