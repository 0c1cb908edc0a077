"""
A transport in memory that is as slow as a test wants.

Twisted's own fakes take everything at once and never pause a producer.  This one does what `abstract.FileDescriptor` of
Twisted 26.10 does, in the same order, with a peer whose reading the test controls.
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, IConsumer, IPushProducer)
class SlowTransport:
    """
    Carries bytes between a protocol and a peer that the test plays.

    - What the protocol writes waits in a buffer, and leaves it in the next turn (`clock.advance(0)`) as far as there is
      `room`: into `received`.  `take` makes room, and `room` may be set; it is infinite to begin with.
    - A push producer is paused, within `write`, when the buffer exceeds `bufferSize`, and resumed when it is empty.
    - What the peer sends (`send`) is read in the next turn, at most `read_size` bytes a turn, while reading is not
      paused; so is the end of its input (`end_input`).
    - `loseConnection` closes when the buffer is empty and no producer is registered, `loseWriteConnection` closes one
      side then, `abortConnection` closes in the next turn; `reset` is the peer's doing.  The protocol is told as
      Twisted tells it.  With `half_close=False`, the end of the peer's input ends the connection, as it does over TLS.

    Invariant: once `lost` is set nothing is read, written or told any more.
    """

    def __init__(self, protocol: Any, clock: Clock, *, half_close: bool = False, read_size: int = 256 * 1024) -> None:
        self.protocol = protocol
        self.clock = clock
        self.half_close = half_close
        self.read_size = read_size
        self.bufferSize = 64 * 1024
        self.room: float = inf
        self.received = bytearray()
        """What the peer has taken and the test has not."""
        self.reading = True
        self.producer: Any = None
        self.producer_paused = False
        self.disconnecting = False
        self.end_sent = False
        """The peer has seen the end of what it is sent; no byte follows."""
        self.lost: type[BaseException] | None = None
        """Why the connection is lost; `ConnectionAborted` is the only one by which bytes are thrown away here."""
        self._streaming = False
        self._buffer = bytearray()
        self._input = bytearray()
        self._end_of_input = False
        self._write_disconnecting = False
        self._turn_is_due = False

    # What the test does

    def send(self, data: bytes) -> None:
        """The peer sends these bytes."""
        self._input += data
        self._soon()

    def end_input(self) -> None:
        """The peer sends no more than it has."""
        self._end_of_input = True
        self._soon()

    def reset(self) -> None:
        """The peer is gone, at once and without a word."""
        self._lose(ConnectionLost)

    def take(self, size: float = inf) -> None:
        """The peer takes so many bytes more."""
        self.room += size
        self._soon()

    @property
    def held(self) -> int:
        """Bytes that were written and not taken."""
        return len(self._buffer)

    @property
    def unread(self) -> int:
        """Bytes that the peer has sent and the protocol has not been given."""
        return len(self._input)

    # ITransport, and the half of it that TCP has

    def write(self, data: bytes) -> None:
        if type(data) is not bytes:  # a transport is free to keep what it is given
            raise TypeError(f"bytes are written, not {type(data)}")
        if self.lost or self._write_disconnecting or not data:
            return
        self._buffer += data
        if self.producer is not None and self._streaming and len(self._buffer) > self.bufferSize:
            self.producer_paused = True
            self.producer.pauseProducing()
        self._soon()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.lost and not self.disconnecting:
            self.disconnecting = True
            self.reading = False
            self._soon()

    def loseWriteConnection(self) -> None:
        assert self.half_close, "there is no half-close here"
        self._write_disconnecting = True
        self._soon()

    def abortConnection(self) -> None:
        if not self.lost:
            self.reading = False
            self._buffer.clear()
            self.clock.callLater(0, self._lose, ConnectionAborted)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "198.51.100.1", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "198.51.100.2", 6388)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError("a producer is registered already")
        self.producer, self._streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None
        self.producer_paused = False
        self._soon()

    # IPushProducer

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if not self.lost and not self.disconnecting:
            self.reading = True
            self._soon()

    def stopProducing(self) -> None:
        self.loseConnection()

    # A turn

    def _soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if not self.lost:
            self._read()
        if not self.lost:
            self._move()

    def _read(self) -> None:
        if not self.reading:
            return
        if self._input:
            data = bytes(self._input[: self.read_size])
            del self._input[: self.read_size]
            self._soon()
            self.protocol.dataReceived(data)
        elif self._end_of_input:
            self.reading = self._end_of_input = False
            if self.half_close and IHalfCloseableProtocol.providedBy(self.protocol):
                self.protocol.readConnectionLost()
            else:
                self._lose(ConnectionDone)

    def _move(self) -> None:
        size = int(min(self.room, len(self._buffer)))
        self.received += self._buffer[:size]
        del self._buffer[:size]
        self.room -= size
        if self._buffer:
            return
        if self.producer is not None and self.producer_paused:
            self.producer_paused = False
            self.producer.resumeProducing()
        elif self.disconnecting and self.producer is None:
            self._lose(ConnectionDone)
        elif self._write_disconnecting and not self.end_sent:
            self.end_sent = True
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self.protocol.writeConnectionLost()

    def _lose(self, reason: type[Exception]) -> None:
        if self.lost:
            return
        self.lost = reason
        self.end_sent = True
        self.reading = False
        self._buffer.clear()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(Failure(reason()))
