"""
A connection in memory: two transports that carry bytes to each other.

In: what the protocol at one end writes.  Out: the same bytes at the other end, in later turns of the reactor, in reads
of at most `READ`.  Never: a socket, a byte delivered inside the call that wrote it, a buffer that nobody is told of.

It behaves as a TCP connection of Twisted's does, with `KERNEL_SEND_BUFFER` bytes in each direction in the place of the
kernel's buffers: what is beyond them pauses the producer; a connection that is closed in order delivers what was
written before; one that is aborted does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.interfaces import IOwnTransport
from nettool.settings import KERNEL_SEND_BUFFER, READ


@implementer(ITransport, IConsumer, IPushProducer, IOwnTransport)
class End:
    """One end's transport.

    Invariant: its protocol is called from turns of the reactor only; once `lost`, it is not called any more.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, host: IAddress, peer: IAddress, when_lost: Callable[[], object] | None = None
    ) -> None:
        self._clock = clock
        self._when_lost = when_lost
        self._host = host
        self._peer = peer
        self._protocol: Any = None
        self._other: End = self
        self._unread = bytearray()
        """What was written here and not yet read at the other end."""
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._reading = True
        self._input_ended = False
        self._half_closing = False
        self._end_sent = False
        self._doom: type[Exception] | None = None
        """What the protocol is told in the next turn, before anything else."""
        self._turn_is_due = False
        self.disconnecting = False
        self.lost = False

    def join(self, protocol: IProtocol, other: End) -> None:
        """Begin: bytes go between this protocol and the other end's."""
        self._protocol = protocol
        self._other = other
        protocol.makeConnection(self)

    # Writing

    @property
    def held(self) -> int:
        """See `IOwnTransport`."""
        return len(self._unread)

    def write(self, data: bytes) -> None:
        """Send; a push producer is paused in this call when the other end is too far behind."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"bytes are written, not {type(data).__name__}")
        if self.lost or self._half_closing or not data:
            return
        if self._other.lost:
            self._doom = self._doom or ConnectionLost
            self._soon()
            return
        self._unread += data
        self._other._soon()
        if self._producer is not None and self._streaming and len(self._unread) > KERNEL_SEND_BUFFER:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all of these."""
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let it be paused when the other end does not read, or, if it does not stream, asked when there is room."""
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self.lost:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """It produces no more."""
        self._producer = None
        self._soon()

    # Reading

    def pauseProducing(self) -> None:
        """Bring no more input."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Bring input again."""
        if not self.lost and not self.disconnecting:
            self._reading = True
            self._soon()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # Ending

    def loseConnection(self) -> None:
        """Close when what was written has been taken as far as a kernel would take it; it is delivered all the same."""
        self.disconnecting = True
        self._reading = False
        self._soon()

    def loseWriteConnection(self) -> None:
        """Send no more than was written; go on reading."""
        self._half_closing = True
        self._soon()

    def abortConnection(self) -> None:
        """Close at once; what the other end has not read is thrown away."""
        self._reading = False
        self._doom = ConnectionAborted
        self._soon()

    # What protocols ask of a TCP transport

    def getPeer(self) -> IAddress:
        """The other end."""
        return self._peer

    def getHost(self) -> IAddress:
        """This end."""
        return self._host

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Without effect: nothing is held back here."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Without effect: there is no network that could fail."""

    # A turn

    def _soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if not self.lost and self._doom is not None:
            self._lose(self._doom())
        if not self.lost and self._reading:
            self._read()
        if not self.lost:
            self._look_at_output()

    def _read(self) -> None:
        other = self._other
        if other._unread:
            data = bytes(other._unread[:READ])
            del other._unread[:READ]
            self._soon()
            other._soon()
            self._call(self._protocol.dataReceived, data)
        elif other._end_sent and not self._input_ended:
            self._input_ended = True
            self._reading = False
            if IHalfCloseableProtocol.providedBy(self._protocol):
                self._call(self._protocol.readConnectionLost)
            else:
                self._lose(ConnectionDone())

    def _look_at_output(self) -> None:
        if self._other.lost and self._unread:
            # As by a reset: nobody will read it.  What the other end sent before comes first.
            if not (self._reading and self._other._unread):
                self._lose(ConnectionLost())
        elif len(self._unread) > KERNEL_SEND_BUFFER:
            pass
        elif self._producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            self._soon()
            self._producer.resumeProducing()
        elif self.disconnecting:
            self._lose(ConnectionDone())
        elif self._half_closing and not self._end_sent:
            self._end_sent = True
            self._other._soon()
            if IHalfCloseableProtocol.providedBy(self._protocol):
                self._call(self._protocol.writeConnectionLost)

    def _call(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call the protocol; a fault of its ends this connection, as a reactor does it."""
        try:
            call(*arguments)
        except Exception as error:
            self._log.failure("a protocol failed on a connection in memory")
            if not self.lost:
                self._lose(error)

    def _lose(self, reason: Exception) -> None:
        self.lost = self._end_sent = True
        self._reading = False
        in_order = isinstance(reason, ConnectionDone)
        if not in_order:
            self._unread.clear()
            if not isinstance(reason, ConnectionLost):
                self._other._doom = self._other._doom or ConnectionLost
        self._other._soon()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self._call(self._protocol.connectionLost, Failure(reason))
        if self._when_lost is not None:
            self._when_lost()
