"""The transports in memory do what Twisted's own do: each of these tests holds for both."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support.sockets import PollingReactor, tcp_transport
from tests.support.transport import SlowTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class Listening(Protocol):
    """Remembers what it is told, as a protocol and as a producer."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def readConnectionLost(self) -> None:
        self.told.append("read lost")

    def writeConnectionLost(self) -> None:
        self.told.append("write lost")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.told.append(reason.type)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Bench:
    """A protocol, its transport, and the other end."""

    def __init__(self, slow: bool) -> None:
        self.reactor = PollingReactor()
        self.protocol = Listening()
        self.transport: Any
        self.end: Any
        if slow:
            self.transport = self.end = SlowTransport(self.protocol, self.reactor, half_close=True)
            self.send = self.end.send
        else:
            self.transport, self.end = tcp_transport(self.protocol, self.reactor)
            self.send = self.end.send_input
        self.protocol.makeConnection(self.transport)

    def told(self) -> list[object]:
        """What the protocol was told since the last time, once everything has happened that needs no time."""
        self.reactor.advance(0)
        told, self.protocol.told = self.protocol.told, []
        return told

    def received(self) -> bytes:
        self.reactor.advance(0)
        return bytes(self.end.received)


@pytest.fixture(params=[True, False], ids=["slow", "twisted"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(bool(request.param))


def test_a_slow_transport_is_a_transport() -> None:
    transport = Bench(True).transport
    for interface in (ITransport, IConsumer, IPushProducer):
        assert verifyObject(interface, transport)


def test_what_is_written_is_received_as_far_as_there_is_room(bench: Bench) -> None:
    bench.end.room = 3
    bench.transport.write(b"hello")
    assert bench.received() == b"hel"
    bench.end.take(1)
    assert bench.received() == b"hell"
    bench.end.take()
    assert bench.received() == b"hello"


def test_a_producer_is_paused_when_the_buffer_is_over_its_size_and_resumed_when_it_is_empty(bench: Bench) -> None:
    bench.end.room = 0
    bench.transport.bufferSize = 10
    bench.transport.registerProducer(bench.protocol, True)
    bench.transport.write(b"x" * 10)
    assert bench.told() == []
    bench.transport.write(b"x")
    assert bench.told() == ["pause"]
    bench.end.take(10)
    assert bench.told() == []
    bench.end.take(1)
    assert bench.told() == ["resume"]


def test_input_waits_while_reading_is_paused(bench: Bench) -> None:
    bench.transport.pauseProducing()
    bench.send(b"hello")
    bench.end.end_input()
    assert bench.told() == []
    bench.transport.resumeProducing()
    assert bench.told() == [b"hello", "read lost"]


def test_each_side_closes_alone(bench: Bench) -> None:
    bench.end.room = 1
    bench.transport.write(b"ab")
    bench.transport.loseWriteConnection()
    assert bench.told() == []
    assert not bench.end.end_sent
    bench.end.take()
    assert bench.told() == ["write lost"]
    assert bench.end.end_sent
    assert bench.received() == b"ab"
    bench.send(b"still heard")
    bench.end.end_input()
    assert bench.told() == [b"still heard", "read lost"]
    bench.transport.loseConnection()
    assert bench.told() == [ConnectionDone]


def test_a_close_waits_for_the_buffer_and_for_the_producer(bench: Bench) -> None:
    bench.end.room = 0
    bench.transport.registerProducer(bench.protocol, True)
    bench.transport.bufferSize = 0
    bench.transport.write(b"last")
    bench.transport.loseConnection()
    assert bench.told() == ["pause"]
    bench.end.take()
    assert bench.told() == ["resume"]
    bench.transport.unregisterProducer()
    bench.transport.write(b"")
    bench.transport.loseConnection()
    if not isinstance(bench.transport, SlowTransport):
        bench.transport.startWriting()
    assert bench.told() == [ConnectionDone]
    assert bench.received() == b"last"


def test_an_abort_throws_away_and_is_told_in_the_next_turn(bench: Bench) -> None:
    bench.end.room = 0
    bench.transport.registerProducer(bench.protocol, True)
    bench.transport.write(b"lost")
    bench.transport.abortConnection()
    assert bench.protocol.told == []
    assert bench.told() == ["stop", ConnectionAborted]
    bench.end.take()
    assert bench.received() == b""


def test_a_reset_is_a_lost_connection(bench: Bench) -> None:
    bench.end.reset()
    assert bench.told() == [ConnectionLost]


def test_without_half_close_the_end_of_input_is_the_end() -> None:
    bench = Bench(True)
    bench.transport.half_close = False
    bench.send(b"last")
    bench.end.end_input()
    assert bench.told() == [b"last", ConnectionDone]


def test_only_bytes_can_be_written() -> None:
    with pytest.raises(TypeError):
        Bench(True).transport.write(bytearray(b"x"))
