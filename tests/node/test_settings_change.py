"""Settings that change while peers are connected: limits and times hold for them too, and nobody is dropped by it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from nettool.options import with_values
from nettool.service import NodeService
from nettool.settings import KIB, DeliverySettings, PeerSettings, Settings, TopicOverflow
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor
from tests.support.street import kibibytes

SMALL = DeliverySettings(outbox_bytes=64 * KIB)
PEERS = PeerSettings(max_line=16 * KIB)


class ChangingNode:
    """A node in memory, whose settings can be changed."""

    def __init__(self, layered: bool) -> None:
        self.layered = layered
        self.reactor = PollingReactor()
        self.service = NodeService(Settings(peers=PEERS, delivery=SMALL), self.reactor)

    def set(self, **values: Any) -> None:
        """Put other values in force, by key with underscores for dots and dashes."""
        keys = {key.replace("__", ".").replace("_", "-"): value for key, value in values.items()}
        self.service.put_in_force(with_values(self.service.live.settings, keys))
        self.pass_time(0)

    def connect(self) -> MemoryPeer:
        return MemoryPeer(self.service.peers, self.reactor, layered=self.layered)

    def peers(self, *names: bytes) -> list[MemoryPeer]:
        return [self.connect().login(name) for name in names]

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def expect_balance(self) -> None:
        snapshot = self.service.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)


@pytest.fixture(params=[False, True], ids=["plain", "layered"])
def node(request: pytest.FixtureRequest) -> ChangingNode:
    return ChangingNode(request.param)


def held_up(node: ChangingNode, address: bytes = b"bob") -> tuple[MemoryPeer, MemoryPeer]:
    """Alice, who waits because Bob reads nothing, and Bob."""
    alice, bob = node.peers(b"alice", b"bob")
    bob.ask(b"/join #t")
    bob.stop_reading()
    for text in kibibytes(400):
        if alice.protocol.session._gates:
            break
        alice.say(address + b": " + text)
    assert alice.ask(b"/ping") == [], "she is not read"
    return alice, bob


def returned(lines: list[bytes]) -> int:
    return sum(line.startswith(b"returned bob queue-full: ") for line in lines)


def test_who_waits_without_end_is_let_go_by_the_patience_that_is_new(node: ChangingNode) -> None:
    node.set(delivery__direct_patience=inf, delivery__stall_timeout=inf)
    alice, bob = held_up(node)
    node.pass_time(1000)
    assert alice.hear() == []
    node.set(delivery__direct_patience=5.0)
    assert alice.hear() == [b"pong"], "1000 s are more than 5"
    assert returned(alice.ask(b"bob: late")) == 1
    bob.take()
    assert bob.is_connected
    node.expect_balance()


def test_more_patience_is_in_force_for_who_waits_already(node: ChangingNode) -> None:
    alice, bob = held_up(node)
    node.pass_time(4)
    node.set(delivery__direct_patience=20.0)
    node.pass_time(10)
    assert alice.hear() == []
    node.pass_time(7)
    assert alice.hear() == [b"pong"]
    assert bob.is_connected
    node.expect_balance()


def test_a_topics_patience_changes_too(node: ChangingNode) -> None:
    node.set(delivery__topic_patience=inf)
    alice, bob = held_up(node, b"#t")
    node.pass_time(3)
    node.set(delivery__topic_patience=0.0)
    assert alice.hear() == [b"pong"]
    assert bob.is_connected
    node.expect_balance()


def test_a_shorter_stall_begins_anew_and_ends_nobody_at_once(node: ChangingNode) -> None:
    node.set(delivery__direct_patience=0.0, delivery__stall_timeout=60.0)
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    for text in kibibytes(300):
        alice.say(b"bob: " + text)
    node.pass_time(50)
    node.set(delivery__stall_timeout=5.0)
    assert bob.is_connected, "he has read nothing for 50 s, but that was allowed"
    node.pass_time(4.9)
    assert bob.is_connected
    node.pass_time(0.2)
    assert not bob.is_connected
    node.expect_balance()


def test_a_stall_that_may_last_longer_does(node: ChangingNode) -> None:
    node.set(delivery__direct_patience=0.0, delivery__stall_timeout=10.0)
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    for text in kibibytes(300):
        alice.say(b"bob: " + text)
    node.pass_time(9)
    node.set(delivery__stall_timeout=inf)
    node.pass_time(10_000)
    assert bob.is_connected
    node.set(delivery__stall_timeout=1.0)
    node.pass_time(1.1)
    assert not bob.is_connected


def test_a_smaller_outbox_keeps_what_is_queued_and_bounds_what_comes_next(node: ChangingNode) -> None:
    node.set(delivery__outbox_bytes=1024 * KIB, delivery__direct_patience=0.0)
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    texts = kibibytes(600)
    for text in texts:
        alice.say(b"bob: " + text)
    assert alice.hear() == []
    queued = node.service.broker.snapshot().queued
    node.set(delivery__outbox_bytes=64 * KIB)
    assert alice.hear() == [] and node.service.broker.snapshot().queued == queued
    node.expect_balance()
    last = alice.ask(b"bob: last", b"bob: too much", b"/ping")
    assert returned(last) >= 1 and last[-1] == b"pong"
    node.expect_balance()
    bob.take()
    heard = bob.hear()
    assert heard[: len(texts)] == [b"from alice: " + text for text in texts], "in order, and all of them"
    assert bob.is_connected
    node.expect_balance()


def test_a_larger_outbox_lets_senders_go_when_the_reader_takes_something(node: ChangingNode) -> None:
    node.set(delivery__direct_patience=inf, delivery__stall_timeout=inf)
    alice, bob = held_up(node)
    node.set(delivery__outbox_bytes=0)
    bob.take(600 * KIB)
    assert alice.hear() == [b"pong"]
    bob.stop_reading()
    for text in kibibytes(100):
        assert alice.ask(b"bob: " + text) == []
    node.expect_balance()


def test_what_becomes_of_a_slow_hearer_changes_from_the_next_line_on(node: ChangingNode) -> None:
    node.set(delivery__topic_patience=0.0)
    alice, bob = node.peers(b"alice", b"bob")
    bob.ask(b"/join #t")
    bob.stop_reading()
    for text in kibibytes(400):
        alice.say(b"#t: " + text)
    node.set(delivery__topic_overflow=TopicOverflow.DISCONNECT)
    assert bob.is_connected
    alice.say(b"#t: one more")
    assert bob.protocol.session.over, "it is a slow consumer now"
    node.expect_balance()


def test_who_has_not_logged_in_has_the_time_that_is_in_force_from_now_on(node: ChangingNode) -> None:
    node.set(peers__login_timeout=inf)
    forgotten = node.connect()
    node.pass_time(1000)
    node.set(peers__login_timeout=10.0)
    node.pass_time(9)
    assert forgotten.is_connected, "nobody is dropped because a limit became smaller"
    node.set(peers__max_joins=1)
    node.pass_time(0.9)
    assert forgotten.is_connected
    node.pass_time(0.2)
    assert forgotten.hear() == [b"error login-timeout: 10", b"bye login-timeout"]
    patient = node.connect()
    node.set(peers__login_timeout=100.0)
    node.pass_time(99)
    assert patient.is_connected and patient.ask(b"late") == [b"ok login late@node1"]


def test_other_settings_give_nobody_more_time_to_log_in(node: ChangingNode) -> None:
    stranger = node.connect()
    node.pass_time(9)
    node.set(delivery__direct_patience=1.0)
    node.pass_time(1.1)
    assert stranger.hear() == [b"error login-timeout: 10", b"bye login-timeout"]


def test_a_login_timeout_that_changes_is_nothing_to_who_has_a_name_or_goes(node: ChangingNode) -> None:
    alice, bob = node.peers(b"alice", b"bob")
    bob.say(b"/quit")
    node.set(peers__login_timeout=0.5)
    node.pass_time(0.6)
    assert alice.ask(b"/ping") == [b"pong"]
    assert bob.hear() == [b"bye quit"]


def test_a_list_that_was_routed_before_is_too_long_now(node: ChangingNode) -> None:
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    node.set(peers__max_addresses=2)
    for number in range(5):
        alice.say(b"bob, carol: %d" % number, b"#t, bob: %d" % number)
    assert len(bob.hear()) == 10 and len(carol.hear()) == 5
    node.set(peers__max_addresses=1)
    assert alice.ask(b"bob, carol: no", b"#t, bob: no") == [b"error too-many-addresses: 1"] * 2
    assert bob.hear() == carol.hear() == []
    node.set(peers__max_addresses=0)
    assert alice.ask(b"bob, carol: yes") == []
    assert bob.hear() == carol.hear() == [b"from alice: yes"]


def test_a_line_that_has_begun_is_held_to_the_limit_that_is_in_force_at_its_end(node: ChangingNode) -> None:
    [alice] = node.peers(b"alice")
    alice.send(b"x" * 1000)
    node.set(peers__max_line=100)
    assert alice.ask(b"x", b"y") == [b"error line-too-long: 100", b"error bad-line: y"]
    alice.send(b"x" * 90)
    node.set(peers__max_line=1000)
    assert alice.ask(b"x" * 900) == [b"error bad-line: " + b"x" * 60]


def test_nothing_is_looked_at_again_if_no_time_has_changed(node: ChangingNode) -> None:
    node.peers(b"alice")
    before = node.service.live.settings
    node.set(peers__max_joins=5)
    assert node.service.live.settings == replace(before, peers=replace(before.peers, max_joins=5))
