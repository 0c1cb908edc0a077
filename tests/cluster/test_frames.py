"""What nodes say: parse after render is the identity, and whatever else comes in is a `BadFrame`, never a crash."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.cluster import frames
from nettool.cluster.frames import BadFrame, Hello, Kind, Lines
from nettool.errors import ReturnReason

NAMES = st.text("abcé-09", min_size=1, max_size=20).map(str.encode)
NUMBERS = st.integers(0, 2**63 - 1)
INSTANCES = st.binary(min_size=frames.INSTANCE, max_size=frames.INSTANCE)
HELLOS = st.builds(Hello, NAMES, INSTANCES, st.none() | st.tuples(INSTANCES, NUMBERS))
TEXTS = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), min_size=1, max_size=5)
LINES = st.builds(
    Lines,
    st.sampled_from((Kind.DIRECT, Kind.TOPIC, Kind.SEVERAL)),
    NUMBERS,
    st.integers(0, 2**32 - 1),
    NAMES,
    st.binary(max_size=256),
    st.booleans(),
    st.none(),
    TEXTS.map(lambda texts: b"".join(text + b"\n" for text in texts)),
)


@given(HELLOS)
def test_a_hello_is_what_it_was(hello: Hello) -> None:
    payload = frames.render_hello(hello)
    assert len(payload) <= frames.HELLO_BYTES
    assert frames.parse_hello(payload) == hello


@given(LINES)
def test_lines_are_what_they_were(lines: Lines) -> None:
    assert frames.parse_lines(frames.render_lines(lines)) == lines


DATA = TEXTS.map(lambda texts: b"".join(text + b"\n" for text in texts))
PARTS = st.lists(st.tuples(NAMES, st.booleans(), DATA), min_size=1, max_size=5)


@given(NUMBERS, st.integers(0, 2**32 - 1), NAMES, PARTS)
def test_texts_to_several_names_are_what_they_were_in_their_order(
    number: int, login: int, sender: bytes, parts: list[tuple[bytes, bool, bytes]]
) -> None:
    parsed = frames.parse_names(frames.render_names(number, login, sender, parts))
    assert parsed == [
        Lines(Kind.DIRECT, number, login, sender, name, qualified, None, data) for name, qualified, data in parts
    ]


@given(PARTS, st.data())
def test_texts_to_several_names_that_are_cut_off_or_too_long_are_a_bad_frame(
    parts: list[tuple[bytes, bool, bytes]], data: st.DataObject
) -> None:
    payload = frames.render_names(1, 1, b"alice", parts)
    for bad in (payload[: data.draw(st.integers(0, len(payload) - 1))], payload + b"\n"):
        with pytest.raises(BadFrame):
            frames.parse_names(bad)


@pytest.mark.parametrize("reason", ReturnReason)
@pytest.mark.parametrize("qualified", [True, False])
def test_lines_that_come_back_have_their_reason(reason: ReturnReason, qualified: bool) -> None:
    lines = Lines(Kind.RETURNED, 3, 4, b"bob", b"", qualified, reason, b"text\n")
    assert frames.parse_lines(frames.render_lines(lines)) == lines


@given(st.dictionaries(NAMES, st.integers(0, 2**32 - 1), max_size=5), NUMBERS)
def test_counts_are_what_they_were(counts: dict[bytes, int], number: int) -> None:
    assert frames.parse_counts(frames.render_counts(Kind.LAGGED, counts, number)) == (number, counts)


@given(st.lists(NAMES, max_size=50, unique=True), st.integers(1, 100))
def test_a_full_list_is_what_it_was_in_however_many_frames(words: list[bytes], size: int) -> None:
    before, frames.LISTED = frames.LISTED, size
    try:
        payloads = list(frames.render_list(Kind.PEERS, words))
    finally:
        frames.LISTED = before
    parsed = [frames.parse_list(payload) for payload in payloads]
    assert [word for _, changes in parsed for word, there in changes if there] == words
    assert [flags & frames.FIRST for flags, _ in parsed] == [frames.FIRST, *[0] * (len(parsed) - 1)]
    assert [flags & frames.LAST for flags, _ in parsed] == [*[0] * (len(parsed) - 1), frames.LAST]


@given(st.text(max_size=6000))
def test_a_refusal_fits_into_what_the_other_end_reads(detail: str) -> None:
    payload = frames.render_refusal("not-trusted", detail)
    assert len(payload) <= frames.HELLO_BYTES
    assert frames.parse_refusal(payload)[0] == "not-trusted"


PARSERS: list[Callable[[bytes], object]] = [
    frames.parse_hello,
    frames.parse_lines,
    frames.parse_names,
    frames.parse_counts,
    frames.parse_list,
    frames.parse_number,
]


@given(st.binary(max_size=100), st.sampled_from(PARSERS))
def test_whatever_comes_in_is_parsed_or_a_bad_frame(payload: bytes, parse: Callable[[bytes], object]) -> None:
    try:
        parse(bytes([Kind.RETURNED]) + payload)
    except BadFrame:
        pass


@given(LINES, st.data())
def test_lines_that_are_cut_off_are_a_bad_frame_or_fewer_lines(lines: Lines, data: st.DataObject) -> None:
    payload = frames.render_lines(lines)
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    try:
        parsed = frames.parse_lines(cut)
    except BadFrame:
        return
    assert lines.data.startswith(parsed.data) and parsed.data.endswith(b"\n")
