"""A node inside a test, on a clock: every connection is in memory, and no second passes."""

from __future__ import annotations

import gc
import io
from typing import Any

import pytest
from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.embed import Node
from nettool.embed.pipe import End
from nettool.errors import DropReason, ReturnReason, SettingError
from nettool.peers.protocol import PeerProtocol
from nettool.settings import CHUNK, KERNEL_SEND_BUFFER, KIB, MIB, READ
from tests.embed.pairs import HalfTeller, Push, numbered
from tests.embed.peers import ClockPeer, Peer, peers
from tests.support.street import kibibytes

SMALL = {"outbox_bytes": "256KiB", "max_line": "16KiB"}


@pytest.fixture(params=[Clock, MemoryReactorClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def expect_nothing_left(node: Node, clock: Clock) -> None:
    """The node has ended: all lines are accounted for, and nothing is waited for."""
    totals = node.totals()
    assert totals.adds_up, str(totals)
    assert totals.queued == 0
    assert not node.peers.connections
    assert not node.running
    assert not clock.getDelayedCalls()


# --- A conversation


def test_a_conversation(clock: Clock) -> None:
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        assert alice.ask(b"bob: hello") == []
        assert bob.hear() == [b"from alice: hello"]
        assert bob.ask(b"alice, bob: hi!", b"/join #news") == [b"from bob: hi!", b"ok join #news"]
        assert alice.ask(b"#news: x", b"dave: are you there?") == [b"from bob: hi!", b"error no-such-peer: dave"]
        assert bob.hear() == [b"from alice to #news: x"]
        totals = node.totals()
        assert (totals.accepted, totals.delivered, totals.queued) == (4, 4, 0)
        assert sum(totals.refused.values()) == 1
    assert alice.hear() == bob.hear() == [b"bye shutdown"]
    assert alice.ends == bob.ends == ["ConnectionDone"]
    expect_nothing_left(node, clock)


async def test_a_node_for_the_length_of_an_async_with(clock: Clock) -> None:
    async with Node(clock) as node:
        peer = await connectProtocol(node.endpoint(), Peer())
        peer.say(b"alice", b"alice: to myself")
        clock.advance(0)
        assert peer.hear() == [b"ok login alice@node1", b"from alice: to myself"]
    assert peer.hear() == [b"bye shutdown"]
    expect_nothing_left(node, clock)


def test_texts_arrive_to_the_byte(clock: Clock) -> None:
    text = bytes(byte for byte in range(256) if byte != 10) + b"\r"
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        alice.say(b"bob: " + text + b"\r")
        assert bob.hear() == [b"from alice: " + text]


def test_a_quit_and_a_half_close_flush_the_replies_first(clock: Clock) -> None:
    with Node(clock) as node:
        for end in (b"/quit", b""):
            (peer,) = peers(node, clock, b"alice")
            peer.stop_reading()
            peer.say(*(b"alice: " + text for text in kibibytes(1000)), *filter(None, [end]))
            if not end:
                peer.end.loseWriteConnection()
                clock.advance(0)
            peer.read_on()
            assert peer.hear() == [*(b"from alice: " + text for text in kibibytes(1000)), b"bye quit"]
            assert peer.ends == ["ConnectionDone"]
        assert not node.peers.connections


def test_a_peer_that_knows_half_closes_hears_of_the_end_of_each_direction(clock: Clock) -> None:
    with Node(clock) as node:
        peer = node.connect(HalfTeller())
        peer.end.write(b"alice\nalice: to myself\n")
        peer.end.loseWriteConnection()
        clock.advance(0)
        assert peer.received == b"ok login alice@node1\nfrom alice: to myself\nbye quit\n"
        assert peer.told == ["made", "write ended", "read ended"]
        assert not node.peers.connections
        peer.end.loseConnection()
        clock.advance(0)
        assert peer.told[3:] == ["lost: ConnectionDone"]


def test_who_says_much_and_closes_has_said_it(clock: Clock) -> None:
    with Node(clock) as node:
        (bob,) = peers(node, clock, b"bob")
        hasty = ClockPeer(node, clock)
        Peer.say(hasty, b"hasty", *(b"bob: " + text for text in kibibytes(3000)), b"nobody: x")
        hasty.end.loseConnection()
        assert bob.hear() == [b"from hasty: " + text for text in kibibytes(3000)]
        assert bob.ask(b"/who") == [b"peer bob", b"ok who 1"]


def test_who_aborts_is_gone(clock: Clock) -> None:
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        alice.say(*(b"bob: " + text for text in kibibytes(1500)))
        bob.end.abortConnection()
        back = alice.hear()
        assert back == [b"returned bob disconnected: " + text for text in kibibytes(1500)[-len(back) :]]
        assert bob.ends == ["ConnectionAborted"]
        assert node.totals().adds_up


# --- Slow readers, as over a socket


def flood(alice: ClockPeer, to: bytes, number: int = 3000) -> list[bytes]:
    texts = kibibytes(number)
    alice.say(*(to + b": " + text for text in texts))
    return texts


def is_read(node: Node, name: bytes) -> bool:
    """Whether the node reads from this peer."""
    (connection,) = [connection for connection in node.peers.connections if connection.session.name == name]
    end: Any = connection.transport
    return bool(end._reading)


def test_a_connection_in_memory_holds_no_more_than_a_socket_would(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        alice.end.registerProducer(push := _Flood(alice, b"bob: "), True)
        push.resumeProducing()
        for _ in range(20):
            clock.advance(1)
            for connection in node.peers.connections:
                end: Any = connection.transport
                assert end.held <= KERNEL_SEND_BUFFER + CHUNK
                assert end._other.held <= KERNEL_SEND_BUFFER + READ
        assert push.pauses
        assert push.left == 0, "what did not fit was given back"


class _Flood:
    """A push producer of far more than fits anywhere, as long as it is not paused."""

    def __init__(self, peer: ClockPeer, prefix: bytes) -> None:
        self.peer = peer
        self.line = prefix + b"x" * 1000 + b"\n"
        self.left = 3000
        self.pauses = 0
        self.paused = False

    def pauseProducing(self) -> None:
        self.pauses += 1
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.peer.end.write(self.line * 16)

    def stopProducing(self) -> None:
        self.left = 0


def test_a_push_producer_is_paused_while_the_node_does_not_read_it(clock: Clock) -> None:
    """Somebody's big file, sent to one who reads slowly."""
    with Node(clock, max_line="1MiB", outbox_bytes="2MiB", direct_patience="forever", stall_timeout="forever") as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()

        class Sender(Push):
            def resumeProducing(self) -> None:
                self.paused = False
                while self.left and not self.paused:
                    self.left -= 1
                    alice.end.write(b"bob: " + numbered(self.left, 65536) + b"\n")
                if not self.left:
                    alice.end.unregisterProducer()

        sender = Sender(alice, 400)  # type: ignore[arg-type]
        sender.start()
        clock.advance(1000)
        assert sender.paused
        assert sender.left > 300
        bob.read_on()
        assert bob.hear() == [b"from alice: " + numbered(number, 65536) for number in reversed(range(400))]
        assert node.totals().delivered == 400


def test_a_file_is_sent_as_fast_as_the_node_reads_it(clock: Clock) -> None:
    """Twisted's own pull producer."""
    lines = [b"bob: " + numbered(number, 1000) for number in range(5000)]
    with Node(clock, direct_patience="forever", stall_timeout="forever", **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        sent: list[object] = []
        file = io.BytesIO(b"".join(line + b"\n" for line in lines))
        FileSender().beginFileTransfer(file, alice.end).addBoth(sent.append)
        clock.advance(1000)
        assert sent == []
        assert file.tell() < 3 * MIB
        bob.read_on()
        assert sent == [b"\n"]
        assert bob.hear() == [line.replace(b"bob", b"from alice", 1) for line in lines]


def test_a_burst_to_a_slow_reader_waits_and_loses_nothing(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        alice, bob, carol = peers(node, clock, b"alice", b"bob", b"carol")
        bob.stop_reading()
        texts = flood(alice, b"bob")
        assert not is_read(node, b"alice")
        assert carol.ask(b"alice: are you there?", b"/ping") == [b"pong"]
        assert alice.hear() == [b"from carol: are you there?"]
        clock.advance(4.9)
        bob.read_on()
        assert bob.hear() == [b"from alice: " + text for text in texts]
        assert alice.ask(b"/ping") == [b"pong"]


def test_patience_has_an_end_and_then_lines_are_given_back(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        texts = flood(alice, b"bob")
        clock.advance(4.9)
        assert alice.hear() == []
        clock.advance(0.1)
        back = alice.hear()
        assert back == [b"returned bob queue-full: " + text for text in texts[-len(back) :]]
        assert is_read(node, b"alice")
        bob.read_on()
        assert bob.hear() == [b"from alice: " + text for text in texts[: -len(back)]]
        assert node.totals().adds_up


def test_a_slow_hearer_loses_the_oldest_and_is_told_in_their_place(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.ask(b"/join #news")
        bob.stop_reading()
        texts = flood(alice, b"#news")
        clock.advance(0.1)
        assert is_read(node, b"alice")
        bob.read_on()
        heard = bob.hear()
        (told,) = (line for line in heard if line.startswith(b"error lagged: #news "))
        place, lost = heard.index(told), int(told.rpartition(b" ")[2])
        assert heard[:place] == [b"from alice to #news: " + text for text in texts[:place]]
        assert heard[place + 1 :] == [b"from alice to #news: " + text for text in texts[place + lost :]]
        assert node.totals().adds_up


@pytest.mark.parametrize("to", [b"bob", b"#news"])
def test_who_reads_nothing_for_the_stall_timeout_is_cut_off(clock: Clock, to: bytes) -> None:
    with Node(clock, stall_timeout="20s", topic_patience="forever", **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.ask(b"/join #news")
        bob.stop_reading()
        flood(alice, to)
        clock.advance(19.9)
        assert bob.ends == []
        clock.advance(0.1)
        clock.advance(0)
        assert bob.ends == ["ConnectionLost"]
        assert is_read(node, b"alice")
        assert alice.ask(b"/who")[-2:] == [b"peer alice", b"ok who 1"]
        totals = node.totals()
        if to == b"bob":
            assert totals.returned[ReturnReason.SLOW_CONSUMER]
        else:
            assert set(totals.dropped) == {DropReason.HEARER_GONE}
        assert totals.adds_up


def test_a_byte_taken_restarts_the_stall_timeout(clock: Clock) -> None:
    with Node(clock, stall_timeout="20s", outbox_bytes="2MiB") as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        flood(alice, b"bob", 5000)
        for _ in range(3):
            clock.advance(19)
            assert bob.ends == []
            bob.take_once()
        clock.advance(19.9)
        assert bob.ends == []
        clock.advance(20)
        clock.advance(0)
        assert bob.ends == ["ConnectionLost"]


def test_a_topic_may_cut_off_who_is_too_slow(clock: Clock) -> None:
    with Node(clock, topic_overflow="disconnect", topic_patience="1s", **SMALL) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.ask(b"/join #news")
        bob.stop_reading()
        flood(alice, b"#news")
        clock.advance(0.9)
        assert bob.ends == []
        clock.advance(0.1)
        clock.advance(0)
        assert bob.ends == ["ConnectionLost"]
        assert node.totals().adds_up


def test_who_does_not_read_its_answers_is_not_read(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        (alice,) = peers(node, clock, b"alice")
        alice.stop_reading()
        for _ in range(10):
            alice.say(*[b"/help"] * 2000)
        assert not is_read(node, b"alice")
        assert alice.end.held, "it waits with the one who asks"
        alice.read_on()
        assert alice.hear().count(b"ok help") == 20_000


# --- Limits and options


def test_too_many_peers_are_told_at_the_door(clock: Clock) -> None:
    with Node(clock, max_peers=2) as node:
        alice, _ = peers(node, clock, b"alice", b"bob")
        third = ClockPeer(node, clock)
        assert third.hear() == [b"error too-many-peers: 2", b"bye too-many-peers"]
        assert third.ends == ["ConnectionDone"]
        assert alice.ask(b"/who") == [b"peer alice", b"peer bob", b"ok who 2"]
        alice.ask(b"/quit")
        peers(node, clock, b"carol")


def test_options_are_written_as_on_the_command_line(clock: Clock) -> None:
    node = Node(
        clock, node_name="north", outbox_bytes="1MiB", topic_patience="0s", max_peers=10, on_name_taken="takeover"
    )
    assert node.live.node.name == b"north"
    assert node.live.delivery.outbox_bytes == MIB
    assert node.live.delivery.topic_patience == 0
    assert node.live.peers.max_peers == 10
    with node:
        first = ClockPeer(node, clock)
        assert first.ask(b"alice") == [b"ok login alice@north"]
        assert ClockPeer(node, clock).ask(b"alice") == [b"ok login alice@north"]
        assert first.hear() == [b"bye taken-over"]


@pytest.mark.parametrize(
    "options, told",
    [
        ({"outbox": "1MiB"}, ["outbox: there is no such option"]),
        ({"max_lines": 100}, ["max_lines: there is no such option; did you mean max_line?"]),
        ({"log_level": "debug", "listen_": "tcp:1"}, ["log_level: there is no such option", "listen_: there is no"]),
        ({"max_peers": "many"}, ["max_peers: expected a whole number"]),
        ({"topic_patience": 0.1}, ["topic_patience: expected a time"]),
        ({"node_name": b"node"}, ["node_name: expected text or a number"]),
        ({"node_name": None}, ["node_name: expected text or a number"]),
        ({"state_dir": None, "max_line": b"1"}, ["state_dir: expected text or a number", "max_line:"]),
        ({"max_peers": True}, ["max_peers: expected a whole number"]),
        ({"outbox_bytes": "64KiB"}, ["outbox_bytes: expected 0 (unlimited) or at least twice max-line"]),
        (
            {"max_line": "1GiB", "stall_timeout": "1s"},
            ["max_line: expected", "max_line: delivery.outbox-bytes: expected", "stall_timeout:"],
        ),
        ({"Max_peers": 1, "max_joins": "x", "login_timeout": "?"}, ["Max_peers:", "max_joins:", "login_timeout:"]),
    ],
)
def test_every_mistake_is_told(options: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        Node(Clock(), **options)
    for mistake in told:
        assert mistake in str(caught.value)
    assert str(caught.value).count(": ") >= len(told)


@pytest.mark.parametrize("where", ["", "tcp", "tcp:port", "nonsense:1"])
def test_an_endpoint_that_cannot_be_used_is_told(where: str) -> None:
    with pytest.raises(SettingError, match="expected an endpoint that can be used"):
        Node(MemoryReactorClock(), listen=["tcp:1", where])


# --- Endpoints


@implementer(IListeningPort)
class _Port:
    """A port that somebody's endpoint has bound."""

    open = True

    def startListening(self) -> None: ...

    def stopListening(self) -> None:
        self.open = False

    def getHost(self) -> Any:
        return object()


@implementer(IStreamServerEndpoint)
class _Endpoint:
    """Somebody's endpoint, which takes its time."""

    def __init__(self, bound: Deferred[Any]) -> None:
        self.bound = bound
        self.factory: Any = None

    def listen(self, factory: Factory) -> Deferred[Any]:
        self.factory = factory
        return self.bound


def test_a_node_listens_where_it_is_told() -> None:
    reactor = MemoryReactorClock()
    # MemoryReactorClock's ports say 0.0.0.0, whatever they were asked for.
    with Node(reactor, listen=["tcp:1:interface=127.0.0.1", "unix:/run/nettool.sock"]) as node:
        assert node.where == ["tcp:0.0.0.0:1", "unix:/run/nettool.sock"]
        assert reactor.tcpServers[0][1] is node.peers
    assert node.where[0].startswith("tcp:1"), "where it would listen"


def test_nothing_listens_unless_it_is_told() -> None:
    reactor = MemoryReactorClock()
    with Node(reactor) as node:
        assert node.where == []
        assert not reactor.tcpServers
        assert not reactor.unixServers


def test_an_endpoint_that_is_bound_at_once() -> None:
    port = _Port()
    endpoint = _Endpoint(succeed(port))
    with Node(Clock(), listen=[endpoint]) as node:
        assert endpoint.factory is node.peers
        assert node.where == [repr(endpoint)], "it has no address that could be told"
        assert port.open
    assert not port.open


def begin(node: Node) -> tuple[Deferred[Any], list[Any]]:
    """Begin to enter an `async with`; what comes of it will be in the list."""
    results: list[Any] = []
    entered = Deferred.fromCoroutine(node.__aenter__())
    entered.addBoth(results.append)
    return entered, results


def test_an_endpoint_that_is_bound_late_is_waited_for(clock: Clock) -> None:
    bound: Deferred[Any] = Deferred()
    node = Node(clock, listen=[_Endpoint(bound)])
    _, results = begin(node)
    clock.advance(1)
    assert results == []
    port = _Port()
    bound.callback(port)
    assert results == [node]
    Deferred.fromCoroutine(node.__aexit__(None, None, None))
    assert not port.open
    expect_nothing_left(node, clock)


def test_an_endpoint_that_fails_late_is_told_though_another_never_ends(clock: Clock) -> None:
    cancelled: list[object] = []
    never, bound, port = Deferred[Any](cancelled.append), Deferred[Any](), _Port()
    node = Node(clock, listen=[_Endpoint(succeed(port)), _Endpoint(never), _Endpoint(bound)])
    _, results = begin(node)
    (alice,) = peers(node, clock, b"alice")
    alice.stop_reading()
    bound.errback(CannotListenError("", 1, OSError("taken")))
    (failure,) = results
    assert failure.check(CannotListenError)
    assert not port.open
    assert cancelled == [never]
    alice.read_on()
    assert alice.hear() == [b"bye shutdown"]
    expect_nothing_left(node, clock)


def test_a_start_that_is_cancelled_leaves_nothing(clock: Clock) -> None:
    bound: Deferred[Any] = Deferred()
    node = Node(clock, listen=[_Endpoint(bound)])
    entered, results = begin(node)
    entered.cancel()
    assert len(results) == 1
    assert isinstance(results[0], Failure)
    expect_nothing_left(node, clock)


def test_an_endpoint_that_is_bound_at_the_very_stop_is_closed(clock: Clock) -> None:
    port = _Port()
    bound: Deferred[Any] = Deferred(lambda deferred: deferred.callback(port))
    node = Node(clock, listen=[_Endpoint(bound)])
    node.startService()
    node.stopService()
    clock.advance(0)
    assert not port.open


@pytest.mark.parametrize("error", [CannotListenError("", 1, OSError("taken")), OSError("no")])
def test_an_endpoint_that_fails_at_once_ends_the_start(clock: Clock, error: Exception) -> None:
    port = _Port()
    node = Node(clock, listen=[_Endpoint(succeed(port)), _Endpoint(fail(error))])
    with pytest.raises(type(error)), node:
        raise AssertionError("it has begun")
    assert not port.open
    expect_nothing_left(node, clock)
    with pytest.raises(RuntimeError, match="started once"), node:
        pass


# --- Starts and stops


def test_a_second_start_is_refused(clock: Clock) -> None:
    with Node(clock) as node:
        for start in (node.startService, node.privilegedStartService, node.__enter__):
            with pytest.raises(RuntimeError, match="started once"):
                start()
        assert peers(node, clock, b"alice")
    with pytest.raises(RuntimeError, match="started once"), node:
        pass
    with pytest.raises(RuntimeError, match="started once"):
        node.startService()


def test_who_stops_a_node_in_the_block_hears_what_its_peers_hear(clock: Clock) -> None:
    with Node(clock) as node:
        (alice,) = peers(node, clock, b"alice")
        first, second = node.stopService(), node.stopService()
        clock.advance(0)
        assert alice.hear() == [b"bye shutdown"]
        assert first.called
        assert second.called
    expect_nothing_left(node, clock)


def test_a_drain_that_was_begun_in_the_block_is_ended_with_it(clock: Clock) -> None:
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        flood(alice, b"bob", 1000)
        ended = node.stopService()
        clock.advance(1)
        assert not ended.called
    assert ended.called
    expect_nothing_left(node, clock)


def test_leaving_with_peers_that_never_read_ends_and_accounts_for_all_lines(clock: Clock) -> None:
    with Node(clock, **SMALL) as node:
        names = [b"p%d" % number for number in range(10)]
        everybody = peers(node, clock, *names)
        for peer in everybody:
            peer.ask(b"/join #news")
        stranger = ClockPeer(node, clock)
        for peer in everybody:
            peer.stop_reading()
        for number, peer in enumerate(everybody):
            to = names[(number + 1) % 10] + b", #news: "
            Peer.say(peer, *(to + text for text in kibibytes(200)))
        clock.advance(0)
        assert node.totals().queued
    expect_nothing_left(node, clock)
    assert clock.seconds() >= 10, "the clock was turned as far as the drain takes"
    assert sum(node.totals().dropped.values()) > 0
    assert stranger.hear() == [b"bye shutdown"]


def test_leaving_at_once_takes_no_time(clock: Clock) -> None:
    with Node(clock) as node:
        peers(node, clock, b"alice", b"bob")
    assert clock.seconds() == 0
    expect_nothing_left(node, clock)


@pytest.mark.parametrize("half", [True, False])
def test_leaving_waits_for_a_peer_that_is_just_reading_and_delivers_all(clock: Clock, half: bool) -> None:
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        texts = flood(alice, b"bob")
        if half:
            alice.end.loseWriteConnection()
            clock.advance(0)
        clock.callLater(3, bob.end.resumeProducing)
    assert bob.hear() == [*(b"from alice: " + text for text in texts), b"bye shutdown"]
    assert alice.hear() == ([b"bye quit"] if half else [b"bye shutdown"])
    assert node.totals().delivered == len(texts)
    expect_nothing_left(node, clock)


def test_an_exception_in_the_block_ends_the_node_and_is_raised(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), Node(clock) as node:
        (alice,) = peers(node, clock, b"alice")
        _ = 1 / 0
    assert alice.hear() == [b"bye shutdown"]
    expect_nothing_left(node, clock)


async def test_an_exception_in_an_async_block_ends_the_node_and_is_raised(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Node(clock) as node:
            (alice,) = peers(node, clock, b"alice")
            _ = 1 / 0
    assert alice.hear() == [b"bye shutdown"]
    expect_nothing_left(node, clock)


def test_what_belongs_to_the_test_stays_on_its_clock(clock: Clock) -> None:
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.seconds())
        clock.callLater(1, tick)

    tick()
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.stop_reading()
        flood(alice, b"bob", 1000)
    (left,) = clock.getDelayedCalls()
    left.cancel()
    assert ticks[:5] == [0, 1, 2, 3, 4]
    expect_nothing_left(node, clock)


def test_a_block_that_waits_for_what_its_clock_does_not_bring_about_is_refused(clock: Clock) -> None:
    node = Node(clock, listen=[_Endpoint(Deferred())])
    with pytest.raises(RuntimeError, match="its Clock does not bring about"), node:
        pass
    expect_nothing_left(node, clock)


def test_several_nodes_share_a_clock_and_nothing_else(clock: Clock) -> None:
    with Node(clock, node_name="north") as north, Node(clock, node_name="south") as south:
        alices = [peers(node, clock, b"alice")[0] for node in (north, south)]
        (bob,) = peers(south, clock, b"bob")
        assert alices[0].ask(b"bob: hi", b"/who") == [b"error no-such-peer: bob", b"peer alice", b"ok who 1"]
        alices[1].say(b"bob@south: hi", b"bob@north: hi")
        assert bob.hear() == [b"from alice: hi"]
    for node in (north, south):
        expect_nothing_left(node, clock)


def test_nodes_are_services_of_one_application(clock: Clock) -> None:
    application = Application("mine")
    nodes = [Node(clock), Node(clock)]
    for node in nodes:
        node.setServiceParent(application)
    service = IService(application)
    service.privilegedStartService()
    service.startService()
    heard = [peers(node, clock, b"alice")[0] for node in nodes]
    stopped = service.stopService()
    clock.advance(0)
    assert stopped.called
    for node, alice in zip(nodes, heard, strict=True):
        assert alice.hear() == [b"bye shutdown"]
        expect_nothing_left(node, clock)


def test_a_node_starts_with_a_parent_that_runs_already(clock: Clock) -> None:
    parent = MultiService()
    parent.startService()
    node = Node(clock)
    node.setServiceParent(parent)
    (alice,) = peers(node, clock, b"alice")
    gone = node.disownServiceParent()
    clock.advance(0)
    assert gone.called
    assert alice.hear() == [b"bye shutdown"]
    expect_nothing_left(node, clock)


# --- What a test relies on


def test_two_runs_have_the_same_transcript() -> None:
    def run() -> list[tuple[float, int, bytes]]:
        transcript: list[tuple[float, int, bytes]] = []
        clock = Clock()

        class Scribe(ClockPeer):
            def dataReceived(self, data: bytes) -> None:
                transcript.append((clock.seconds(), self.end.getHost().number, data))
                super().dataReceived(data)

        with Node(clock, **SMALL) as node:
            everybody = [Scribe(node, clock).login(b"p%d" % number) for number in range(8)]
            for number, peer in enumerate(everybody):
                peer.say(b"/watch", b"/join #t%d, #all" % (number % 3))
            for turn in range(60):
                peer = everybody[turn * 7 % 8]
                if peer.ends:
                    continue
                if turn % 5 == 0:
                    peer.stop_reading()
                if turn % 7 == 0:
                    peer.read_on()
                peer.say(*(b"p%d, #t%d, #all: " % (turn % 8, turn % 3) + text for text in kibibytes(turn)))
                if turn in (31, 47):
                    peer.end.abortConnection()
                clock.advance(turn / 7)
        transcript.append((clock.seconds(), -1, str(node.totals()).encode()))
        return transcript

    first = run()
    assert len(first) > 100
    assert run() == first


def test_nothing_is_left_of_two_thousand_peers() -> None:
    clock = Clock()
    with Node(clock) as node:
        (alice,) = peers(node, clock, b"alice")

        def come_and_go(number: int) -> None:
            (peer,) = peers(node, clock, b"bob")
            peer.ask(b"/join #t%d" % number, b"alice: hi", b"bob: hi")
            match number % 4:
                case 0:
                    peer.say(b"/quit")
                case 1:
                    peer.end.loseConnection()
                case 2:
                    peer.end.abortConnection()
                case _:
                    peer.end.loseWriteConnection()
            clock.advance(0)
            alice.hear()

        def alive() -> int:
            gc.collect()
            return sum(isinstance(thing, Peer | End | PeerProtocol) for thing in gc.get_objects())

        come_and_go(0)
        before, calls = alive(), len(clock.getDelayedCalls())
        for number in range(2000):
            come_and_go(number)
        assert alive() == before
        assert len(clock.getDelayedCalls()) == calls
        assert len(node.peers.connections) == 1
        assert alice.ask(b"/topics", b"/who") == [b"ok topics 0", b"peer alice", b"ok who 1"]
        assert node.totals().accepted == 2 * 2001
    expect_nothing_left(node, clock)


def test_a_plain_with_is_for_a_clock() -> None:
    class Reactor:
        """Anything that is no clock."""

    with pytest.raises(TypeError, match="async with"), Node(Reactor()):
        pass


def test_the_smallest_outbox_still_passes_a_line(clock: Clock) -> None:
    with Node(clock, max_line=64, outbox_bytes=128) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        for number in range(1000):
            alice.say(b"bob: %d" % number)
        assert bob.hear() == [b"from alice: %d" % number for number in range(1000)]


def test_a_chunk_is_of_limited_size(clock: Clock) -> None:
    sizes: list[int] = []

    class Measuring(ClockPeer):
        def dataReceived(self, data: bytes) -> None:
            sizes.append(len(data))
            super().dataReceived(data)

    with Node(clock) as node:
        alice = Measuring(node, clock).login(b"alice")
        flood(alice, b"alice")
        assert len(alice.hear()) == 3000
    assert max(sizes) == READ
    assert KIB < READ < CHUNK
