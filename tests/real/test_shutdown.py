"""Shutdown: what was accepted is delivered, given back or counted, everybody is told, and nobody holds it up."""

import signal
import socket
import time

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, RealNode, RealPeer, Street, eventually, in_background, who

SMALL = 64 * KIB
TEXT = b"s" * 1000


def expect_the_ledger_to_balance(node: RealNode) -> dict[str, int]:
    """The totals are on the log's last lines: every accepted copy is delivered, returned or dropped, none is queued."""
    totals = node.totals()
    assert {"accepted", "delivered", "returned", "dropped"} <= totals.keys(), node.report()
    assert totals.get("queued", 0) == 0
    assert totals["accepted"] == totals["delivered"] + totals["returned"] + totals["dropped"], totals
    return totals


def no_longer_accepts(street: Street) -> bool:
    """Whether a new connection is refused, or not answered as one that may log in."""
    host, _, port = street.node.endpoint().removeprefix("tcp:").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_everybody_is_told_and_the_exit_status_is_0(start: Start, number: signal.Signals) -> None:
    street = start()
    peers = street.peers("alice", "bob", "carol")
    peers[0].say(b"bob, carol, nobody: hi", b"/ping")
    assert peers[0].until(b"pong") == [b"error no-such-peer: nobody"]
    street.node.signal(number)
    assert peers[0].to_end() == [b"bye shutdown"]
    assert peers[1].to_end() == [b"from alice: hi", b"bye shutdown"]
    assert peers[2].to_end() == [b"from alice: hi", b"bye shutdown"]
    for peer in peers:
        peer.close()
    assert street.node.wait() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["accepted"] == totals["delivered"] == 2
    assert totals["returned"] == totals["dropped"] == 0


def test_a_node_that_nobody_uses_ends_at_once(start: Start) -> None:
    street = start("--drain-timeout", "90s")
    assert street.peer("alice").quit() == []  # it is up
    assert street.node.terminate() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["accepted"] == 0


def test_what_was_accepted_reaches_a_reader_who_begins_late(start: Start) -> None:
    street = start("--drain-timeout", "60s")
    alice, bob = street.peer("alice"), street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 3000
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(amount)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    eventually(lambda: no_longer_accepts(street), "it stops accepting")
    assert bob.to_end() == [*(b"from alice: %d %s" % (number, TEXT) for number in range(amount)), b"bye shutdown"]
    assert alice.to_end() == [b"bye shutdown"]
    alice.close()
    bob.close()
    assert street.node.wait() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["delivered"] == amount


def test_under_load_every_accepted_line_is_delivered_or_given_back(start: Start) -> None:
    street = start("--drain-timeout", "60s")
    names = ["r0", "r1", "r2"]
    readers = [street.hearer(name, b"#t") for name in names]
    senders = street.peers("s0", "s1", "s2")
    heard = [in_background(reader.to_end) for reader in readers]
    told = [in_background(sender.to_end) for sender in senders]
    data = b"".join(b"%s: %d\n" % (address, n) for n in range(25_000) for address in (b"r0", b"r1, r2", b"#t"))

    def pour(sender: RealPeer) -> None:
        try:
            sender.send(data)
        except OSError:
            pass

    first = street.peer("first")
    poured = [in_background(pour, sender) for sender in senders]
    for _ in range(20):
        first.barrier()
    street.node.signal(signal.SIGTERM)
    results = [each.result() for each in heard]
    back = [each.result() for each in told]
    assert first.to_end() == [b"bye shutdown"]
    for peer in (*readers, *senders, first):
        peer.close()
    assert street.node.wait() == 0
    for each in poured:
        each.result()

    received = lost = 0
    for name, lines in zip(names, results, strict=True):
        assert lines.pop() == b"bye shutdown"
        received += len(lines)
        counts: dict[bytes, int] = {}
        for line in lines:
            start_of_line, _, text = line.partition(b": ")
            if start_of_line == b"error lagged":
                lost += int(text.rpartition(b" ")[2])
                received -= 1
                continue
            if b" to #t" not in start_of_line:  # of the direct ones not one is missing in between
                assert int(text) == counts.get(start_of_line, 0), (name, line)
            counts[start_of_line] = int(text) + 1
    assert received > 0
    returned = 0
    for lines in back:
        assert lines.pop() == b"bye shutdown"
        assert all(line.startswith(b"returned r") and b" shutdown: " in line for line in lines)
        returned += len(lines)
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["delivered"] == received
    assert totals["returned"] == returned
    assert totals["dropped"] == lost


def test_what_is_not_taken_within_the_drain_timeout_is_given_back(start: Start) -> None:
    street = start("--drain-timeout", "1s")
    alice, carol = street.peers("alice", "carol")
    street.hearer("bob", b"#t", receive_buffer=SMALL)
    amount = 3000
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(amount)), b"#t: to a topic")
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    lines = alice.to_end()
    assert lines.pop() == b"bye shutdown"
    assert lines
    first = int(lines[0].split()[3])
    assert lines == [b"returned bob shutdown: %d %s" % (number, TEXT) for number in range(first, amount)]
    assert carol.to_end() == [b"bye shutdown"]
    alice.close()
    carol.close()
    assert street.node.wait() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["accepted"] == amount + 1
    assert totals["returned"] == len(lines)
    assert totals["dropped"] == 1  # the topic's, behind them


def test_what_nobody_can_be_given_back_is_counted(start: Start) -> None:
    street = start("--drain-timeout", "1s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    amount = 3000
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(amount)))
    assert alice.barrier() == []
    alice.quit()
    assert street.node.terminate() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["accepted"] == amount
    assert totals["returned"] == 0
    assert totals["dropped"] > 0
    bob.close()


def test_neither_who_never_logged_in_nor_who_stays_holds_it_up(start: Start) -> None:
    street = start("--drain-timeout", "90s", "--login-timeout", "90s")
    silent, partial = street.connect(), street.connect()
    partial.send(b"bo")
    alice = street.peer("alice")  # accepted after them
    assert who(alice) == [b"alice"]
    street.node.signal(signal.SIGTERM)
    assert alice.to_end() == [b"bye shutdown"]
    assert street.node.wait() == 0  # all three are still there
    for stranger in (silent, partial):
        assert [line for line in stranger.to_end() if line != b"bye shutdown"] == []


def test_who_never_reads_holds_it_up_no_longer_than_the_limits(start: Start) -> None:
    street = start("--drain-timeout", "1s", "--outbox-bytes", "256KiB", "--stall-timeout", "90s")
    alice = street.peer("alice", receive_buffer=SMALL)
    bob = street.hearer("bob", b"#t", receive_buffer=SMALL)

    def pour() -> None:
        try:
            alice.send(b"".join(b"bob, #t, alice: %d %s\n" % (number, TEXT) for number in range(30_000)))
        except OSError:
            pass

    poured = in_background(pour)
    alice.wait_readable()
    bob.wait_readable()
    assert street.node.terminate() == 0  # neither of them has read a byte
    alice.close()
    poured.result()
    expect_the_ledger_to_balance(street.node)


def test_it_stops_accepting_and_reading_first(start: Start) -> None:
    street = start("--drain-timeout", "60s")
    alice, carol = street.peers("alice", "carol")
    bob = street.peer("bob", receive_buffer=SMALL)
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(3000)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    eventually(lambda: no_longer_accepts(street), "it stops accepting")
    alice.say(b"carol: too late", b"bob: too late")
    lines = bob.to_end()
    assert lines[-1] == b"bye shutdown"
    assert len(lines) == 3001
    assert carol.to_end() == [b"bye shutdown"]
    assert alice.to_end() == [b"bye shutdown"]
    for peer in (alice, bob, carol):
        peer.close()
    assert street.node.wait() == 0


def test_a_second_signal_stops_at_once(start: Start) -> None:
    street = start("--drain-timeout", "300s", "--stall-timeout", "300s")
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=SMALL)
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(3000)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    eventually(lambda: no_longer_accepts(street), "it stops accepting")
    began = time.monotonic()
    street.node.signal(signal.SIGTERM)
    street.node.wait()
    assert time.monotonic() - began < 30
    bob.close()
    alice.close()


def test_totals_count_every_way_a_copy_can_end(start: Start) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "0s", "--topic-patience", "0s")
    alice = street.peer("alice")
    bob, carol = street.hearer("bob", b"#t", receive_buffer=SMALL), street.hearer("carol", b"#t")
    amount, returned = 6000, 0
    for at in range(0, amount, 100):
        alice.send(b"".join(b"bob, carol, nobody, #t, #unheard: %d %s\n" % (at + n, TEXT) for n in range(100)))
        lines = alice.barrier()
        assert len([line for line in lines if line == b"error no-such-peer: nobody"]) == 100
        returned += len(lines) - 100
        assert len(carol.barrier()) == 200
    lines = bob.barrier()
    direct = sum(line.startswith(b"from alice: ") for line in lines)
    topic = sum(line.startswith(b"from alice to #t: ") for line in lines)
    lost = sum(int(line.rpartition(b" ")[2]) for line in lines if line.startswith(b"error lagged: #t "))
    assert returned > 0
    assert lost > 0
    assert direct + returned == amount
    assert topic + lost == amount
    for peer in (alice, bob, carol):
        peer.quit()
    assert street.node.terminate() == 0
    totals = expect_the_ledger_to_balance(street.node)
    assert totals["accepted"] == 4 * amount  # an address that nobody has, and a topic that nobody hears, make no copy
    assert totals["delivered"] == 2 * amount + direct + topic
    assert totals.get("refused", amount) == amount  # the one whom nobody is
    assert totals["returned"] == returned
    assert totals["dropped"] == lost
