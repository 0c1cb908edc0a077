"""Slow readers: what they cost, whom, for how long, and that every line of theirs is accounted for."""

import re
import threading
import time
from collections.abc import Iterable

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, TCP, Pace, RealPeer, Street, eventually, in_background, who

SMALL = 64 * KIB
"""A receive buffer that does not grow, so that little is on its way to who does not read."""

TEXT = b"s" * 1000


def numbered(address: bytes, numbers: Iterable[int], text: bytes = TEXT) -> bytes:
    """One line for each number, to this address."""
    return b"".join(b"%s: %d %s\n" % (address, number, text) for number in numbers)


def number_of(line: bytes) -> int:
    """The number that a line's text begins with."""
    found = re.search(rb": (\d+)(?: |$)", line)
    assert found is not None, line[:200]
    return int(found[1])


def expect_every_line_in_its_place(lines: Iterable[bytes], amounts: dict[bytes, int], sender: bytes = b"alice") -> int:
    """Of each topic: the lines in order, and for each gap a `lagged` in its place with its exact size; all lost."""
    expected = dict.fromkeys(amounts, 0)
    lost = 0
    for line in lines:
        lagged = re.fullmatch(rb"error lagged: (#\S+) (\d+)", line)
        if lagged:
            assert int(lagged[2]) > 0
            expected[lagged[1]] += int(lagged[2])
            lost += int(lagged[2])
            continue
        heard = re.match(rb"from %s to (#\S+): (\d+)" % sender, line)
        assert heard is not None, line[:200]
        assert int(heard[2]) == expected[heard[1]], line[:200]
        expected[heard[1]] += 1
    assert expected == amounts
    return lost


# --- direct lines


def test_a_sender_waits_for_a_full_outbox_and_nothing_is_lost(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    amount = 20_000
    with street.node.grows_less_than(16 * MIB):
        sent = in_background(alice.send, numbered(b"bob", range(amount)) + b"/ping end\n")
        bob.wait_readable()
        bob.expect_stream(numbered(b"from alice", range(amount)))
    sent.result()
    assert alice.until(b"pong end") == []
    assert bob.barrier() == []


def test_only_those_wait_whose_lines_fill_the_outbox(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, bob = street.peer("alice", send_buffer=SMALL), street.peer("bob", receive_buffer=SMALL)
    carol, dave = street.peers("carol", "dave")
    amount = 20_000
    sent = in_background(alice.send, numbered(b"bob", range(amount)) + b"/ping end\n")
    bob.wait_readable()
    for number in range(40):
        carol.say(b"dave, alice: %d" % number)
        assert carol.barrier() == []
        assert dave.barrier() == [b"from carol: %d" % number]
    # A pause in reading from alice is none in writing to her.
    alice.expect(*(b"from carol: %d" % number for number in range(40)))
    assert not sent.done()
    bob.expect_stream(numbered(b"from alice", range(amount)))
    sent.result()
    alice.expect(b"pong end")


def test_after_the_patience_lines_are_given_back_until_the_outbox_has_emptied(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "500ms", "--stall-timeout", "60s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    amount = 8000
    sent = in_background(alice.send, numbered(b"bob@node1", range(amount)) + b"/ping end\n")
    back = alice.until(b"pong end")
    sent.result()
    assert back
    assert all(line.startswith(b"returned bob@node1 queue-full: ") for line in back)
    assert all(line.endswith(b" " + TEXT) for line in back)
    taken = bob.barrier()
    assert all(line.startswith(b"from alice: ") and line.endswith(b" " + TEXT) for line in taken)
    returned, received = [number_of(line) for line in back], [number_of(line) for line in taken]
    assert returned == sorted(returned)
    assert received == sorted(received)
    assert sorted(returned + received) == list(range(amount))
    # The episode has ended: what comes now is taken again.
    alice.send(numbered(b"bob", range(100)))
    assert alice.barrier() == []
    bob.expect_stream(numbered(b"from alice", range(100)))


def test_without_patience_lines_are_given_back_at_once(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "0s", "--stall-timeout", "60s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    amount = 8000
    back: list[bytes] = []
    for at in range(0, amount, 100):
        alice.send(numbered(b"bob", range(at, at + 100)))
        back += alice.barrier()  # a pong comes after the `returned` lines that routing caused
    assert alice.barrier() == []
    taken = bob.barrier()
    assert all(line.startswith(b"returned bob queue-full: ") for line in back)
    assert back
    assert sorted(map(number_of, back + taken)) == list(range(amount))
    assert [number_of(line) for line in taken] == sorted(map(number_of, taken))


def test_patience_counts_once_for_all_senders_and_lines(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "1s", "--stall-timeout", "60s")
    senders = street.peers("s0", "s1", "s2", "s3")
    bob = street.peer("bob", receive_buffer=SMALL)
    amount = 3000
    began = time.monotonic()
    sent = [in_background(sender.send, numbered(b"bob", range(amount)) + b"/ping end\n") for sender in senders]
    back = {sender.name: [number_of(line) for line in sender.until(b"pong end")] for sender in senders}
    # Once, not once for each of 12,000 lines, of 4 senders, or of the hundreds of reads they took.
    assert time.monotonic() - began < 25
    for each in sent:
        each.result()
    taken: dict[str, list[int]] = {sender.name: [] for sender in senders}
    for line in bob.barrier():
        taken[line.split(b" ")[1].rstrip(b":").decode()].append(number_of(line))
    for name in taken:
        assert taken[name] == sorted(taken[name])
        assert sorted(back[name] + taken[name]) == list(range(amount))


def test_one_line_for_each_text_and_address_is_given_back(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "0s", "--stall-timeout", "60s")
    alice, carol = street.peer("alice"), street.hearer("carol", b"#t")
    bob, dave = street.peer("bob", receive_buffer=SMALL), street.peer("dave", receive_buffer=SMALL)
    amount, back = 6000, []
    for at in range(0, amount, 100):
        alice.send(numbered(b"bob, dave@node1, carol, #t", range(at, at + 100)))
        back += alice.barrier()
        carol.barrier()
    for peer, address in ((bob, b"bob"), (dave, b"dave@node1")):
        returned = [number_of(line) for line in back if line.startswith(b"returned " + address + b" queue-full: ")]
        received = [number_of(line) for line in peer.barrier()]
        assert returned
        assert sorted(returned + received) == list(range(amount))
    assert all(line.startswith((b"returned bob queue-full: ", b"returned dave@node1 queue-full: ")) for line in back)


def test_a_sender_held_by_two_outboxes_is_read_when_the_last_lets_it_go(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice = street.peer("alice")
    bob, carol = street.peer("bob", receive_buffer=SMALL), street.peer("carol", receive_buffer=SMALL)
    amount = 6000
    sent = in_background(alice.send, numbered(b"bob, carol", range(amount)) + b"/ping end\n")
    bob.wait_readable()
    carol.expect_stream(numbered(b"from alice", range(1000)))
    taken = in_background(carol.expect_stream, numbered(b"from alice", range(1000, amount)))
    bob.expect_stream(numbered(b"from alice", range(amount)))
    taken.result()
    sent.result()
    assert alice.until(b"pong end") == []


def test_a_sender_is_read_again_when_the_outbox_that_holds_it_closes(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, carol = street.peers("alice", "carol")
    bob = street.peer("bob", receive_buffer=SMALL)
    amount = 6000
    sent = in_background(alice.send, numbered(b"bob", range(amount)) + b"carol: got through\n/ping end\n")
    bob.wait_readable()
    bob.expect_stream(numbered(b"from alice", range(10)))
    bob.reset()
    carol.expect(b"from alice: got through")
    sent.result()
    told = alice.until(b"pong end")
    back = [number_of(line) for line in told if line.startswith(b"returned bob disconnected: ")]
    missing = [line for line in told if line == b"error no-such-peer: bob"]
    assert back
    assert len(back) + len(missing) == len(told)
    # What was waiting comes back without a gap; what came later found nobody.
    assert back == list(range(back[0], amount - len(missing)))


def test_a_paused_senders_last_lines_are_not_lost_when_it_closes(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    amount = 6000

    def send_and_leave() -> None:
        alice.send(numbered(b"bob", range(amount)))
        alice.half_close()

    left = in_background(send_and_leave)
    bob.wait_readable()
    bob.expect_stream(numbered(b"from alice", range(amount)))
    left.result()
    assert alice.to_end() == [b"bye quit"]


# --- topics


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_a_hearer_that_does_not_read_loses_the_oldest_and_is_told_how_many_in_their_place(
    start: Start, scheme: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    street = start("--outbox-bytes", "256KiB", listen=(TCP, f"unix:{tmp_path_factory.mktemp('s') / 'peers'}"))
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", scheme=scheme, receive_buffer=SMALL)
    amount = 20_000
    sent = in_background(alice.send, numbered(b"#t", range(amount)))
    sent.result()
    assert alice.barrier() == []
    lines = bob.barrier()
    assert expect_every_line_in_its_place(lines, {b"#t": amount}) > 0
    assert number_of(lines[-1]) == amount - 1  # the oldest are lost, not the newest
    # It stays, and loses nothing more.
    alice.send(numbered(b"#t", range(100)))
    assert alice.barrier() == []
    assert expect_every_line_in_its_place(bob.barrier(), {b"#t": 100}) == 0


def test_lost_lines_are_told_for_each_topic(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--topic-patience", "0s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#a", b"#b/c", b"#rare", receive_buffer=SMALL)
    amounts = {b"#a": 0, b"#b/c": 0, b"#rare": 0}
    data = bytearray()
    for number in range(16_000):
        topic = b"#rare" if number % 1000 == 7 else b"#b/c" if number % 3 == 0 else b"#a"
        data += b"%s: %d %s\n" % (topic, amounts[topic], TEXT)
        amounts[topic] += 1
    in_background(alice.send, data).result()
    assert alice.barrier() == []
    assert expect_every_line_in_its_place(bob.barrier(), amounts) > 0


def test_the_lost_lines_of_several_senders_are_counted_exactly(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--topic-patience", "0s")
    senders = street.peers("s0", "s1", "s2")
    bob = street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 5000
    sent = [in_background(sender.send, numbered(b"#t", range(amount))) for sender in senders]
    for each in sent:
        each.result()
    for sender in senders:
        assert sender.barrier() == []
    heard: dict[bytes, list[int]] = {}
    lost = 0
    for line in bob.barrier():
        if line.startswith(b"error lagged: #t "):
            lost += int(line.rpartition(b" ")[2])
        else:
            heard.setdefault(line.split(b" ")[1], []).append(number_of(line))
    assert lost > 0
    assert sum(map(len, heard.values())) + lost == 3 * amount
    for numbers in heard.values():
        assert numbers == sorted(set(numbers))


def test_reading_now_and_then_every_lost_line_is_told_where_it_is_missing(start: Start) -> None:
    street = start("--outbox-bytes", "128KiB", "--topic-patience", "0s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)
    at, lines = 0, []
    for round_number in range(8):
        more = (300, 4000)[round_number % 2]
        in_background(alice.send, numbered(b"#t", range(at, at + more))).result()
        at += more
        assert alice.barrier() == []
        lines += bob.barrier() if round_number % 4 == 3 else bob.lines(50)
    assert expect_every_line_in_its_place(lines, {b"#t": at}) > 0
    assert sum(line.startswith(b"error lagged: ") for line in lines) > 1


def test_who_reads_loses_nothing_beside_one_who_does_not(start: Start) -> None:
    street = start()
    alice = street.peer("alice")
    stuck = street.hearer("stuck", b"#t", receive_buffer=SMALL)
    hearers = [street.hearer(f"hearer{number}", b"#t") for number in range(2)]
    amount = 20_000
    heard = [in_background(hearer.expect_stream, numbered(b"from alice to #t", range(amount))) for hearer in hearers]
    sent = in_background(alice.send, numbered(b"#t", range(amount)))
    for each in heard:
        each.result()
    sent.result()
    assert alice.barrier() == []
    assert expect_every_line_in_its_place(stuck.barrier(), {b"#t": amount}) > 0


def test_a_busy_topic_costs_the_senders_of_direct_lines_nothing(start: Start) -> None:
    street = start("--outbox-bytes", "512KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, carol = street.peers("alice", "carol")
    bob = street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 8000
    in_background(alice.send, numbered(b"#t", range(amount))).result()
    assert alice.barrier() == []
    for number in range(40):
        carol.say(b"bob: %d" % number)
        assert carol.barrier() == []  # neither paused nor given back
    alice.say(b"bob: also by name")
    assert alice.barrier() == []
    lines = bob.barrier()
    assert [line for line in lines if line.startswith(b"from carol")] == [b"from carol: %d" % n for n in range(40)]
    assert b"from alice: also by name" in lines
    topic = [line for line in lines if not line.startswith((b"from carol: ", b"from alice: "))]
    assert expect_every_line_in_its_place(topic, {b"#t": amount}) > 0


def test_full_of_direct_lines_an_outbox_still_takes_topics(start: Start) -> None:
    street = start("--outbox-bytes", "512KiB", "--direct-patience", "60s", "--stall-timeout", "90s")
    alice, carol = street.peer("alice", send_buffer=SMALL), street.peer("carol")
    bob = street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 20_000
    sent = in_background(alice.send, numbered(b"bob", range(amount)) + b"/ping end\n")
    bob.wait_readable()
    for number in range(40):
        carol.say(b"#t: %d" % number)
        assert carol.barrier() == []
    assert not sent.done()
    heard: dict[bytes, list[int]] = {b"alice:": [], b"carol": []}
    while len(heard[b"alice:"]) < amount:
        line = bob.line()
        heard[line.split(b" ")[1]].append(number_of(line))
    assert heard == {b"alice:": list(range(amount)), b"carol": list(range(40))}
    sent.result()
    assert alice.until(b"pong end") == []


def test_what_is_lost_of_a_topic_takes_no_direct_line_from_its_place(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--topic-patience", "0s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)
    data = bytearray()
    for mark in range(10):
        data += numbered(b"#t", range(mark * 1000, mark * 1000 + 1000)) + b"bob: mark %d\n" % mark
    in_background(alice.send, data).result()
    assert alice.barrier() == []
    marks, lost, heard = 0, 0, []
    for line in bob.barrier():
        if line.startswith(b"from alice: mark "):
            assert line == b"from alice: mark %d" % marks
            marks += 1
        elif line.startswith(b"error lagged: #t "):
            lost += int(line.rpartition(b" ")[2])
        else:
            assert number_of(line) // 1000 == marks
            heard.append(number_of(line))
    assert marks == 10
    assert heard == sorted(heard)
    assert lost > 0
    assert lost + len(heard) == 10_000


def test_lost_notices_are_told_by_their_count(start: Start) -> None:
    street = start("--outbox-bytes", "128KiB", "--topic-patience", "0s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)
    bob.say(b"/watch")
    bob.expect(b"ok watch")
    half, guests = 4000, 30
    in_background(alice.send, numbered(b"#t", range(half))).result()
    assert alice.barrier() == []
    for number in range(guests):
        street.peer(f"guest{number}")
    in_background(alice.send, numbered(b"#t", range(half, 2 * half))).result()
    assert alice.barrier() == []
    notices, rest = [], []
    lost = 0
    for line in bob.barrier():
        if line.startswith(b"notice here: "):
            notices.append(line)
        elif line.startswith(b"error lagged: /watch "):
            lost += int(line.rpartition(b" ")[2])
        else:
            rest.append(line)
    assert lost > 0
    assert len(notices) + lost == guests
    expect_every_line_in_its_place(rest, {b"#t": 2 * half})


def test_a_hearer_that_does_not_read_may_be_disconnected_instead(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--topic-overflow", "disconnect", "--topic-patience", "100ms")
    alice, carol = street.peer("alice"), street.hearer("carol", b"#t")
    bob = street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 8000
    heard = in_background(carol.expect_stream, numbered(b"from alice to #t", range(amount)))
    in_background(alice.send, numbered(b"#t", range(amount))).result()
    heard.result()
    assert alice.barrier() == []
    eventually(lambda: who(alice) == [b"alice", b"carol"], "bob is out")
    assert who(alice, b"#t") == [b"carol"]
    lines: list[bytes] = []
    try:
        while True:
            lines.append(bob.line())
    except (EOFError, ConnectionResetError):
        pass
    heard_numbers = [number_of(line) for line in lines if line.startswith(b"from alice to #t: ")]
    assert heard_numbers == list(range(len(heard_numbers)))
    assert len(heard_numbers) < amount
    bob.close()
    street.login_when_free("bob")


def test_a_hearer_that_reads_is_not_disconnected_by_a_burst(start: Start) -> None:
    street = start("--topic-overflow", "disconnect", "--topic-patience", "20s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 16_000
    sent = in_background(alice.send, numbered(b"#t", range(amount)))
    bob.wait_readable()
    bob.expect_stream(numbered(b"from alice to #t", range(amount)))
    sent.result()
    assert alice.barrier() == []
    assert bob.barrier() == []


def hear_at_a_pace(street: Street, rate: float, amount: int) -> int:
    """Publish so many lines as fast as it goes to one who reads at so many bytes a second: how many it lost."""
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)

    def publish() -> None:
        alice.send(numbered(b"#t", range(amount)) + b"/ping end\n")
        assert alice.until(b"pong end") == []

    published = in_background(publish)
    Pace(bob, rate).read_while(lambda: not published.done())
    published.result()
    lost = expect_every_line_in_its_place(bob.barrier(), {b"#t": amount})
    alice.close()
    bob.close()
    return lost


@pytest.mark.parametrize(("rate", "loses"), [(4 * MIB, False), (1 * MIB, True)], ids=["fast", "slow"])
def test_who_takes_half_its_outbox_within_the_patience_loses_nothing(start: Start, rate: float, loses: bool) -> None:
    # 4 MiB and 1 s: the border is at 2 MiB/s.
    street = start("--topic-patience", "1s")
    assert bool(hear_at_a_pace(street, rate, 14 * MIB // len(TEXT))) is loses


@pytest.mark.system
def test_four_million_lines_reach_four_hearers_beside_one_that_never_reads(start: Start) -> None:
    street = start()
    hearers = [street.hearer(f"h{number}", b"#t") for number in range(4)]
    street.hearer("stuck", b"#t", receive_buffer=SMALL)
    alice = street.peer("alice")
    lines, text = 4_000_000, b"l" * 64
    each = len(b"from alice to #t: " + text + b"\n")

    def hear(peer: RealPeer) -> int:
        taken = 0
        while taken < lines * each:
            taken += len(peer.stream.recv(MIB))
        return taken

    heard = [in_background(hear, peer) for peer in hearers]
    # Its outbox holds 4 MiB of topic lines at the most; the rest is what allocators and four busy peers may need.
    with street.node.grows_less_than(24 * MIB):
        for _ in range(lines // 4000):
            alice.send((b"#t: " + text + b"\n") * 4000)
        assert [future.result() for future in heard] == [lines * each] * 4


@pytest.mark.system
@pytest.mark.parametrize(("rate", "loses"), [(40 * MIB, False), (10 * MIB, True)], ids=["40", "10"])
def test_a_hearer_at_40_mib_per_second_loses_nothing_and_one_at_10_does(start: Start, rate: float, loses: bool) -> None:
    assert bool(hear_at_a_pace(start(), rate, 120 * MIB // len(TEXT))) is loses


# --- the end of patience


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_who_takes_nothing_for_the_stall_timeout_is_aborted(start: Start, kind: str) -> None:
    # A bound of several chunks: the kernel may still take one at the last try, and that must not end the episode.
    street = start("--outbox-bytes", "2MiB", "--direct-patience", "300ms", "--stall-timeout", "1500ms")
    alice, carol = street.peers("alice", "carol")
    street.hearer("bob", b"#t", receive_buffer=SMALL)
    carol.say(b"/watch")
    carol.expect(b"ok watch")
    address = {"direct": b"bob", "topic": b"#t"}[kind]
    amount = 6000
    alice.say(b"bob: 0 by name")
    sent = in_background(alice.send, numbered(address, range(1, amount)) + b"bob: 6000 by name\n/ping end\n")
    back = alice.until(b"pong end")
    sent.result()
    carol.expect(b"notice gone: bob")
    back += eventually(alice.barrier, "lines are given back")
    slow = [number_of(line) for line in back if line.startswith(b"returned bob slow-consumer: ")]
    full = [number_of(line) for line in back if line.startswith(b"returned bob queue-full: ")]
    assert slow == sorted(slow)
    assert full == sorted(full)
    assert len(slow) + len(full) == len(back)
    if kind == "topic":
        assert (slow, full) == ([amount], [])  # what was published is counted, not given back
    else:
        assert slow
        assert full
        assert slow + full == list(range(slow[0], amount + 1))
    assert who(carol) == [b"alice", b"carol"]
    alice.say(b"bob: anybody?")
    assert alice.barrier() == [b"error no-such-peer: bob"]
    assert street.login_when_free("bob").barrier() == []


def test_a_peer_that_does_not_read_its_own_answers_is_aborted(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "300ms", "--stall-timeout", "1s")
    alice = street.peer("alice")
    alice.say(b"/watch")
    alice.expect(b"ok watch")
    greedy = street.peer("greedy", receive_buffer=SMALL)
    alice.expect(b"notice here: greedy")

    def ask() -> None:
        try:
            greedy.send(b"/help\n" * 2_000_000)
        except OSError:
            pass

    asked = in_background(ask)
    with street.node.grows_less_than(24 * MIB):
        alice.expect(b"notice gone: greedy")
    asked.result()
    assert who(alice) == [b"alice"]


def test_a_byte_now_and_then_is_no_stall(start: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Far less than a third of the kernel's buffer within the time, and still no stall."""
    path = tmp_path_factory.mktemp("s") / "peers"
    street = start(
        *("--outbox-bytes", "2MiB", "--direct-patience", "300ms", "--stall-timeout", "1500ms"),
        listen=(TCP, f"unix:{path}"),
    )
    alice = street.peer("alice")
    slow = [street.peer("by-tcp", "tcp", receive_buffer=SMALL), street.peer("by-unix", "unix")]
    amount = 6000
    enough = threading.Event()
    readers = [in_background(Pace(peer, 128 * KIB).read_while, lambda: not enough.is_set()) for peer in slow]
    sent = in_background(alice.send, numbered(b"by-tcp, by-unix", range(amount)) + b"/ping end\n")
    back = alice.until(b"pong end")
    sent.result()
    assert {line.split(b" ")[1] for line in back} == {b"by-tcp", b"by-unix"}  # both are full
    enough.wait(4)  # more than twice the limit, at their pace
    enough.set()
    for reader in readers:
        reader.result()
    assert who(alice) == [b"alice", b"by-tcp", b"by-unix"]
    for peer in slow:
        name = peer.name.encode()
        returned = [number_of(line) for line in back if line.startswith(b"returned " + name + b" queue-full: ")]
        received = [number_of(line) for line in peer.barrier()]
        assert sorted(returned + received) == list(range(amount))


def test_a_circle_of_peers_that_wait_for_each_other_is_broken(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "500ms", "--stall-timeout", "1s")
    witness = street.peer("witness")
    names = ["c0", "c1", "c2"]
    circle = [street.peer(name, receive_buffer=SMALL) for name in names]
    witness.say(b"/watch")
    witness.expect(b"ok watch")

    def pour(peer: RealPeer, to: str) -> None:
        try:
            peer.send(numbered(to.encode(), range(40_000)))
        except OSError:
            pass

    poured = [in_background(pour, peer, names[(at + 1) % 3]) for at, peer in enumerate(circle)]
    gone = witness.line()  # at least one of them is aborted, and then the next has nobody to write to
    assert gone.startswith(b"notice gone: c")
    for peer in circle:
        peer.close()
    for each in poured:
        each.result()
    eventually(lambda: who(witness) == [b"witness"], "all are gone")


def test_lines_that_cannot_even_be_given_back_are_counted(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "peers"
    street = start(
        *("--outbox-bytes", "256KiB", "--direct-patience", "0s", "--stall-timeout", "60s"),
        listen=(TCP, f"unix:{path}"),
    )
    watcher = street.peer("watcher")
    readers = [street.peer(f"bob{number}", "unix") for number in range(12)]
    alice = street.peer("alice", "unix")
    addresses = b",".join(reader.name.encode() for reader in readers)
    watcher.say(b"/watch")
    watcher.expect(b"ok watch")
    with street.node.grows_less_than(32 * MIB):
        poured = in_background(alice.send, numbered(addresses, range(20_000), b"r" * 100) + b"/ping end\n")
        alice.wait_readable()  # the first line that comes back: the outboxes are full
        for reader in readers:
            reader.close()
        gone = {watcher.line() for _ in readers}
        assert gone == {b"notice gone: " + reader.name.encode() for reader in readers}
        assert watcher.barrier() == []
        for reader in readers:  # its name is free when its connection has ended, and what was queued has come back
            street.login_when_free(reader.name).quit()
        lines = alice.until(b"pong end")
        poured.result()
    told = [line for line in lines if line.startswith(b"error returns-lost: ")]
    assert told
    assert all(int(line.rpartition(b" ")[2]) > 0 for line in told)
    assert [line for line in lines if not line.startswith((b"returned bob", b"error "))] == []


# --- memory and the others


def test_subscribers_that_never_read_cost_no_more_than_their_bounds(start: Start) -> None:
    # Patience enough for the one who reads, on a machine that is busy with something else.
    street = start("--outbox-bytes", "256KiB", "--topic-patience", "2s")
    alice, dave, erin = street.peers("alice", "dave", "erin")
    stuck = [street.hearer(f"stuck{number}", b"#t", receive_buffer=SMALL) for number in range(20)]
    reader = street.hearer("reader", b"#t")
    amount, text = 8000, b"m" * 12_000
    with street.node.grows_less_than(48 * MIB):  # of 92 MiB that are published, to 21 hearers
        heard = in_background(reader.expect_stream, numbered(b"from alice to #t", range(amount), text))
        sent = in_background(alice.send, numbered(b"#t", range(amount), text))
        rounds = 0
        while not sent.done():
            dave.say(b"erin: %d" % rounds)
            assert dave.barrier() == []
            assert erin.barrier() == [b"from dave: %d" % rounds]
            rounds += 1
        sent.result()
        heard.result()
        assert alice.barrier() == []
    assert expect_every_line_in_its_place(stuck[0].barrier(), {b"#t": amount}) > 0
    assert expect_every_line_in_its_place(stuck[-1].barrier(), {b"#t": amount}) > 0


def test_small_lines_are_held_within_the_bounds_too(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "0s", "--stall-timeout", "60s")
    senders = street.peers(*(f"s{number}" for number in range(8)))
    stuck = [street.peer(f"r{number}", receive_buffer=SMALL) for number in range(8)]
    rounds, tenfold = 1500, 10
    with street.node.grows_less_than(32 * MIB):
        back = [in_background(sender.until, b"pong end") for sender in senders]
        # Tiny batches of many senders, turn by turn: what is held for each of them counts as well.
        for number in range(rounds):
            for sender in senders:
                sender.send(b"".join(b"r%d: %d tiny\n" % (at, number) for at in range(8)) * tenfold)
        for sender in senders:
            sender.say(b"/ping end")
        returned = sum(len(each.result()) for each in back)
    received = sum(len(peer.barrier()) for peer in stuck)
    assert returned > 0
    assert returned + received == rounds * tenfold * len(senders) * len(stuck)


def test_a_paused_topic_is_nobodys_pause(start: Start) -> None:
    """One slow hearer of a topic: senders to other topics and names are not held for it."""
    street = start("--outbox-bytes", "256KiB", "--topic-patience", "20s", "--direct-patience", "20s")
    alice, carol = street.peer("alice", send_buffer=SMALL), street.peer("carol")
    bob, dave = street.hearer("bob", b"#slow", receive_buffer=SMALL), street.hearer("dave", b"#quick")
    amount = 20_000
    sent = in_background(alice.send, numbered(b"#slow", range(amount)) + b"/ping end\n")
    bob.wait_readable()
    for number in range(40):
        carol.say(b"#quick: %d" % number)
        assert carol.barrier() == []
        assert dave.barrier() == [b"from carol to #quick: %d" % number]
    assert not sent.done()
    assert expect_every_line_in_its_place(bob.lines(amount), {b"#slow": amount}) == 0
    sent.result()
    assert alice.until(b"pong end") == []
