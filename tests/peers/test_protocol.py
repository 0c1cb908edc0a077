"""The connection around a session: what is read and when, and closes that the last lines survive."""

from __future__ import annotations

import socket
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from nettool.errors import CloseReason
from nettool.interfaces import IShell
from nettool.outbox.sink import _socket_under
from nettool.peers.protocol import SLICE, SMALL
from nettool.settings import KIB, LINGER, OnNameTaken, TopicOverflow
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor
from tests.support.street import MemoryStreet, kibibytes


@pytest.fixture(params=[False, True], ids=["plain", "layered"])
def layered(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def street(layered: bool) -> MemoryStreet:
    """Everything that holds for a plain socket holds for a transport with layers, as TLS is."""
    return MemoryStreet(layered=layered)


def fill(sender: MemoryPeer, receiver: MemoryPeer, name: bytes, number: int = 600) -> list[bytes]:
    """Texts that the receiver does not take: more than its transport is given, less than its outbox may hold."""
    receiver.stop_reading()
    texts = kibibytes(number)
    sender.say(*(name + b": " + text for text in texts))
    return texts


def test_a_connection_is_a_shell_that_can_be_closed_by_half(street: MemoryStreet) -> None:
    protocol = street.connect().protocol
    assert verifyObject(IShell, protocol)
    assert verifyObject(IHalfCloseableProtocol, protocol)


# --- when things are written


def connected(street: MemoryStreet) -> tuple[Any, StringTransport]:
    protocol = street.factory.buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def test_a_small_read_is_answered_at_once() -> None:
    protocol, transport = connected(MemoryStreet())
    protocol.dataReceived(b"alice\n/ping 1\n")
    assert transport.value() == b"ok login alice@node1\npong 1\n"


def test_a_large_read_is_answered_at_the_end_of_the_turn() -> None:
    street = MemoryStreet()
    protocol, transport = connected(street)
    protocol.dataReceived(b"alice\n" + b"\n" * SMALL + b"/ping 1\n")
    assert transport.value() == b""
    street.reactor.advance(0)
    assert transport.value() == b"ok login alice@node1\npong 1\n"


def test_reads_of_one_turn_are_one_write_for_each_receiver() -> None:
    street = MemoryStreet()
    bob, _ = connected(street)
    bob.dataReceived(b"bob\n")
    alices = [connected(street)[0] for _ in range(3)]
    for number, alice in enumerate(alices):
        alice.dataReceived(b"alice%d\n" % number)
    writes: list[bytes] = []
    bob.transport.write = writes.append
    alices[0].dataReceived(b"\n" * SMALL + b"bob: 1\n")
    alices[1].dataReceived(b"bob: 2\n")
    alices[2].dataReceived(b"bob: 3\n")
    assert writes == []
    street.reactor.advance(0)
    assert writes == [b"from alice0: 1\nfrom alice1: 2\nfrom alice2: 3\n"]


def test_what_a_transport_takes_is_in_order_and_whole(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob", 1000)
    heard: list[bytes] = []
    while len(heard) < len(texts):
        bob.take(50_001)
        heard += bob.hear()
    assert heard == [b"from alice: " + text for text in texts]
    street.expect_balance()


# --- login


def test_who_does_not_say_a_name_in_time_is_told_and_closed(street: MemoryStreet) -> None:
    street.set(login_timeout=3.0)
    stranger = street.connect()
    stranger.send(b"ali")
    street.pass_time(2.9)
    assert stranger.hear() == []
    street.pass_time(0.1)
    assert stranger.hear() == [b"error login-timeout: 3", b"bye login-timeout"]
    assert stranger.at_end
    street.pass_time(LINGER)
    assert not stranger.is_connected
    assert street.factory.closed == {CloseReason.LOGIN_TIMEOUT: 1}


def test_a_login_in_time_ends_the_wait(street: MemoryStreet) -> None:
    alice = street.peer(b"alice")
    street.pass_time(1000)
    assert alice.ask(b"/ping") == [b"pong"]
    assert street.reactor.getDelayedCalls() == []


def test_a_login_timeout_may_be_forever(street: MemoryStreet) -> None:
    street.set(login_timeout=inf)
    stranger = street.connect()
    street.pass_time(100_000)
    stranger.login(b"alice")


def test_one_peer_too_many_is_told_at_the_door(street: MemoryStreet) -> None:
    street.set(max_peers=2)
    first, _ = street.peer(b"alice"), street.connect()
    third = street.connect()
    assert third.hear() == [b"error too-many-peers: 2", b"bye too-many-peers"]
    assert third.at_end
    assert third.ask(b"carol") == []
    assert street.connect().hear() == [b"error too-many-peers: 2", b"bye too-many-peers"]
    first.vanish()
    street.peer(b"carol")
    third.vanish()
    assert street.connect().hear() == [b"error too-many-peers: 2", b"bye too-many-peers"]


# --- closes


def quit_(peer: MemoryPeer) -> None:
    peer.say(b"/quit")


def test_the_last_line_is_followed_by_the_end(street: MemoryStreet) -> None:
    alice = street.peer(b"alice")
    assert alice.ask(b"/quit") == [b"bye quit"]
    assert alice.at_end


def test_a_plain_socket_is_half_closed_and_its_input_thrown_away_until_its_end() -> None:
    street = MemoryStreet()
    alice, bob = street.peers(b"alice", b"bob")
    alice.say(b"/quit")
    alice.say(b"bob: too late", b"/ping")
    assert alice.is_read
    assert alice.end.unread == 0
    assert alice.is_connected
    alice.half_close()
    assert not alice.is_connected
    assert not alice.was_cut_off
    assert alice.hear() == [b"bye quit"]
    assert bob.hear() == []
    assert street.reactor.getDelayedCalls() == []


def test_lingering_has_an_end() -> None:
    street = MemoryStreet()
    alice = street.peer(b"alice")
    alice.say(b"/quit")
    for _ in range(19):
        street.pass_time(0.1)
        alice.say(b"bob: there is no end to what I say")
        assert alice.is_connected
    street.pass_time(0.1)
    assert not alice.is_connected
    assert street.reactor.getDelayedCalls() == []


def test_a_name_is_free_while_its_last_connection_lingers() -> None:
    street = MemoryStreet()
    alice = street.peer(b"alice")
    alice.say(b"/quit")
    assert alice.is_connected
    assert street.peer(b"alice").ask(b"/who") == [b"peer alice", b"ok who 1"]


def test_input_that_ended_before_our_side_was_closed_does_not_linger() -> None:
    street = MemoryStreet()
    alice = street.peer(b"alice")
    alice.end.room = len(b"bye quit\n")  # and none for the end, which the reactor writes when there is room again
    alice.say(b"/quit")
    alice.half_close()
    assert not alice.at_end
    alice.take()
    assert alice.hear() == [b"bye quit"]
    assert not alice.is_connected
    assert not alice.was_cut_off


def test_the_end_of_input_is_a_quit_on_a_plain_socket_and_replies_come_first() -> None:
    street = MemoryStreet()
    alice, bob = street.peers(b"alice", b"bob")
    alice.end.send_input(b"bob: hi\n/ping\nrest")
    alice.half_close()
    assert alice.hear() == [b"pong", b"error bad-line: rest", b"bye quit"]
    assert not alice.is_connected
    assert not alice.was_cut_off
    assert bob.hear() == [b"from alice: hi"]
    assert street.factory.closed == {CloseReason.QUIT: 1}


def test_the_end_of_input_waits_until_all_before_it_has_been_heeded() -> None:
    street = MemoryStreet(outbox_bytes=4096, max_line=256)
    alice = street.peer(b"alice")
    alice.stop_reading()
    alice.end.send_input(b"".join(b"/ping %d\n" % number for number in range(20_000)))
    alice.half_close()
    assert not alice.is_read
    assert alice.is_connected
    alice.take()
    assert alice.hear() == [*(b"pong %d" % number for number in range(20_000)), b"bye quit"]
    assert not alice.is_connected


def test_the_end_of_input_is_a_disconnect_where_there_is_no_half_close() -> None:
    street = MemoryStreet(layered=True)
    alice = street.peer(b"alice")
    alice.half_close()
    assert not alice.is_connected
    assert street.factory.closed == {CloseReason.DISCONNECTED: 1}
    street.peer(b"alice")


def test_who_vanishes_frees_its_name_and_what_was_queued_goes_back(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    bob.vanish()
    back = alice.hear()
    assert 0 < len(back) < len(texts)
    assert back == [b"returned bob disconnected: " + text for text in texts[-len(back) :]]
    street.peer(b"bob")
    street.expect_balance()
    assert street.factory.closed == {CloseReason.DISCONNECTED: 1}


def test_what_is_queued_is_taken_before_the_close(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    bob.say(b"/quit")
    street.pass_time(9.9)
    assert not bob.at_end
    bob.take()
    assert bob.hear() == [*(b"from alice: " + text for text in texts), b"bye quit"]
    assert bob.at_end
    assert not bob.was_cut_off
    assert alice.ask(b"/ping") == [b"pong"]
    street.expect_balance()


def test_who_does_not_take_what_is_queued_within_the_drain_timeout_is_cut_off(street: MemoryStreet) -> None:
    street.set(drain_timeout=4.0)
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    bob.say(b"/quit")
    street.pass_time(3.9)
    assert bob.is_connected
    street.pass_time(0.1)
    assert not bob.is_connected
    assert bob.was_cut_off
    back = alice.hear()
    assert back == [b"returned bob disconnected: " + text for text in texts[-len(back) :]]
    assert back
    street.expect_balance()


def test_a_drain_timeout_may_be_forever(street: MemoryStreet) -> None:
    street.set(drain_timeout=inf, stall_timeout=inf)
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    bob.say(b"/quit")
    street.pass_time(1_000_000)
    bob.take()
    assert bob.hear() == [*(b"from alice: " + text for text in texts), b"bye quit"]


def test_a_leaving_peer_is_read_so_that_no_reset_overtakes_its_last_lines(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    fill(alice, bob, b"bob")
    bob.say(b"/quit")
    bob.say(*[b"alice: too late"] * 1000)
    assert bob.is_read
    assert bob.end.unread == 0
    assert alice.hear() == []


@pytest.mark.parametrize("first", [b"a b\n", b"a:\n", b"x" * 70_000])
def test_a_stranger_that_is_refused_has_its_input_thrown_away(street: MemoryStreet, first: bytes) -> None:
    first = first.replace(b" ", b"\t")
    stranger = street.connect()
    stranger.send(first + b"y" * 300_000)
    told = stranger.hear()
    assert told[0].startswith(b"error bad-name: ")
    assert told[1:] == [b"bye bad-name"]
    assert stranger.at_end
    street.pass_time(LINGER)
    assert not stranger.is_connected


# --- takeover


@pytest.fixture
def takeover(street: MemoryStreet) -> MemoryStreet:
    street.set(on_name_taken=OnNameTaken.TAKEOVER)
    return street


def test_a_newcomer_has_the_name_as_soon_as_the_older_one_has_taken_all(takeover: MemoryStreet) -> None:
    older, bob = takeover.peers(b"alice", b"bob")
    newcomer = takeover.connect()
    assert newcomer.ask(b"alice", b"bob: hi") == [b"ok login alice@node1"]
    assert older.hear() == [b"bye taken-over"]
    assert bob.hear() == [b"from alice: hi"]
    assert older.at_end


def test_a_newcomer_is_not_read_until_the_older_one_has_ended_which_takes_a_second_at_most(
    takeover: MemoryStreet,
) -> None:
    older, bob = takeover.peers(b"alice", b"bob")
    fill(bob, older, b"alice")
    newcomer = takeover.connect()
    newcomer.say(b"alice", b"bob: hi")
    newcomer.say(b"bob: still there?")
    assert not newcomer.is_read
    takeover.pass_time(0.9)
    assert newcomer.hear() == []
    assert takeover.connect().ask(b"alice") == [b"error name-taken: alice", b"bye name-taken"]
    takeover.pass_time(0.1)
    assert older.was_cut_off
    assert newcomer.hear() == [b"ok login alice@node1"]
    assert newcomer.is_read
    assert bob.hear()[-2:] == [b"from alice: hi", b"from alice: still there?"]
    takeover.expect_balance()
    takeover.pass_time(100)
    assert newcomer.ask(b"/ping") == [b"pong"]


def test_a_newcomer_that_leaves_while_it_waits_frees_the_place_for_another(takeover: MemoryStreet) -> None:
    older, bob = takeover.peers(b"alice", b"bob")
    fill(bob, older, b"alice")
    newcomer, another = takeover.connect(), takeover.connect()
    newcomer.say(b"alice")
    newcomer.vanish()  # a reset is noticed by whoever reads, so by nobody here on a plain socket
    newcomer.protocol.abort()
    takeover.pass_time(0)
    another.say(b"alice")
    takeover.pass_time(1)
    assert another.hear() == [b"ok login alice@node1"]


def test_a_takeover_shortens_the_close_of_one_that_lingers_already(takeover: MemoryStreet) -> None:
    older, bob = takeover.peers(b"alice", b"bob")
    older.stop_reading()
    bob.say(b"alice: " + b"x" * 30_000)
    older.say(b"/quit")
    newcomer = takeover.connect()
    newcomer.say(b"alice")
    takeover.pass_time(1.0)
    takeover.pass_time(1.0)
    assert newcomer.hear() == [b"ok login alice@node1"]


def test_without_a_limit_on_the_drain_the_stall_timeout_still_ends_what_takes_nothing() -> None:
    street = MemoryStreet(layered=True, drain_timeout=inf, stall_timeout=30.0)
    alice, bob = street.peers(b"alice", b"bob")
    alice.stop_reading()
    bob.say(b"alice: " + b"x" * 30_000)
    alice.say(b"/quit")
    for _ in range(4):
        street.pass_time(10.0)
    assert not alice.is_connected
    street.peer(b"alice")


def test_being_closed_again_never_gives_a_leaving_peer_more_time(takeover: MemoryStreet) -> None:
    older, bob = takeover.peers(b"alice", b"bob")
    fill(bob, older, b"alice")
    newcomer = takeover.connect()
    newcomer.say(b"alice")
    takeover.pass_time(0.9)
    newcomer.protocol.abort()
    takeover.pass_time(0)
    another = takeover.connect()
    another.say(b"alice")
    takeover.pass_time(0.1)
    assert older.was_cut_off
    assert another.hear() == [b"ok login alice@node1"]


# --- who waits, and who is too slow


def test_a_peer_whose_own_answers_fill_its_outbox_is_not_read_until_it_takes_them(street: MemoryStreet) -> None:
    street.set(outbox_bytes=64 * KIB, max_line=16 * KIB)
    alice, bob = street.peers(b"alice", b"bob")
    alice.stop_reading()
    pings = [b"/ping %d " % number + b"p" * 1000 for number in range(2000)]
    for start in range(0, 2000, 100):
        alice.say(*pings[start : start + 100])
    assert not alice.is_read
    assert alice.end.unread > 0
    assert bob.ask(b"/ping") == [b"pong"]
    street.pass_time(29)
    assert not alice.is_read
    alice.take()
    assert alice.hear() == [b"pong" + ping[5:] for ping in pings]
    assert alice.is_read


def test_senders_wait_for_a_full_outbox_as_long_as_patience_lasts(street: MemoryStreet) -> None:
    street.set(outbox_bytes=64 * KIB, max_line=16 * KIB)
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    fill(alice, bob, b"bob")
    alice.say(b"/ping")
    assert not alice.is_read
    assert carol.is_read
    street.pass_time(4.9)
    assert alice.hear() == []
    street.pass_time(0.1)
    *returned, pong = alice.hear()
    assert all(line.startswith(b"returned bob queue-full: ") for line in returned)
    assert pong == b"pong"
    assert alice.ask(b"bob: more") == [b"returned bob queue-full: more"]
    street.expect_balance()


@pytest.mark.parametrize("seconds", [30.0, 12.0])
def test_who_takes_nothing_for_the_stall_timeout_is_cut_off(street: MemoryStreet, seconds: float) -> None:
    street.set(outbox_bytes=64 * KIB, max_line=16 * KIB, stall_timeout=seconds)
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    street.pass_time(seconds - 0.1)
    assert bob.is_connected
    street.pass_time(0.2)
    assert bob.was_cut_off
    # What came after its senders had waited in vain was given back at once.
    returned = [line.split(b" ", 3) for line in alice.hear()]
    late = [text for _, _, reason, text in returned if reason == b"queue-full:"]
    queued = [text for _, _, reason, text in returned if reason == b"slow-consumer:"]
    assert queued
    assert late
    assert queued + late == texts[-len(returned) :]
    assert street.factory.closed == {CloseReason.SLOW_CONSUMER: 1}
    street.expect_balance()
    street.peer(b"bob")


def test_a_hearer_that_is_too_slow_for_topics_can_be_disconnected(street: MemoryStreet) -> None:
    street.set(outbox_bytes=64 * KIB, max_line=16 * KIB, topic_overflow=TopicOverflow.DISCONNECT)
    alice, bob = street.peers(b"alice", b"bob")
    bob.ask(b"/join #news")
    bob.stop_reading()
    alice.say(*(b"#news: " + text for text in kibibytes(600)))
    assert bob.is_connected
    street.pass_time(0.1)
    assert not bob.is_connected
    assert street.factory.closed == {CloseReason.SLOW_CONSUMER: 1}
    assert alice.ask(b"/who") == [b"peer alice", b"ok who 1"]
    street.expect_balance()


def test_a_stalled_socket_that_takes_one_byte_when_it_is_tried_is_given_more_time() -> None:
    street = MemoryStreet(outbox_bytes=64 * KIB, max_line=16 * KIB)
    alice, bob = street.peers(b"alice", b"bob")
    fill(alice, bob, b"bob")
    for _ in range(5):
        street.pass_time(29.9)
        bob.end.room = 1  # of which a kernel says nothing
        street.pass_time(0.1)
        assert bob.is_connected
        assert bob.end.room == 0
    street.pass_time(30)
    assert bob.was_cut_off


def test_a_slow_socket_is_set_up_to_keep_little_in_the_kernel() -> None:
    alice = MemoryStreet().peer(b"alice")
    assert alice.end.options[socket.SOL_SOCKET, socket.SO_SNDBUF] == 512 * KIB


# --- slices of time


class RunningReactor(PollingReactor):
    """A clock on which each look at it takes a little time."""

    def seconds(self) -> float:
        self.rightNow += SLICE / 20
        return super().seconds()


def test_a_long_read_lets_others_have_their_turn_and_loses_nothing() -> None:
    street = MemoryStreet(reactor=RunningReactor())
    (alice, alices), (bob, bobs) = connected(street), connected(street)
    alice.dataReceived(b"alice\n")
    bob.dataReceived(b"bob\n")
    alices.clear()
    bobs.clear()
    alice.dataReceived(b"".join(b"/ping %d\n" % number for number in range(1000)))
    assert alices.producerState == "paused"
    bob.dataReceived(b"alice: hi\n/ping\n")
    street.factory.turn.run()
    assert bobs.value() == b"pong\n"
    before, _, rest = alices.value().partition(b"from bob: hi\n")
    assert 0 < before.count(b"\n") < 100
    while alices.producerState == "paused":
        street.reactor.advance(0)
    rest = alices.value().partition(b"from bob: hi\n")[2]
    assert before + rest == b"".join(b"pong %d\n" % number for number in range(1000))


def test_the_end_of_input_waits_for_the_last_slice() -> None:
    street = MemoryStreet(reactor=RunningReactor())
    alice = street.peer(b"alice")
    alice.end.send_input(b"".join(b"/ping %d\n" % number for number in range(1000)))
    alice.half_close()
    assert alice.hear() == [*(b"pong %d" % number for number in range(1000)), b"bye quit"]
    assert not alice.is_connected


# --- a fault of one session


def fail(*_: object) -> Any:
    raise ZeroDivisionError("a fault of ours")


def test_a_fault_in_one_session_ends_only_that_one(
    street: MemoryStreet, monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    texts = fill(carol, alice, b"alice")
    with monkeypatch.context() as broken:
        broken.setattr(street.broker.directory, "who", fail)
        alice.say(b"bob: before", b"/who", b"bob: after")
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    assert street.factory.faults == 1
    assert street.factory.closed == {CloseReason.BROKEN: 1}
    assert not alice.is_connected
    assert bob.hear() == [b"from alice: before"]
    assert bob.ask(b"/who") == [b"peer bob", b"peer carol", b"ok who 2"]
    assert carol.hear()[-1] == b"returned alice disconnected: " + texts[-1]
    street.peer(b"alice")
    street.expect_balance()


def test_a_fault_is_logged_with_the_peers_name_and_address(
    street: MemoryStreet, monkeypatch: pytest.MonkeyPatch, logged_failures: Any, caplog: pytest.LogCaptureFixture
) -> None:
    alice = street.peer(b"alice")
    monkeypatch.setattr(street.broker.directory, "who", fail)
    with caplog.at_level("INFO"):
        alice.say(b"/who")
    assert logged_failures.flush(ZeroDivisionError)
    told = [record.getMessage() for record in caplog.records if "alice" in record.getMessage()]
    assert len(told) == 1
    assert "198.51.100.1" in told[0]


def when_it_reads_on(street: MemoryStreet, alice: MemoryPeer) -> None:
    street.set(outbox_bytes=64 * KIB, max_line=16 * KIB)
    alice.stop_reading()
    alice.say(*[b"/ping " + b"x" * 1000] * 1000, b"/nonsense")
    assert street.factory.faults == 0
    alice.take()


def when_its_input_ends(street: MemoryStreet, alice: MemoryPeer) -> None:
    alice.send(b"rest")
    alice.protocol.readConnectionLost()
    street.pass_time(0)


def when_its_time_to_log_in_is_over(street: MemoryStreet, alice: MemoryPeer) -> None:
    alice.vanish()
    street.connect()
    street.pass_time(100)


@pytest.mark.parametrize("when", [when_it_reads_on, when_its_input_ends, when_its_time_to_log_in_is_over])
def test_a_fault_at_another_moment_ends_only_that_session_too(
    street: MemoryStreet,
    monkeypatch: pytest.MonkeyPatch,
    logged_failures: Any,
    when: Callable[[MemoryStreet, MemoryPeer], None],
) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    with monkeypatch.context() as broken:
        broken.setattr(street.broker, "refuse", fail)
        when(street, alice)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    assert street.factory.faults == 1
    assert street.factory.closed[CloseReason.BROKEN] == 1
    assert not alice.is_connected
    assert bob.ask(b"/who") == [b"peer bob", b"ok who 1"]
    assert set(street.factory.connections) == {bob.protocol}


def test_a_fault_while_a_connection_ends_leaves_nothing_connected(
    street: MemoryStreet, monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    with monkeypatch.context() as broken:
        broken.setattr(street.broker, "peer_ended", fail)
        alice.vanish()
    assert logged_failures.flush(ZeroDivisionError)
    assert set(street.factory.connections) == {bob.protocol}
    assert bob.ask(b"/who") == [b"peer bob", b"ok who 1"]


@pytest.mark.parametrize("number", [1, 600], ids=["at the end of the turn", "within the read"])
def test_a_transport_that_fails_ends_its_own_connection_and_harms_nobody_else(
    number: int, logged_failures: Any, caplog: pytest.LogCaptureFixture
) -> None:
    street = MemoryStreet(layered=True)
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    write, bob.transport.write = bob.transport.write, fail
    with caplog.at_level("INFO"):
        alice.say(*[b"bob: " + b"x" * 1000] * number, b"carol: hi", b"/ping")
    bob.transport.write = write
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    assert any("'bob'" in record.getMessage() for record in caplog.records)
    assert carol.hear() == [b"from alice: hi"]
    assert b"pong" in alice.hear()
    assert alice.is_connected
    assert not bob.is_connected
    assert bob.hear() == [], "what follows a hole must not arrive"
    assert street.factory.closed == {CloseReason.BROKEN: 1}
    assert street.factory.faults == 1
    assert alice.ask(b"bob: are you there?") == [b"error no-such-peer: bob"]
    street.expect_balance()


def test_a_connection_that_cannot_be_set_up_ends_alone_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    street = MemoryStreet()
    alice = street.peer(b"alice")
    with monkeypatch.context() as broken:
        broken.setattr("nettool.outbox.sink._set_up", fail)
        stranger = street.connect()
        street.pass_time(0)
    assert logged_failures.flush(ZeroDivisionError)
    assert not stranger.is_connected
    assert set(street.factory.connections) == {alice.protocol}
    assert street.factory.closed == {CloseReason.BROKEN: 1}
    assert alice.ask(b"/ping") == [b"pong"]


def test_a_transport_may_have_slots() -> None:
    class Slotted:
        __slots__ = ("transport",)

    assert _socket_under(Slotted()) is None


def test_nothing_is_left_when_all_have_gone(street: MemoryStreet) -> None:
    peers = street.peers(b"alice", b"bob", b"carol")
    street.connect().vanish()
    for peer in peers:
        peer.say(b"/join #news", b"bob: hi", b"#news: hi", b"/watch")
    for peer in peers:
        peer.vanish()
    street.pass_time(100)
    assert street.reactor.getDelayedCalls() == []
    assert not street.reactor.readers
    assert not street.reactor.writers
    assert street.factory.connections == {}
    snapshot = street.broker.snapshot()
    assert snapshot.adds_up
    assert snapshot.queued == 0
