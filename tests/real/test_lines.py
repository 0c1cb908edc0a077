"""Lines: where they end, how long they may be, and that their text arrives to the byte."""

import itertools
import random

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, Street, expect_closed_with

LIMIT = 64 * KIB
"""Bytes of a line without its end, by default."""


def test_every_line_of_the_node_ends_with_a_bare_line_feed(street: Street) -> None:
    alice = street.connect()
    alice.send(b"alice\r\n/ping 1\r\nnobody: x\r\n/join #t\r\n/quit\r\n")
    data = b""
    while chunk := alice.stream.recv(4096):
        data += chunk
    assert data == b"ok login alice@node1\npong 1\nerror no-such-peer: nobody\nok join #t\nbye quit\n"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"bob: hi\n", b"hi"),
        (b"bob: hi\r\n", b"hi"),
        (b"bob: hi\r\r\n", b"hi\r"),
        (b"bob: h\ri\n", b"h\ri"),
        (b"bob: \rhi\r\n", b"\rhi"),
        (b"bob: \r\n", b""),
        (b"bob: hi \r\n", b"hi "),
    ],
)
def test_one_carriage_return_just_before_the_line_feed_belongs_to_the_end(
    street: Street, sent: bytes, text: bytes
) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.send(sent)
    bob.expect(b"from alice: " + text)
    assert alice.barrier() == []
    assert bob.barrier() == []


def test_a_carriage_return_and_its_line_feed_may_come_in_two_reads(street: Street) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    alice.send_in_pieces([b"bob: one\r", b"\nbob: two\r", b"not the end\r\n"], carol.barrier)
    bob.expect(b"from alice: one", b"from alice: two\rnot the end")


def test_empty_lines_are_ignored_before_and_after_the_login(street: Street) -> None:
    bob = street.peer("bob")
    alice = street.connect()
    alice.send(b"\n\r\n\n\r\nalice\n\n\r\nbob: hi\n\n\n/ping\n\r\n")
    alice.expect(b"ok login alice@node1", b"pong")
    bob.expect(b"from alice: hi")
    assert alice.barrier() == []
    assert bob.barrier() == []


def test_text_is_opaque_bytes(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    every_byte = bytes(byte for byte in range(256) if byte != 0x0A)
    texts = [
        every_byte,
        every_byte[::-1] + b".",
        b"\xff\xfe\x80 not utf-8",
        b"\x00",
        "e\u0301 \u00e9 \u202e \ufeff".encode(),
        b"from bob: not so",
        b"/quit",
        b"#topic",
        b"tail  \t ",
    ]
    alice.say(*(b"bob: " + text for text in texts))
    bob.expect(*(b"from alice: " + text for text in texts))
    bob.say(b"/join #raw")
    bob.expect(b"ok join #raw")
    alice.say(*(b"#raw: " + text for text in texts))
    bob.expect(*(b"from alice to #raw: " + text for text in texts))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_line_may_be_as_long_as_the_limit_without_its_end(street: Street, end: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    text = random.Random(1).randbytes(LIMIT).replace(b"\n", b".").replace(b"\r", b".")[: LIMIT - len(b"bob: ")]
    alice.send(b"bob: " + text + end)
    bob.expect(b"from alice: " + text)  # longer than the limit itself, by its prefix
    assert alice.barrier() == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 2, 2 * LIMIT, 2 * LIMIT + 1, 300 * KIB, 3 * MIB + 7])
def test_a_longer_line_is_discarded_up_to_its_line_feed(street: Street, length: int, end: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    line = b"bob: ".ljust(length, b"x")
    alice.send(b"bob: before\n" + line + end + b"bob: after\n/ping done\n")
    assert alice.until(b"pong done") == [b"error line-too-long: 65536"]
    bob.expect(b"from alice: before", b"from alice: after")
    assert bob.barrier() == []


@pytest.mark.parametrize(
    "cuts",
    [
        [LIMIT],
        [LIMIT + 1],
        [LIMIT - 1, LIMIT, LIMIT + 1],
        [1, LIMIT + 10],
        [50 * KIB, 100 * KIB, 150 * KIB],
    ],
    ids=str,
)
def test_a_long_line_may_come_in_any_reads_and_is_told_once(street: Street, cuts: list[int]) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    data = b"bob: " * 32 * KIB + b"\nbob: after\n/ping done\n"
    edges = [0, *cuts, len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    alice.send_in_pieces(pieces, carol.barrier)
    assert alice.until(b"pong done") == [b"error line-too-long: 65536"]
    bob.expect(b"from alice: after")
    assert bob.barrier() == []


def test_the_end_of_a_line_at_the_limit_may_be_cut_in_two(street: Street) -> None:
    alice, bob, carol = street.peers("alice", "bob", "carol")
    line = b"bob: ".ljust(LIMIT, b"y")
    alice.send_in_pieces([line + b"\r", b"\n", line, b"\r\n", line, b"\n"], carol.barrier)
    assert alice.barrier() == []
    bob.expect(*[b"from alice: " + line.removeprefix(b"bob: ")] * 3)
    alice.send_in_pieces([line + b"\r", b"z\n"], carol.barrier)  # that CR was no end: two bytes too many
    assert alice.barrier() == [b"error line-too-long: 65536"]
    assert bob.barrier() == []


def test_each_line_that_is_too_long_is_told_in_its_place(street: Street) -> None:
    alice = street.peer("alice")
    alice.say(b"x" * 70_000, b"/ping 1", b"y" * 70_000, b"z" * 70_000, b"nobody: hi", b"/ping 2")
    error = b"error line-too-long: 65536"
    assert alice.until(b"pong 1") == [error]
    assert sorted(alice.until(b"pong 2")) == [error, error, b"error no-such-peer: nobody"]


def test_a_command_can_be_too_long_as_well(street: Street) -> None:
    alice = street.peer("alice")
    token = b"t" * (LIMIT - len(b"/ping "))
    alice.say(b"/ping " + token, b"/ping " + token + b"t", b"/ping")
    alice.expect(b"pong " + token, b"error line-too-long: 65536", b"pong")


def test_the_limit_is_the_one_that_was_configured(start: Start) -> None:
    street = start("--max-line", "64")
    alice, bob = street.peers("alice", "bob")
    alice.say(b"bob: ".ljust(64, b"a"), b"bob: ".ljust(65, b"b"), b"bob: c")
    bob.expect(b"from alice: " + b"a" * 59, b"from alice: c")
    assert alice.barrier() == [b"error line-too-long: 64"]


def test_a_line_may_be_far_longer_than_one_read_where_the_limit_allows_it(start: Start) -> None:
    street = start("--max-line", "4MiB", "--outbox-bytes", "16MiB")
    alice, bob = street.peers("alice", "bob")
    text = random.Random(2).randbytes(4 * MIB - 5).replace(b"\n", b".").replace(b"\r", b".")
    alice.send(b"bob: " + text + b"\nbob: ".ljust(4 * MIB + 8, b"x") + b"\n/ping done\n")
    bob.expect_stream(b"from alice: " + text + b"\n")
    assert alice.until(b"pong done") == [b"error line-too-long: 4194304"]


def test_a_first_line_that_is_too_long_is_a_bad_name(street: Street) -> None:
    stranger = street.connect()
    stranger.send(b"a" * 70_000 + b"\n/ping\n")
    assert expect_closed_with(stranger, b"bad-name")


def test_a_first_line_that_is_too_long_may_come_in_pieces(street: Street) -> None:
    alice = street.peer("alice")
    stranger = street.connect()
    stranger.send_in_pieces([b"a" * 40_000, b"b" * 40_000, b"c\n"], alice.barrier)
    assert expect_closed_with(stranger, b"bad-name")


@pytest.mark.parametrize("seed", range(4))
def test_every_cut_of_a_stream_gives_the_same_lines(street: Street, seed: int) -> None:
    chance = random.Random(seed)
    alice, bob, carol = street.peers("alice", "bob", "carol")
    data, expected = b"", []
    for number in range(200):
        end = chance.choice([b"\n", b"\r\n"])
        if chance.random() < 0.2:
            data += end
        text = b"%d " % number + chance.randbytes(chance.choice([0, 1, 5, 40, 700])).replace(b"\n", b"").rstrip(b"\r")
        data += b"bob: " + text + end
        expected.append(b"from alice: " + text)
    at = 0
    while at < len(data):
        size = chance.choice([1, 1, 2, 3, 10, 100, 5000])
        alice.send(data[at : at + size])
        at += size
        if chance.random() < 0.3:
            carol.barrier()
    bob.expect(*expected)
    assert alice.barrier() == []


def test_two_lines_never_mix_whatever_their_pauses(street: Street) -> None:
    hearer = street.hearer("hearer", b"#mix")
    witness = street.peer("witness")
    senders = street.peers("s0", "s1", "s2")
    texts = [bytes([ord("a") + i]) * (20_000 + i) for i in range(3)]
    # One byte of each, then half of each, then the rest: no line is whole before the last round.
    for start, end in ((0, 1), (1, 10_000), (10_000, None)):
        for number, sender in enumerate(senders):
            for address in (b"hearer: ", b"#mix: ")[number % 2 : number % 2 + 1]:
                sender.send((address + texts[number] + b"\n")[start:end])
            witness.barrier()
    heard = {hearer.line() for _ in senders}
    assert heard == {
        b"from s0: " + texts[0],
        b"from s1 to #mix: " + texts[1],
        b"from s2: " + texts[2],
    }
