"""Errors that do not close, and limits with the error of each."""

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, RealPeer, Street, eventually, expect_closed_with, in_background, who

BAD_LINES = [
    b"hello",
    b"hello world",
    b"bob",
    b"#t",
    b": hello",
    b":",
    b" : hello",
    b",: hello",
    b" , , : hello",
    b"\xff\xfe",
    b"/join",
    b"/leave",
    b"/join ,",
    b"/leave , ,",
    b"/quit now",
    b"/topics all",
    b"/watch me",
    b"/unwatch me",
    b"/help me",
    b"/who #a #b",
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_what_is_neither_a_command_nor_address_and_text_is_a_bad_line(street: Street, line: bytes) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(line, b"bob: still here", b"/ping")
    assert alice.until(b"pong") == [b"error bad-line: " + line]
    assert bob.barrier() == [b"from alice: still here"]


@pytest.mark.parametrize(
    "line",
    [b"x" * 61, b"no colon here " * 50, b"x" * 60_000, "\u00e9".encode() * 200, b"/quit " + b"x" * 100, b": " * 200],
    ids=lambda line: f"{line[:8]!r}... {len(line)}",
)
def test_a_bad_line_is_told_by_its_start(street: Street, line: bytes) -> None:
    alice = street.peer("alice")
    alice.say(line)
    (answer,) = alice.barrier()
    assert answer.startswith(b"error bad-line: ")
    told = answer.removeprefix(b"error bad-line: ")
    assert 0 < len(told) <= 60
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"/frobnicate", b"/frobnicate"),
        (b"/frobnicate with words", b"/frobnicate"),
        (b"/frobnicate: with text", None),
        (b"/PING", b"/PING"),
        (b"/Quit", b"/Quit"),
        (b"/pings", b"/pings"),
        (b"/\xff", b"/\xff"),
        (b"/" + b"f" * 200, None),
        (b"/" + b"f" * 60_000 + b" x", None),
    ],
    ids=lambda value: repr(value[:14]) if value else "start",
)
def test_a_command_that_does_not_exist_is_unknown(street: Street, line: bytes, command: bytes | None) -> None:
    alice, bob = street.peers("alice", "bob")
    alice.say(line, b"bob: still here", b"/ping")
    (answer,) = alice.until(b"pong")
    assert answer.startswith(b"error unknown-command: ")
    told = answer.removeprefix(b"error unknown-command: ")
    assert 0 < len(told) <= 60
    assert told == command if command else line.startswith(told)
    assert bob.barrier() == [b"from alice: still here"]


def test_a_bad_topic_is_told_by_at_most_sixty_bytes(street: Street) -> None:
    alice = street.peer("alice")
    for command in (b"/join ", b"/leave ", b"/who "):
        topic = b"#" + b"t" * 1000
        alice.say(command + topic)
        (answer,) = alice.barrier()
        assert answer.startswith(b"error bad-topic: #t")
        told = answer.removeprefix(b"error bad-topic: ")
        assert len(told) <= 60
        assert topic.startswith(told)


def test_a_peer_hears_as_many_topics_as_the_limit_and_no_more(start: Start) -> None:
    street = start("--max-joins", "3")
    alice = street.peer("alice")
    alice.say(b"/join #a, #b", b"/join #c, #d, #a, #e")
    alice.expect(b"ok join #a", b"ok join #b", b"ok join #c", b"error too-many-topics: 3", b"ok join #a")
    alice.expect(b"error too-many-topics: 3")
    alice.say(b"/leave #b", b"/join #d", b"/join #e", b"/topics")
    alice.expect(b"ok leave #b", b"ok join #d", b"error too-many-topics: 3")
    alice.expect(b"topic #a 1", b"topic #c 1", b"topic #d 1", b"ok topics 3")


def test_a_thousand_topics_are_the_limit_by_default(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    topics = [b"#t%d" % number for number in range(1000)]
    for at in range(0, 1000, 50):
        alice.say(b"/join " + b", ".join(topics[at : at + 50]))
    alice.say(b"/join #one-more")
    alice.expect(*(b"ok join " + topic for topic in topics), b"error too-many-topics: 1000")
    bob.say(b"/join #one-more")
    bob.expect(b"ok join #one-more")
    alice.say(b"#one-more: x")
    bob.expect(b"from alice to #one-more: x")


def test_connections_are_counted_logged_in_or_not(start: Start) -> None:
    street = start("--max-peers", "3")
    alice = street.peer("alice")
    stranger = street.connect()
    stranger.send(b"\n")
    bob = street.peer("bob")  # accepted after the stranger
    for _ in range(3):
        late = street.connect()
        assert expect_closed_with(late, b"too-many-peers") == b"3"
        late.close()
    alice.say(b"bob: still")
    bob.expect(b"from alice: still")
    stranger.login("carol")
    assert who(alice) == [b"alice", b"bob", b"carol"]
    stranger.quit()

    def room() -> RealPeer | None:
        newcomer = street.connect()
        newcomer.say(b"dave")
        if newcomer.line() == b"ok login dave@node1":
            return newcomer
        newcomer.close()
        return None

    dave = eventually(room, "room for one more")
    dave.say(b"alice: made it")
    alice.expect(b"from dave: made it")


def test_who_never_logs_in_is_told_and_closed(start: Start) -> None:
    street = start("--login-timeout", "1s")
    alice = street.peer("alice")
    silent, empty, partial = street.connect(), street.connect(), street.connect()
    empty.send(b"\n\r\n\n")
    partial.send(b"bo")
    for stranger in (silent, empty, partial):
        assert float(expect_closed_with(stranger, b"login-timeout")) == 1
    assert who(alice) == [b"alice"]
    later = street.connect()  # their time begins with them
    later.login("bob")
    assert alice.barrier() == []


def test_a_limit_in_seconds_is_a_decimal_number(start: Start) -> None:
    street = start("--login-timeout", "250ms")
    assert expect_closed_with(street.connect(), b"login-timeout") == b"0.25"


def test_zero_is_unlimited_everywhere(start: Start) -> None:
    street = start("--max-peers", "0", "--max-addresses", "0", "--max-joins", "0", "--outbox-bytes", "0")
    alice = street.peer("alice")
    others = street.peers(*(f"p{number}" for number in range(150)))
    alice.say(b", ".join(other.name.encode() for other in others) + b": to all")
    for other in others:
        other.expect(b"from alice: to all")
    topics = [b"#t%d" % number for number in range(1500)]
    for at in range(0, 1500, 50):
        alice.say(b"/join " + b", ".join(topics[at : at + 50]))
    alice.expect(*(b"ok join " + topic for topic in topics))

    slow = others[0]
    text = b"x" * 1000
    amount = 20 * MIB // len(text)
    sent = in_background(alice.send, b"".join(b"p0: %d %s\n" % (number, text) for number in range(amount)))
    sent.result()
    assert alice.barrier() == []  # nobody waited for the one who does not read, and nothing came back
    slow.expect_stream(b"".join(b"from alice: %d %s\n" % (number, text) for number in range(amount)))


def test_errors_leave_the_connection_in_order(street: Street) -> None:
    alice, bob = street.peers("alice", "bob")
    bad = [b"hello", b"/nope", b"nobody: x", b"/join nope", b"/who nope", b"x" * 70_000, b": x"]
    codes = [
        b"bad-line",
        b"unknown-command",
        b"no-such-peer",
        b"bad-topic",
        b"bad-topic",
        b"line-too-long",
        b"bad-line",
    ]
    for round_number in range(20):
        for line, code in zip(bad, codes, strict=True):
            alice.say(line, b"bob: %d" % round_number)
            (answer,) = alice.barrier()
            assert answer.startswith(b"error " + code + b": ")
    assert bob.barrier() == [b"from alice: %d" % number for number in range(20) for _ in bad]


def test_a_flood_of_bad_lines_is_answered_line_by_line(street: Street) -> None:
    alice = street.peer("alice")
    amount = 20_000
    sent = in_background(alice.send, b"".join(b"bad %d\n" % number for number in range(amount)) + b"/ping end\n")
    assert alice.until(b"pong end") == [b"error bad-line: bad %d" % number for number in range(amount)]
    sent.result()


@pytest.mark.parametrize("command", [b"/who", b"/who #crowd", b"/topics", b"/help"])
def test_a_read_full_of_questions_is_answered_within_the_bounds(start: Start, command: bytes) -> None:
    street = start("--outbox-bytes", "256KiB")
    for number in range(60):
        street.hearer(f"somebody-with-a-longer-name-{number:03}", b"#crowd", b"#a-topic-with-a-longer-name-%d" % number)
    asker, witness = street.peers("asker", "witness")
    asker.say(command)
    answer = asker.barrier()
    times = 24 * MIB // len(b"\n".join(answer))
    with street.node.grows_less_than(12 * MIB):
        sent = in_background(asker.send, (command + b"\n") * times)
        asker.wait_readable()
        for _ in range(50):
            assert witness.barrier() == []  # nobody else is kept waiting
        for _ in range(times):
            assert asker.lines(len(answer)) == answer
    sent.result()
    assert asker.barrier() == []


def test_limits_in_answers_are_decimal_numbers(start: Start) -> None:
    street = start("--max-line", "1KiB", "--max-addresses", "1", "--max-joins", "1", "--outbox-bytes", "64KiB")
    alice = street.peer("alice")
    alice.say(b"x" * (KIB + 1))
    assert alice.barrier() == [b"error line-too-long: 1024"]
    alice.say(b"a, b: x")
    assert alice.barrier() == [b"error too-many-addresses: 1"]
    alice.say(b"/join #a, #b")
    assert alice.barrier() == [b"ok join #a", b"error too-many-topics: 1"]
