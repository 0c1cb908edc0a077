"""Every cut of a stream gives the same payloads."""

from __future__ import annotations

from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int32StringReceiver

from nettool.mesh import FrameTooLong
from nettool.mesh.codec import Int32Codec
from nettool.mesh.framing import MANY, RUN, Frames, join
from nettool.settings import CHUNK

# Lists in which runs of one length are as likely as any mixture.
PAYLOADS = st.lists(st.one_of(st.binary(max_size=40), st.binary(min_size=7, max_size=7)), max_size=60) | st.integers(
    0, 9
).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=60))


def fed(frames: Frames, stream: bytes, cuts: list[int]) -> list[bytes]:
    payloads = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        payloads += frames.feed(stream[start:end])
    return payloads


@given(PAYLOADS, st.lists(st.integers(0, 10_000), max_size=12))
def test_every_cut_of_a_stream_gives_the_same_payloads(payloads: list[bytes], cuts: list[int]) -> None:
    stream = join(payloads)
    assert fed(Frames(40), stream, cuts) == payloads
    assert all(type(payload) is bytes for payload in Frames(40).feed(stream))


@given(PAYLOADS, st.integers(0, 10_000))
def test_a_length_that_is_too_long_ends_it_after_what_was_before(payloads: list[bytes], cut: int) -> None:
    frames = Frames(40)
    stream = join(payloads) + pack(">I", 41) + b"y" * 41 + join([b"never"])
    assert fed(frames, stream, [cut]) == payloads
    assert isinstance(frames.error, FrameTooLong)
    assert frames.feed(join([b"after it"])) == []


def test_four_gibibytes_are_refused_at_the_header() -> None:
    frames = Frames(16 * 1024 * 1024)
    assert frames.feed(b"\xff\xff\xff") == []
    assert frames.error is None
    assert frames.feed(b"\xff" + b"x" * 1000) == []
    assert frames.error is not None and str(2**32 - 1) in str(frames.error)
    assert frames._parts == []


def test_a_long_frame_that_comes_in_pieces_is_joined_once() -> None:
    frames, payload = Frames(10**7), bytes(10**6)
    stream = join([b"before", payload, b"after"])
    found = []
    for start in range(0, len(stream), 1000):
        found += frames.feed(stream[start : start + 1000])
        assert sum(map(len, frames._parts)) < len(payload) + 4
    assert found == [b"before", payload, b"after"]


@pytest.mark.parametrize("count", [1, 2, RUN - 1, RUN, RUN + 1, 5 * RUN])
def test_a_run_of_one_length_that_another_length_ends(count: int) -> None:
    payloads = [b"%03d" % number for number in range(count)]
    for after in ([], [b"four"], [b""], [b"four", b"abc", b"def"]):
        for rest in (b"", b"\0", b"\0\0\0\4abc"):
            frames = Frames(100)
            assert frames.feed(join(payloads + after) + rest) == payloads + after
            assert frames.feed(b"") == []


@given(PAYLOADS)
def test_twisteds_own_receiver_reads_it_and_is_read(payloads: list[bytes]) -> None:
    class Receiver(Int32StringReceiver):
        def stringReceived(self, string: bytes) -> None:
            heard.append(string)

    heard: list[bytes] = []
    receiver, transport = Receiver(), StringTransport()
    receiver.makeConnection(transport)
    if payloads:
        receiver.dataReceived(b"".join(bytes(piece) for piece in Int32Codec(40).encode(payloads)))
    assert heard == payloads
    for payload in payloads:
        receiver.sendString(payload)
    assert Frames(40).feed(transport.value()) == payloads


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_a_large_payload_is_written_in_views_of_it(size: int) -> None:
    codec, payload = Int32Codec(size), bytes(size)
    pieces = codec.encode([payload])
    assert b"".join(pieces) == join([payload])
    assert sum(map(len, pieces)) == codec.size(size)
    assert all(len(piece) <= CHUNK + 4 for piece in pieces)
    if size >= CHUNK:
        assert all(isinstance(piece, memoryview) and piece.obj is payload for piece in pieces[1:])


def test_a_payload_that_comes_byte_by_byte_is_kept_in_few_pieces() -> None:
    payload = bytes(range(256)) * 20
    frames = Frames(10**6)
    *most, last = join([payload])
    for byte in most:
        assert frames.feed(bytes([byte])) == []
        assert len(frames._parts) < MANY
    assert frames.feed(bytes([last])) == [payload]
    assert type(payload) is bytes and fed(frames, join([b"next"]), [3]) == [b"next"]
