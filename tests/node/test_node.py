"""A whole node in memory: what its options, its service and its peers make of each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from nettool.service import NodeService
from nettool.tap import Options, makeService
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor
from tests.support.street import kibibytes


class MemoryNode:
    """A node that was built of options, as twistd builds it, and runs."""

    def __init__(self, *words: str, layered: bool = False) -> None:
        options = Options()
        options.parseOptions(["--node-name=node1", *words])
        self.layered = layered
        self.reactor = PollingReactor()
        self.service: NodeService = makeService(options, self.reactor)
        self.service.privilegedStartService()
        self.service.startService()
        ((_, self.listening, _, _),) = self.reactor.tcpServers

    def connect(self) -> MemoryPeer:
        """A peer that has come by the endpoint."""
        return MemoryPeer(self.listening, self.reactor, layered=self.layered)

    def peers(self, *names: bytes) -> list[MemoryPeer]:
        return [self.connect().login(name) for name in names]

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def stop(self) -> Deferred[None]:
        ended = self.service.stopService()
        self.pass_time(0)
        return ended

    def expect_balance(self) -> None:
        snapshot = self.service.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)


Start = Callable[..., MemoryNode]


@pytest.fixture(params=[False, True], ids=["plain", "layered"])
def start(request: pytest.FixtureRequest) -> Start:
    return lambda *words: MemoryNode(*words, layered=bool(request.param))


SMALL = ("--outbox-bytes=256KiB", "--max-line=16KiB")


def test_a_conversation(start: Start) -> None:
    node = start()
    alice, bob = node.connect(), node.connect()
    assert alice.ask(b"alice") == [b"ok login alice@node1"]
    assert bob.ask(b"bob") == [b"ok login bob@node1"]
    assert alice.ask(b"bob: hello") == []
    assert bob.hear() == [b"from alice: hello"]
    assert bob.ask(b"alice, bob: hi!") == [b"from bob: hi!"]
    assert alice.hear() == [b"from bob: hi!"]
    assert alice.ask(b"dave: are you there?") == [b"error no-such-peer: dave"]
    assert bob.ask(b"/join #news, #tea/green") == [b"ok join #news", b"ok join #tea/green"]
    assert alice.ask(b"#news, bob, #tea/green, #none: x") == []
    assert bob.hear() == [b"from alice to #news: x", b"from alice: x", b"from alice to #tea/green: x"]
    assert alice.ask(b"/topics", b"/who #news") == [
        b"topic #news 1",
        b"topic #tea/green 1",
        b"ok topics 2",
        b"peer bob",
        b"ok who 1",
    ]
    assert bob.ask(b"/quit") == [b"bye quit"]
    assert alice.ask(b"bob: bye") == [b"error no-such-peer: bob"]
    node.expect_balance()


def test_options_are_in_force(start: Start) -> None:
    node = start("--max-peers=2", "--max-line=64", "--max-addresses=2", "--max-joins=1", "--login-timeout=250ms")
    (alice,) = node.peers(b"alice")
    stranger = node.connect()
    assert node.connect().hear() == [b"error too-many-peers: 2", b"bye too-many-peers"]
    node.pass_time(0.25)
    assert stranger.hear() == [b"error login-timeout: 0.25", b"bye login-timeout"]
    assert alice.ask(b"x" * 65, b"a, b, c: x", b"/join #a, #b") == [
        b"error line-too-long: 64",
        b"error too-many-addresses: 2",
        b"ok join #a",
        b"error too-many-topics: 1",
    ]


# --- backpressure


def test_a_burst_to_a_name_waits_and_loses_nothing(start: Start) -> None:
    node = start(*SMALL)
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    bob.stop_reading()
    texts = kibibytes(3000)
    alice.say(*(b"bob: " + text for text in texts))
    assert not alice.is_read
    assert carol.ask(b"alice: are you there?", b"/ping") == [b"pong"]
    assert alice.hear() == [b"from carol: are you there?"], "who waits is not read, but written to"
    node.pass_time(4.9)
    bob.take()
    assert bob.hear() == [b"from alice: " + text for text in texts]
    assert alice.is_read
    assert alice.ask(b"/ping") == [b"pong"]
    node.expect_balance()


def test_patience_with_a_name_lasts_five_seconds_and_then_lines_are_given_back_in_order(start: Start) -> None:
    node = start(*SMALL)
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    bob.stop_reading()
    texts = kibibytes(3000)
    alice.say(*(b"bob: " + text for text in texts))
    node.pass_time(4.9)
    assert alice.hear() == []
    assert alice.end.unread
    carol.say(b"bob: from one who comes late")
    node.pass_time(0.1)
    back = alice.hear()
    assert back == [b"returned bob queue-full: " + text for text in texts[-len(back) :]]
    assert alice.end.unread == 0
    assert alice.is_read
    assert carol.ask(b"bob: another") == [b"returned bob queue-full: another"]
    bob.take()
    heard = bob.hear()
    heard.remove(b"from carol: from one who comes late")
    assert heard == [b"from alice: " + text for text in texts[: -len(back)]]
    carol.say(b"bob: now there is room")
    assert bob.hear() == [b"from carol: now there is room"]
    node.expect_balance()


def test_a_topic_waits_a_tenth_of_a_second_for_a_slow_hearer_who_then_loses_the_oldest_and_is_told(
    start: Start,
) -> None:
    node = start(*SMALL)
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    for hearer in (bob, carol):
        hearer.ask(b"/join #news")
    bob.stop_reading()
    texts = kibibytes(3000)
    alice.say(*(b"#news: " + text for text in texts))
    assert not alice.is_read
    node.pass_time(0.05)
    assert len(carol.hear()) < len(texts)
    node.pass_time(0.05)
    assert alice.is_read
    assert alice.end.unread == 0
    bob.take()
    heard = bob.hear()
    (told,) = (line for line in heard if line.startswith(b"error "))
    place = heard.index(told)
    lost = int(told.rpartition(b" ")[2])
    assert told == b"error lagged: #news %d" % lost
    assert lost == len(texts) - (len(heard) - 1)
    assert heard[:place] == [b"from alice to #news: " + text for text in texts[:place]]
    assert heard[place + 1 :] == [b"from alice to #news: " + text for text in texts[place + lost :]]
    assert alice.hear() == []
    node.expect_balance()


def test_a_busy_topic_costs_the_senders_of_direct_lines_nothing(start: Start) -> None:
    node = start(*SMALL)
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    bob.ask(b"/join #news")
    bob.stop_reading()
    alice.say(*(b"#news: " + text for text in kibibytes(3000)))
    assert not alice.is_read
    assert carol.ask(b"bob: hi", b"/ping") == [b"pong"]
    assert carol.is_read
    bob.take()
    assert b"from carol: hi" in bob.hear()


def test_a_sender_waits_for_the_last_of_those_who_are_full(start: Start) -> None:
    node = start(*SMALL)
    alice, bob, carol = node.peers(b"alice", b"bob", b"carol")
    bob.stop_reading()
    carol.stop_reading()
    texts = kibibytes(3000)
    alice.say(*(b"bob, carol: " + text for text in texts))
    bob.take()
    assert not alice.is_read
    carol.take()
    assert alice.is_read
    assert bob.hear() == carol.hear() == [b"from alice: " + text for text in texts]
    node.expect_balance()


# --- the end


def test_a_node_that_is_stopped_drains_and_its_promise_is_kept_when_all_have_gone(start: Start) -> None:
    node = start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    texts = kibibytes(1000)
    alice.say(*(b"bob: " + text for text in texts))
    ended = node.stop()
    node.pass_time(5)
    assert not ended.called
    bob.take()
    assert bob.hear() == [*(b"from alice: " + text for text in texts), b"bye shutdown"]
    assert alice.hear() == [b"bye shutdown"]
    for peer in (alice, bob):
        if peer.is_connected:
            peer.half_close()
    assert ended.called
    assert node.reactor.getDelayedCalls() == []
    node.expect_balance()


def test_a_drain_that_nobody_helps_has_an_end(start: Start) -> None:
    node = start("--drain-timeout=3s")
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    texts = kibibytes(1000)
    alice.say(*(b"bob: " + text for text in texts))
    ended = node.stop()
    node.pass_time(3)
    *back, bye = alice.hear()
    assert bye == b"bye shutdown"
    assert back == [b"returned bob shutdown: " + text for text in texts[-len(back) :]]
    node.pass_time(1)
    node.pass_time(2)
    assert ended.called
    node.expect_balance()


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    node = start()
    alice, bob = node.peers(b"alice", b"bob")
    bob.stop_reading()
    alice.say(*(b"bob: " + text for text in kibibytes(1000)))
    ended = node.stop()
    node.service.abort()
    node.pass_time(0)
    assert not alice.is_connected
    assert not bob.is_connected
    assert ended.called
    node.expect_balance()


def test_the_last_lines_of_the_log_are_the_totals(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    node = start()
    alice, bob = node.peers(b"alice", b"bob")
    alice.say(b"bob: hi", b"dave: hi")
    with caplog.at_level("INFO"):
        node.stop()
        node.pass_time(2)
    *_, last = [record.getMessage() for record in caplog.records]
    assert "totals: accepted=1 delivered=1" in last
    assert "refused[no-such-peer]=1" in last
    del bob
