"""Every cut of a stream gives the same lines, and nothing longer than the limit is ever held."""

from __future__ import annotations

from copy import copy
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nettool.wire.lines import TOO_LONG, VERY_LONG, Cutter, count, cut

LIMITS = [1, 2, 5, 64, 200]


def split_plainly(stream: bytes, max_line: int) -> tuple[list[bytes | None], bytes]:
    """The lines of a stream and what is left without LF, as the protocol's sentences say it."""
    *lines, rest = stream.split(b"\n")
    fitting: list[bytes | None] = []
    for line in lines:
        line = line.removesuffix(b"\r")
        fitting.append(line if len(line) <= max_line else TOO_LONG)
    if len(rest.removesuffix(b"\r")) > max_line:
        return [*fitting, TOO_LONG], b""
    return fitting, rest


def lines_of(pieces: list[bytes | None]) -> list[bytes | None]:
    """Lines without their LF; a piece is a block of at least one whole line, or `TOO_LONG`."""
    lines: list[bytes | None] = []
    for piece in pieces:
        if piece is None:
            lines.append(TOO_LONG)
        else:
            assert type(piece) is bytes
            assert piece.endswith(b"\n")
            lines += piece.split(b"\n")[:-1]
    return lines


def held(cutter: Cutter) -> bytes:
    """What a cutter would say is left if the input ended here."""
    return copy(cutter).finish()


def feed_in_parts(max_line: int, parts: list[bytes]) -> tuple[list[bytes | None], bytes]:
    """Lines and rest of a stream that comes in these parts; all that may be asked after each part is asked."""
    cutter = Cutter(max_line)
    lines: list[bytes | None] = []
    for number, part in enumerate(parts, 1):
        lines += lines_of(cutter.feed(part))
        expected, rest = split_plainly(b"".join(parts[:number]), max_line)
        assert lines == expected, "a line is told as soon as it is whole, or too long"
        assert held(cutter) == rest
        assert len(rest) <= max_line + 1
    return lines, cutter.finish()


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, bytes]:
    """A limit, and lines around it, with every kind of end, and texts that contain the address."""
    limit = draw(st.sampled_from(LIMITS))
    sizes = st.one_of(st.integers(0, 4), st.integers(max(0, limit - 2), limit + 3), st.just(2 * limit + 2))
    texts = st.one_of(
        sizes.map(lambda size: b"x" * size),
        st.sampled_from([b"bob: hi", b"bob: bob: hi", b"bob: #t: bob:", b"\r", b"\rbob: x", b"x\r\ry", b"\x00\xff"]),
        st.binary(max_size=limit + 4).map(lambda text: text.replace(b"\n", b"\r")),
    )
    ends = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r\r\n", b"\n\n", b"\n\r\n"])
    whole = draw(st.lists(st.tuples(texts, ends), max_size=12))
    return limit, b"".join(text + end for text, end in whole) + draw(st.one_of(st.just(b""), texts))


@given(streams(), st.data())
def test_every_cut_of_a_stream_gives_the_lines_of_a_plain_splitter(
    stream: tuple[int, bytes], data: st.DataObject
) -> None:
    limit, content = stream
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8), label="cuts")
    parts = [content[start:end] for start, end in pairwise([0, *sorted(cuts), len(content)])]
    assert feed_in_parts(limit, parts) == split_plainly(content, limit)


@given(streams())
@example((5, b"xxxxx\r\nxxxxxx\r\nxxxxx\rx\nbob: bob\n"))
def test_a_stream_that_comes_byte_by_byte_has_the_same_lines(stream: tuple[int, bytes]) -> None:
    limit, content = stream
    parts = [content[at : at + 1] for at in range(len(content))]
    assert feed_in_parts(limit, parts) == split_plainly(content, limit)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_short_stream_has_the_same_lines_wherever_it_is_cut_in_two(limit: int) -> None:
    long, fits = b"y" * (limit + 1), b"x" * limit
    content = b"".join(
        [fits, b"\n", fits, b"\r\n", long, b"\n", b"\r\n", b"\n", long, b"\r\n", fits, b"\r\r\n", b"bob: bob: \n", fits]
    )
    expected = split_plainly(content, limit)
    for at in range(len(content) + 1):
        assert feed_in_parts(limit, [content[:at], content[at:]]) == expected


# (limit, parts, what each part brings, what is left)
CASES: list[tuple[int, list[bytes], list[list[bytes | None]], bytes]] = [
    (8, [b""], [[]], b""),
    (8, [b"a"], [[]], b"a"),
    (8, [b"a\nb\nc"], [[b"a\nb\n"]], b"c"),
    (8, [b"a\r\nb\r\n"], [[b"a\nb\n"]], b""),
    (8, [b"\n\r\n\n"], [[b"\n\n\n"]], b""),
    (8, [b"a\rb\n"], [[b"a\rb\n"]], b""),
    (8, [b"a\r\r\n"], [[b"a\r\n"]], b""),
    (8, [b"a\r", b"\n"], [[], [b"a\n"]], b""),
    (8, [b"a\r", b"b\n"], [[], [b"a\rb\n"]], b""),
    (4, [b"abcd\n"], [[b"abcd\n"]], b""),
    (4, [b"abcde\n"], [[TOO_LONG]], b""),
    (4, [b"abcd\r\n"], [[b"abcd\n"]], b""),
    (4, [b"abcd\r", b"\n"], [[], [b"abcd\n"]], b""),
    (4, [b"abcd\r", b"x"], [[], [TOO_LONG]], b""),
    (4, [b"abcd\r"], [[]], b"abcd\r"),
    (4, [b"abc\r\r"], [[]], b"abc\r\r"),
    (4, [b"abcd\r\r", b"\n"], [[TOO_LONG], []], b""),
    (4, [b"abcde", b"fgh", b"ij\nk\n"], [[TOO_LONG], [], [b"k\n"]], b""),
    (4, [b"abcde", b"\n"], [[TOO_LONG], []], b""),
    (4, [b"abcde", b"\nabcde", b"\n"], [[TOO_LONG], [TOO_LONG], []], b""),
    (4, [b"a\nabcde\nb\n"], [[b"a\n", TOO_LONG, b"b\n"]], b""),
    (4, [b"abcde\nabcdef\na\nb\nabcdeabcde"], [[TOO_LONG, TOO_LONG, b"a\nb\n", TOO_LONG]], b""),
    (4, [b"ab", b"cd", b"e", b"f", b"\n", b"g\n"], [[], [], [TOO_LONG], [], [], [b"g\n"]], b""),
]


@pytest.mark.parametrize(("limit", "parts", "brought", "rest"), CASES)
def test_lines_are_told_in_blocks_and_a_long_one_in_its_place(
    limit: int, parts: list[bytes], brought: list[list[bytes | None]], rest: bytes
) -> None:
    cutter = Cutter(limit)
    assert [cutter.feed(part) for part in parts] == brought
    assert cutter.finish() == rest


def test_an_endless_line_is_told_once_and_never_held() -> None:
    cutter = Cutter(64)
    told = [piece for _ in range(1000) for piece in cutter.feed(b"x" * 1000)]
    assert told == [TOO_LONG]
    assert held(cutter) == b""
    assert cutter.feed(b"\nnext\n") == [b"next\n"]


def test_what_is_left_is_forgotten_when_it_is_asked_for() -> None:
    cutter = Cutter(64)
    assert cutter.feed(b"a\nle") == [b"a\n"]
    assert cutter.feed(b"f") == []
    assert cutter.feed(b"t") == []
    rest = cutter.finish()
    assert rest == b"left"
    assert type(rest) is bytes
    assert cutter.finish() == b""


def test_a_limit_that_changes_holds_for_the_line_that_is_under_way() -> None:
    cutter = Cutter(10)
    assert cutter.feed(b"123456") == []
    cutter.max_line = 6
    assert cutter.feed(b"\n") == [b"123456\n"]
    assert cutter.feed(b"12345") == []
    cutter.max_line = 4
    assert cutter.feed(b"\nabcd\n") == [TOO_LONG, b"abcd\n"]
    assert cutter.feed(b"1234") == []
    cutter.max_line = 10
    assert cutter.feed(b"567890\n") == [b"1234567890\n"]


@given(st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"\r") + b"\n"), max_size=20))
def test_cutting_and_counting_a_block_agree_with_split(lines: list[bytes]) -> None:
    block = b"".join(lines)
    assert cut(block) == lines
    assert cut(block) == [line + b"\n" for line in block.split(b"\n")[:-1]]
    assert count(block) == len(lines) == block.count(b"\n")


@given(
    st.lists(st.sampled_from([1, 30, VERY_LONG - 1, VERY_LONG, VERY_LONG + 1, 3 * VERY_LONG]), max_size=12),
    st.integers(0, 40 * VERY_LONG),
    st.integers(0, 40 * VERY_LONG),
)
def test_lines_between_two_places_are_counted_whatever_their_length(lengths: list[int], start: int, end: int) -> None:
    block = b"".join(b"x" * length + b"\n" for length in lengths) + b"the rest"
    for data in (block, bytearray(block)):
        assert count(data, start, end) == block.count(b"\n", start, end)
        assert count(data, start) == block.count(b"\n", start)
