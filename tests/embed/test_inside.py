"""The endpoint within the process: what connects, what does not, and what the factory is told."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from nettool.embed import InsideAddress, Node
from tests.embed.pairs import HalfTeller, Teller
from tests.embed.peers import ClockPeer, Peer, peers


class Counting(Factory):
    """A factory that counts how often it is begun and ended."""

    noisy = False
    protocol = Peer  # type: ignore[assignment]

    def __init__(self) -> None:
        self.starts = 0
        self.stops = 0
        self.asked: list[IAddress | None] = []

    def startFactory(self) -> None:
        self.starts += 1

    def stopFactory(self) -> None:
        self.stops += 1

    def buildProtocol(self, addr: IAddress | None) -> Any:  # type: ignore[override]
        self.asked.append(addr)
        return super().buildProtocol(addr)  # type: ignore[arg-type]


def outcome(deferred: Deferred[IProtocol]) -> Any:
    """What it has fired with, which it has to have done."""
    outcomes: list[Any] = []
    deferred.addBoth(outcomes.append)
    (result,) = outcomes
    return result


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_is_an_endpoint_and_connects_at_once(clock: Clock) -> None:
    with Node(clock) as node:
        endpoint = node.endpoint()
        assert verifyObject(IStreamClientEndpoint, endpoint)
        factory = Counting()
        peer = outcome(endpoint.connect(factory))
        assert isinstance(peer, Peer)
        assert peer.end.getPeer() == InsideAddress("node1") == factory.asked[0]
        assert peer.end.getHost() == InsideAddress("node1", 1)
        second = outcome(node.endpoint().connect(factory))
        assert second.end.getHost() == InsideAddress("node1", 2)
        assert [connection.transport.getPeer().number for connection in node.peers.connections] in ([1, 2], [2, 1])


def test_the_numbers_of_one_node_are_its_own(clock: Clock) -> None:
    for _ in range(2):
        with Node(clock) as node:
            assert ClockPeer(node, clock).end.getHost().number == 1


def test_a_factory_is_begun_and_ended_as_often(clock: Clock) -> None:
    factory = Counting()
    with Node(clock) as node:
        first, second = (outcome(node.endpoint().connect(factory)) for _ in range(2))
        assert (factory.starts, factory.stops) == (1, 0), "once for all of its connections"
        first.end.loseConnection()
        clock.advance(0)
        assert (factory.starts, factory.stops) == (1, 0)
        second.end.abortConnection()
        clock.advance(0)
        assert (factory.starts, factory.stops) == (1, 1)
        outcome(node.endpoint().connect(factory))
    assert (factory.starts, factory.stops) == (2, 2)


def test_who_makes_no_protocol_is_told_and_connects_nothing(clock: Clock) -> None:
    class Without(Counting):
        def buildProtocol(self, addr: IAddress | None) -> None:  # type: ignore[override]
            return None

    with Node(clock) as node:
        factory = Without()
        assert outcome(node.endpoint().connect(factory)).check(NoProtocol)
        assert (factory.starts, factory.stops) == (1, 1)
        assert not node.peers.connections
        assert not clock.getDelayedCalls()


@pytest.mark.parametrize("call, counts", [("buildProtocol", (1, 1)), ("startFactory", (0, 0))])
def test_what_a_factory_raises_is_told_and_connects_nothing(clock: Clock, call: str, counts: tuple[int, int]) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with Node(clock) as node:
        factory = Counting()
        setattr(factory, call, fail)
        assert outcome(node.endpoint().connect(factory)).check(ZeroDivisionError)
        assert (factory.starts, factory.stops) == counts
        assert not node.peers.connections
        assert not clock.getDelayedCalls()


def test_a_fault_in_the_first_call_is_told_and_ends_the_connection(clock: Clock, logged_failures: Any) -> None:
    class Faulty(Counting):
        protocol = Teller  # type: ignore[assignment]

    with Node(clock) as node:
        factory = Faulty()
        faulty = Teller()
        faulty.when_made = lambda: 1 / 0
        factory.buildProtocol = lambda addr: faulty  # type: ignore[method-assign]
        assert outcome(node.endpoint().connect(factory)).check(ZeroDivisionError)
        (alice,) = peers(node, clock, b"alice")
        clock.advance(0)
        assert faulty.told == ["made", "lost: ZeroDivisionError"]
        assert (factory.starts, factory.stops) == (1, 1)
        assert alice.ask(b"/who") == [b"peer alice", b"ok who 1"]
        assert len(node.peers.connections) == 1
        with pytest.raises(ZeroDivisionError):
            node.connect(faulty)
    assert logged_failures.flush() == []


def test_a_fault_of_a_peers_protocol_ends_that_peer_alone(clock: Clock, logged_failures: Any) -> None:
    with Node(clock) as node:
        alice, bob = peers(node, clock, b"alice", b"bob")
        bob.dataReceived = lambda data: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        assert alice.ask(b"/watch", b"bob: hi", b"/ping") == [b"ok watch", b"pong", b"notice gone: bob"]
        assert bob.ends == ["ZeroDivisionError"]
        assert alice.ask(b"bob: hi") == [b"error no-such-peer: bob"]
        assert len(logged_failures.flush(ZeroDivisionError)) == 1
        assert node.totals().adds_up


def test_nobody_connects_before_the_start_after_the_stop_or_while_it_drains(clock: Clock) -> None:
    node = Node(clock)

    def refused() -> bool:
        factory = Counting()
        result = outcome(node.endpoint().connect(factory))
        assert isinstance(result, Failure)
        assert (factory.starts, factory.asked) == (0, [])
        return bool(result.check(ConnectionRefusedError))

    assert refused()
    with pytest.raises(ConnectionRefusedError, match="the node node1 does not run"):
        node.connect(Peer())
    with node:
        (bob,) = peers(node, clock, b"bob")
        bob.stop_reading()
        ClockPeer(node, clock).login(b"alice").say(*(b"bob: " + b"x" * 1000 for _ in range(1000)))
        ended = node.stopService()
        clock.advance(1)
        assert not ended.called
        assert refused()
    assert ended.called
    assert refused()


def test_a_protocol_may_end_the_connection_in_its_first_call(clock: Clock) -> None:
    class Hasty(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(b"hasty\n")
            self.transport.loseConnection()

    with Node(clock) as node:
        (alice,) = peers(node, clock, b"alice")
        alice.ask(b"/watch")
        outcome(connectProtocol(node.endpoint(), Hasty()))
        assert alice.hear() == [b"notice here: hasty", b"notice gone: hasty"]


def test_a_peer_may_connect_another_within_a_call(clock: Clock) -> None:
    second = HalfTeller()

    class Recruiter(Protocol):
        def dataReceived(self, data: bytes) -> None:
            if second.transport is None:
                connectProtocol(node.endpoint(), second)
                assert second.told == ["made"]
                second.end.write(b"second\n")
                assert second.received == b""

    with Node(clock) as node:
        outcome(connectProtocol(node.endpoint(), Recruiter())).transport.write(b"first\n")
        clock.advance(0)
        assert second.received == b"ok login second@node1\n"
