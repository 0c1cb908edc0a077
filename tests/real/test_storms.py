"""Storms: garbage, floods, resets and crowds end or delay those who cause them, and nobody else."""

import random
import resource
import time
from pathlib import Path

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, RealPeer, Street, eventually, in_background, who


def send_and_ignore(peer: RealPeer, data: bytes) -> None:
    """Send until the other end has had enough."""
    try:
        peer.send(data)
    except OSError:
        pass


def half_close_and_ignore(peer: RealPeer) -> None:
    """End our half, if the other end has not ended all of it."""
    try:
        peer.half_close()
    except OSError:
        pass


def take_to_end(peer: RealPeer) -> None:
    """Read and throw away whatever comes, to whatever end."""
    try:
        peer.to_end()
    except (OSError, AssertionError):
        pass


@pytest.fixture
def steady(street: Street) -> tuple[RealPeer, RealPeer]:
    """Two peers who go on talking whatever happens around them."""
    alice, bob = street.peers("alice", "bob")
    return alice, bob


def expect_them_to_talk(steady: tuple[RealPeer, RealPeer], times: int = 5) -> None:
    """Both are still there, and hear each other and nobody else."""
    alice, bob = steady
    for number in range(times):
        alice.say(b"bob: %d" % number)
        assert alice.barrier() == []
        bob.say(b"alice: %d" % number)
        assert bob.barrier() == [b"from alice: %d" % number]
        assert alice.barrier() == [b"from bob: %d" % number]


@pytest.mark.parametrize("seed", range(6))
def test_garbage_harms_only_who_sends_it(street: Street, steady: tuple[RealPeer, RealPeer], seed: int) -> None:
    chance = random.Random(seed)
    for number in range(12):
        peer = street.connect()
        if number % 3:
            peer.login(f"garbage{number}")
        alphabet = [bytes(range(256)), b"/#:, @\n\r", b"\n", b"/joinleavewho #:,\n\r\0\xff"][number % 4]
        data = bytes(chance.choices(alphabet, k=50_000))
        send_and_ignore(peer, data)
        if chance.random() < 0.5:
            half_close_and_ignore(peer)
            take_to_end(peer)
        else:
            peer.reset()
    expect_them_to_talk(steady)


def test_other_protocols_are_answered_with_an_error_and_an_end(
    street: Street, steady: tuple[RealPeer, RealPeer]
) -> None:
    greetings = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 100 + b"\n",
        b'CONNECT {"verbose":false}\r\nPING\r\n',
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00\x00\x00\x05hello\n",
    ]
    for greeting in greetings:
        peer = street.connect()
        peer.send(greeting)
        peer.half_close()
        lines = peer.to_end()
        assert lines
        assert lines[-1].startswith(b"bye ")
    expect_them_to_talk(steady)


def test_a_line_of_100_megabytes_is_never_held(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    mallory = street.peer("mallory")
    chunk = b"m" * MIB

    def pour() -> None:
        mallory.send(b"bob: ")
        for _ in range(100):
            mallory.send(chunk)
        mallory.send(b"\nalice: and on\n")

    with street.node.grows_less_than(24 * MIB):
        poured = in_background(pour)
        while not poured.done():
            steady[1].say(b"/ping")
            steady[1].expect(b"pong")
        poured.result()
        assert mallory.barrier() == [b"error line-too-long: 65536"]
    steady[0].expect(b"from mallory: and on")
    expect_them_to_talk(steady)


def test_a_first_line_of_100_megabytes_is_never_held(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    stranger = street.connect()

    def pour() -> None:
        for _ in range(100):
            stranger.send(b"m" * MIB)
        stranger.send(b"\n")

    with street.node.grows_less_than(24 * MIB):
        poured = in_background(send_while_it_is_taken, pour)
        expect_them_to_talk(steady, 30)
        poured.result()


def send_while_it_is_taken(pour: object) -> None:
    """Call it until it is done, or the other end has had enough."""
    assert callable(pour)
    try:
        pour()
    except OSError:
        pass


def test_resets_in_the_middle_of_a_line_lose_that_line_only(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    for number in range(200):
        peer = street.connect()
        if number % 4:
            peer.login(f"fleeting{number % 8}-{number}")
        peer.send([b"b", b"bob: never whole", b"/join #t", b"/who\nbob: never"][number % 4])
        peer.reset()
    eventually(lambda: who(steady[0]) == [b"alice", b"bob"], "all have gone")
    expect_them_to_talk(steady)
    steady[0].say(b"/topics")
    steady[0].expect(b"ok topics 0")


def test_readers_that_vanish_while_they_are_written_to_are_forgotten(
    street: Street, steady: tuple[RealPeer, RealPeer]
) -> None:
    writer = street.peer("writer")
    told = in_background(writer.until, b"pong end")
    for number in range(60):
        hearer = street.hearer(f"h{number}", b"#storm")
        writer.send(b"#storm, h%d: x\n" % number * 200)
        if number % 2:
            hearer.reset()
        else:
            hearer.close()
    writer.say(b"/ping end")
    for line in told.result():
        assert line.startswith((b"returned h", b"error no-such-peer: h")), line
    eventually(lambda: who(steady[0]) == [b"alice", b"bob", b"writer"], "all have gone")
    assert who(steady[0], b"#storm") == []
    expect_them_to_talk(steady)


def test_of_a_batch_that_was_half_handed_over_exactly_the_other_half_is_given_back(start: Start) -> None:
    street = start("--max-line", "16KiB", "--outbox-bytes", "128KiB", "--direct-patience", "20s")
    # Of so long a name, because then what one read brings becomes more than is handed over at a time.
    alice, carol = street.peers("a" * 60, "carol")
    amount, delivered, returned = 60_000, 0, 0
    for _ in range(5):
        bob = street.peer("bob", receive_buffer=16 * KIB)
        sent = in_background(alice.send, b"".join(b"bob: %d\n" % number for number in range(amount)))
        bob.wait_readable()
        for _ in range(10):
            carol.barrier()  # meanwhile bob's outbox fills, and alice waits for it
        bob.reset()
        sent.result()
        back = alice.barrier()
        given = [line for line in back if line != b"error no-such-peer: bob"]
        first = amount - len(back)
        reasons = b"returned bob disconnected: "
        assert given == [reasons + b"%d" % number for number in range(first, first + len(given))]
        delivered += first
        returned += len(given)
        eventually(lambda: who(carol) == [b"a" * 60, b"carol"], "bob has gone")
    assert returned > 0
    alice.quit()
    carol.quit()
    assert street.node.terminate() == 0
    totals = street.node.totals()
    assert (totals["delivered"], totals["returned"], totals["dropped"]) == (delivered, returned, 0), totals


def test_a_crowd_can_come_at_once_and_go_at_once(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    amount = min(500, room // 3)
    crowd = [street.connect() for _ in range(amount)]
    for number, peer in enumerate(crowd):
        peer.send(b"crowd%d\n/join #crowd\n" % number)
    for number, peer in enumerate(crowd):
        peer.expect(b"ok login crowd%d@node1" % number, b"ok join #crowd")
    steady[0].say(b"#crowd: hello", b"/who #crowd")
    assert steady[0].until(b"ok who %d" % amount) == sorted(b"peer crowd%d" % number for number in range(amount))
    for peer in crowd:
        peer.expect(b"from alice to #crowd: hello")
    for number, peer in enumerate(crowd):
        (peer.close, peer.reset, peer.half_close)[number % 3]()
    eventually(lambda: who(steady[0]) == [b"alice", b"bob"], "all have gone")
    expect_them_to_talk(steady)


def test_many_come_and_go_one_after_the_other(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    for number in range(300):
        peer = street.peer(f"visitor{number}")
        peer.say(b"alice: I was here")
        peer.barrier()
        street.close_only(peer)
    assert steady[0].lines(300) == [b"from visitor%d: I was here" % number for number in range(300)]
    eventually(lambda: who(steady[0]) == [b"alice", b"bob"], "all have gone")
    expect_them_to_talk(steady)


def test_a_line_sent_byte_by_byte_by_many_is_still_a_line(street: Street, steady: tuple[RealPeer, RealPeer]) -> None:
    drips = street.peers(*(f"drip{number}" for number in range(10)))
    line = b"bob: drop by drop\n"
    for at in range(len(line)):
        for drip in drips:
            drip.send(line[at : at + 1])
    heard = sorted(steady[1].line() for _ in drips)
    assert heard == sorted(b"from %s: drop by drop" % drip.name.encode() for drip in drips)


def open_files(street: Street) -> int:
    """How many descriptors the node has open."""
    return len(list(Path(f"/proc/{street.node.process.pid}/fd").iterdir()))


def test_out_of_descriptors_the_node_goes_on_and_accepts_again_when_there_are_some(start: Start) -> None:
    limit = 48
    street = start(descriptors=limit)
    steady = street.peer("alice"), street.peer("bob")
    assert who(steady[0]) == [b"alice", b"bob"]
    files = open_files(street)
    for outage in range(4):
        crowd = [street.connect() for _ in range(limit + 20)]
        for number, peer in enumerate(crowd):
            send_and_ignore(peer, b"crowd%d\n" % number)
        # All descriptors are taken: those who are in go on, whoever comes gets an end or waits, and nothing spins.
        eventually(lambda: who(steady[0]) and open_files(street) >= limit - 3, "all are taken")
        expect_them_to_talk(steady, 20)
        expect_a_stream(steady, outage)
        written, used = len(street.node.out), cpu_seconds(street)
        for number in range(5):
            crowd.append(street.connect())
            send_and_ignore(crowd[-1], b"late%d\n" % number)
        time.sleep(0.5)  # nothing is waited for: this is what is measured
        expect_them_to_talk(steady, 1)
        assert len(street.node.out) - written < 25, street.node.report()
        assert cpu_seconds(street) - used < 0.3, "it spins while it cannot accept"
        street.close_only(*crowd)
        newcomer = eventually(lambda: try_newcomer(street), "somebody new is let in")
        newcomer.say(b"bob: I am in")
        steady[1].expect(b"from newcomer: I am in")
        newcomer.quit()
        eventually(lambda: who(steady[0]) == [b"alice", b"bob"] and open_files(street) == files, "all have gone")
    expect_them_to_talk(steady)


def expect_a_stream(steady: tuple[RealPeer, RealPeer], number: int) -> None:
    """Many lines from one to the other, while the other reads."""
    alice, bob = steady
    data = b"".join(b"bob: %d %d %s\n" % (number, line, b"x" * 500) for line in range(4000))
    sent = in_background(alice.send, data)
    bob.expect_stream(data.replace(b"bob: ", b"from alice: "))
    sent.result()


def cpu_seconds(street: Street) -> float:
    """The processor time that the node has used."""
    fields = Path(f"/proc/{street.node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def try_newcomer(street: Street) -> RealPeer | None:
    """A new peer, or None when the node could not take one."""
    try:
        return street.peer("newcomer")
    except (EOFError, OSError):
        return None


@pytest.mark.system
def test_a_thousand_idle_peers_and_a_busy_pair(start: Start) -> None:
    street = start()
    amount = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)
    for number in range(amount):
        street.peer(f"idle{number}")
    alice, bob = street.peers("alice", "bob")
    data = b"".join(b"bob: %d %s\n" % (number, b"x" * KIB) for number in range(50_000))
    sent = in_background(alice.send, data)
    bob.expect_stream(data.replace(b"bob: ", b"from alice: "))
    sent.result()
    assert len(who(alice)) == amount + 2
