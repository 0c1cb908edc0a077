"""All connections: their number, the reasons for which they ended, and the drain on a clock."""

from __future__ import annotations

from math import inf

import pytest
from twisted.internet.defer import Deferred

from nettool.errors import CloseReason, DropReason, ReturnReason
from nettool.settings import LINGER, SHUTDOWN_RETURNS, OnNameTaken
from tests.support.peer import MemoryPeer
from tests.support.street import MemoryStreet, kibibytes


@pytest.fixture(params=[False, True], ids=["plain", "layered"])
def street(request: pytest.FixtureRequest) -> MemoryStreet:
    return MemoryStreet(layered=bool(request.param))


def drain(street: MemoryStreet) -> Deferred[None]:
    ended = Deferred.fromCoroutine(street.factory.drain())
    street.pass_time(0)
    return ended


def hang_up(street: MemoryStreet, *peers: MemoryPeer) -> None:
    """What a peer does when it has read the end."""
    for peer in peers:
        if peer.is_connected:
            peer.half_close()


def fill(sender: MemoryPeer, receiver: MemoryPeer, address: bytes, number: int = 600) -> list[bytes]:
    """Texts that the receiver does not take; what one read of the sender brings fits into an outbox."""
    receiver.stop_reading()
    texts = kibibytes(number)
    sender.say(*(address + b": " + text for text in texts))
    return texts


def expect_the_end(street: MemoryStreet, ended: Deferred[None]) -> None:
    """All are gone, nothing is queued, the ledger adds up, and no timer is left."""
    assert ended.called
    assert street.factory.connections == {}
    snapshot = street.broker.snapshot()
    assert snapshot.adds_up, str(snapshot)
    assert snapshot.queued == 0
    assert street.reactor.getDelayedCalls() == []


def test_connections_are_known_from_their_beginning_to_their_end(street: MemoryStreet) -> None:
    stranger, alice = street.connect(), street.peer(b"alice")
    assert set(street.factory.connections) == {stranger.protocol, alice.protocol}
    stranger.vanish()
    assert set(street.factory.connections) == {alice.protocol}


def test_each_connection_is_counted_once_by_the_reason_for_its_end(street: MemoryStreet) -> None:
    street.set(on_name_taken=OnNameTaken.TAKEOVER)
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    street.connect().say(b"a@b")
    alice.say(b"/quit")
    street.peer(b"bob")
    carol.vanish()
    street.connect()
    street.pass_time(10)
    street.pass_time(LINGER)
    del bob
    assert street.factory.closed == {
        CloseReason.BAD_NAME: 1,
        CloseReason.QUIT: 1,
        CloseReason.TAKEN_OVER: 1,
        CloseReason.DISCONNECTED: 1,
        CloseReason.LOGIN_TIMEOUT: 1,
    }


def test_without_a_limit_any_number_may_come() -> None:
    street = MemoryStreet(max_peers=0)
    for number in range(300):
        street.peer(b"peer%d" % number)
    assert len(street.factory.connections) == 300


# --- the drain


def test_a_drain_with_nobody_there_is_done_at_once(street: MemoryStreet) -> None:
    expect_the_end(street, drain(street))


def test_a_drain_says_bye_to_everybody_and_ends_with_the_last_of_them(street: MemoryStreet) -> None:
    peers = street.peers(b"alice", b"bob")
    stranger = street.connect()
    ended = drain(street)
    assert stranger.hear() == [b"bye shutdown"]
    for peer in peers:
        assert peer.hear() == [b"bye shutdown"]
        assert peer.at_end
    hang_up(street, *peers, stranger)
    assert not any(peer.was_cut_off for peer in peers)
    expect_the_end(street, ended)
    assert street.factory.closed == {CloseReason.SHUTDOWN: 3}


def test_nothing_is_read_once_a_drain_has_begun(street: MemoryStreet) -> None:
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    fill(alice, bob, b"bob")
    ended = drain(street)
    alice.say(b"carol: too late", b"/ping")
    assert not alice.is_read
    bob.take()
    assert carol.hear() == [b"bye shutdown"]
    assert alice.hear() == [b"bye shutdown"]
    hang_up(street, alice, bob, carol)
    expect_the_end(street, ended)


def test_what_is_queued_is_flushed_before_the_bye(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    ended = drain(street)
    street.pass_time(9.9)
    assert alice.hear() == []
    bob.take()
    assert bob.hear() == [*(b"from alice: " + text for text in texts), b"bye shutdown"]
    assert alice.hear() == [b"bye shutdown"]
    hang_up(street, alice, bob)
    expect_the_end(street, ended)
    assert street.broker.snapshot().delivered == len(texts)


def test_what_nobody_takes_in_time_is_given_back_before_the_bye(street: MemoryStreet) -> None:
    street.set(drain_timeout=4.0)
    alice, bob = street.peers(b"alice", b"bob")
    bob.say(b"/join #news")
    texts = fill(alice, bob, b"bob")
    alice.say(b"#news: extra")
    ended = drain(street)
    street.pass_time(3.9)
    assert alice.hear() == []
    street.pass_time(0.1)
    *back, bye = alice.hear()
    assert bye == b"bye shutdown"
    assert back == [b"returned bob shutdown: " + text for text in texts[-len(back) :]]
    assert bob.was_cut_off
    hang_up(street, alice)
    expect_the_end(street, ended)
    snapshot = street.broker.snapshot()
    assert snapshot.returned == {ReturnReason.SHUTDOWN: len(back)}
    assert snapshot.dropped == {DropReason.SHUTDOWN: 1}
    assert snapshot.delivered == len(texts) - len(back)


def test_what_cannot_be_given_back_since_its_sender_does_not_read_is_counted(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    alice.stop_reading()
    fill(bob, alice, b"alice")
    fill(alice, bob, b"bob")
    ended = drain(street)
    street.pass_time(10)
    street.pass_time(SHUTDOWN_RETURNS)
    street.pass_time(LINGER)
    assert alice.was_cut_off
    assert bob.was_cut_off
    expect_the_end(street, ended)
    snapshot = street.broker.snapshot()
    assert set(snapshot.dropped) == {DropReason.SHUTDOWN}
    assert snapshot.returned == {}


def test_a_sender_has_a_second_to_take_what_is_given_back(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob", 1500)
    alice.stop_reading()
    ended = drain(street)
    street.pass_time(10)
    street.pass_time(SHUTDOWN_RETURNS - 0.1)
    assert alice.hear() == []
    alice.take()
    *back, bye = alice.hear()
    assert bye == b"bye shutdown"
    assert back == [b"returned bob shutdown: " + text for text in texts[-len(back) :]]
    hang_up(street, alice)
    expect_the_end(street, ended)


def test_who_never_reads_and_who_never_logs_in_cannot_hold_it_up(street: MemoryStreet) -> None:
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    stranger = street.connect()
    stranger.stop_reading()
    fill(carol, bob, b"bob")
    carol.stop_reading()
    carol.say(*[b"/help"] * 1000)
    ended = drain(street)
    for seconds in (10, SHUTDOWN_RETURNS, SHUTDOWN_RETURNS, LINGER):
        street.pass_time(seconds)
    assert alice.hear()[-1] == b"bye shutdown"
    expect_the_end(street, ended)


def test_who_comes_during_a_drain_is_sent_away(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    fill(alice, bob, b"bob")
    ended = drain(street)
    late = street.connect()
    assert late.hear() == [b"bye shutdown"]
    assert late.ask(b"carol") == []
    bob.take()
    hang_up(street, late, alice, bob)
    expect_the_end(street, ended)


def test_who_waits_for_a_name_does_not_get_it_any_more(street: MemoryStreet) -> None:
    street.set(on_name_taken=OnNameTaken.TAKEOVER)
    older, bob = street.peers(b"alice", b"bob")
    fill(bob, older, b"alice")
    newcomer = street.connect()
    newcomer.say(b"alice")
    ended = drain(street)
    assert newcomer.hear() == [b"bye shutdown"]
    street.pass_time(1)
    hang_up(street, newcomer, older, bob)
    assert newcomer.hear() == []
    street.pass_time(LINGER)
    expect_the_end(street, ended)


def test_a_drain_may_take_forever(street: MemoryStreet) -> None:
    street.set(drain_timeout=inf, stall_timeout=inf)
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    ended = drain(street)
    street.pass_time(1_000_000)
    assert not ended.called
    bob.take()
    assert len(bob.hear()) == len(texts) + 1
    hang_up(street, alice, bob)
    expect_the_end(street, ended)


def test_a_peer_that_vanishes_is_not_waited_for(street: MemoryStreet) -> None:
    street.set(drain_timeout=inf, stall_timeout=inf)
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    ended = drain(street)
    bob.vanish()
    bob.protocol.abort()  # nobody reads from it, so a plain socket does not find out by itself
    *back, bye = alice.hear() or [b"nothing"]
    assert bye == b"bye shutdown"
    assert back == [b"returned bob disconnected: " + text for text in texts[-len(back) :]]
    hang_up(street, alice)
    expect_the_end(street, ended)


def test_who_takes_its_lines_is_not_cut_off_for_those_that_come_back_late(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    texts = fill(alice, bob, b"bob")
    bob.say(b"/quit")
    street.pass_time(1)
    ended = drain(street)
    street.pass_time(9)  # bob's time to leave is over, the node's is not
    *back, bye = alice.hear() or [b"nothing"]
    assert bye == b"bye shutdown"
    assert back == [b"returned bob disconnected: " + text for text in texts[-len(back) :]]
    hang_up(street, alice)
    expect_the_end(street, ended)


def test_those_who_leave_already_are_not_told_twice(street: MemoryStreet) -> None:
    alice, bob, carol = street.peers(b"alice", b"bob", b"carol")
    fill(alice, bob, b"bob")
    bob.say(b"/quit")
    carol.say(b"/quit")
    ended = drain(street)
    bob.take()
    assert bob.hear()[-1] == b"bye quit"
    assert carol.hear() == [b"bye quit"]
    hang_up(street, alice, bob, carol)
    expect_the_end(street, ended)
    assert street.factory.closed == {CloseReason.QUIT: 2, CloseReason.SHUTDOWN: 1}


def test_an_abort_cuts_a_drain_short(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    stranger = street.connect()
    fill(alice, bob, b"bob")
    ended = drain(street)
    assert not ended.called
    street.factory.abort()
    street.pass_time(0)
    assert all(peer.was_cut_off for peer in (alice, bob))
    assert not stranger.is_connected
    # It is over; what the drain still waits for are timers.
    street.pass_time(10)
    expect_the_end(street, ended)


def test_an_abort_without_a_drain_ends_everything_at_once(street: MemoryStreet) -> None:
    alice, bob = street.peers(b"alice", b"bob")
    fill(alice, bob, b"bob")
    street.factory.abort()
    street.pass_time(0)
    assert street.factory.connections == {}
    snapshot = street.broker.snapshot()
    assert snapshot.adds_up
    assert snapshot.queued == 0
