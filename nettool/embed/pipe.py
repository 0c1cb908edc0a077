"""
A connection in memory: two transports that carry bytes to each other.

In: what the protocol at one end writes.  Out: the same bytes at the other end, in later turns of the reactor, in reads
of at most `READ`.  Never: a socket, a byte delivered inside the call that wrote it, a buffer that nobody is told of.

It behaves as a TCP connection of Twisted's does, with `KERNEL_SEND_BUFFER` bytes in each direction in the place of the
kernel's buffers: what is beyond them pauses the producer; a connection that is closed in order delivers what was
written before; one that is aborted does not; whoever goes on writing to an end that has closed is told that the
connection is lost, after what that end sent before.
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
from twisted.logger import Logger, LogLevel
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
        self._writing = False
        """Something was written, or is to be closed, since the last look at the output."""
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._reading = True
        self._input_ended = False
        self._half_closing = False
        self._end_sent = False
        self._in_vain = False
        """Something is written, or waits to be, to an end that is lost; a network would answer with a reset."""
        self._doom: Exception | None = None
        """What the protocol is told in the next turn, before anything else."""
        self._turn_is_due = False
        self.disconnecting = False
        self.lost = False

    def join(self, protocol: IProtocol, other: End) -> None:
        """Bytes will go between this protocol and the other end's."""
        self._protocol = protocol
        self._other = other

    def begin(self) -> Failure | None:
        """Tell the protocol that it is connected; a fault of it is returned, and ends the connection."""
        try:
            self._protocol.makeConnection(self)
        except Exception as error:
            self._be_lost(error)
            return Failure()
        return None

    # Writing

    @property
    def held(self) -> int:
        """See `IOwnTransport`."""
        return len(self._unread)

    def write(self, data: bytes) -> None:
        """Send; a push producer is paused in this call when the other end is too far behind."""
        _must_be_bytes(data)
        if self.lost or self._half_closing or not data:
            return
        if self._doom is not None or self._other.lost:
            self._in_vain = True
            self._soon()
            self._pause_producer()
            return
        self._unread += data
        self._writing = True
        self._other._soon()
        if self.disconnecting or (self._producer is not None and not self._streaming):
            self._soon()
        if len(self._unread) > KERNEL_SEND_BUFFER:
            self._pause_producer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all of these."""
        pieces = list(data)
        for piece in pieces:
            _must_be_bytes(piece)
        self.write(b"".join(pieces))

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
        self._producer, self._streaming = None, False
        self._writing = True
        self._soon()

    def _pause_producer(self) -> None:
        if self._producer is not None and self._streaming:
            self._producer_paused = True
            self._producer.pauseProducing()

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
        self._writing = True
        self._soon()

    def loseWriteConnection(self) -> None:
        """Send no more than was written; go on reading."""
        self._half_closing = True
        self._writing = True
        self._soon()

    def abortConnection(self) -> None:
        """Close at once; what the other end has not read is thrown away."""
        self._reading = False
        self._unread.clear()
        self._be_lost(ConnectionAborted())

    # What protocols ask of a TCP transport; it is none, since its addresses are not of IP

    def getPeer(self) -> IAddress:
        """The other end."""
        return self._peer

    def getHost(self) -> IAddress:
        """This end."""
        return self._host

    def getTcpNoDelay(self) -> bool:
        """Nothing is held back here."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Without effect."""

    def getTcpKeepAlive(self) -> bool:
        """There is no network that could fail."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Without effect."""

    # A turn

    def _soon(self) -> None:
        if not self._turn_is_due and not self.lost:
            self._turn_is_due = True
            self._clock.callLater(0, self._turn)

    def _be_lost(self, reason: Exception) -> None:
        self._doom = reason
        self._soon()

    def _turn(self) -> None:
        self._turn_is_due = False
        if self.lost:
            return
        if self._doom is not None:
            self._lose(self._doom)
            return
        if self._reading:
            self._read(READ)
        self._look_at_output()

    def _read(self, most: int) -> None:
        other = self._other
        if other._unread:
            data = bytes(other._unread[:most])
            del other._unread[:most]
            self._soon()
            other._soon()
            self._call(self._protocol.dataReceived, data)
        elif other._end_sent and not self._input_ended and not self._in_vain:
            self._input_ended = True
            self._reading = False
            if IHalfCloseableProtocol.providedBy(self._protocol):
                self._call(self._protocol.readConnectionLost)
            else:
                self._lose(ConnectionDone())

    def _look_at_output(self) -> None:
        if self.lost or self._doom is not None:
            return
        if self._in_vain:
            # What the other end sent before comes first, if anybody reads it.
            if not (self._other._unread and self._reading):
                self._lose(ConnectionLost())
        elif not self._writing or len(self._unread) > KERNEL_SEND_BUFFER:
            pass
        elif self._producer is not None and (self._producer_paused or not self._streaming):
            self._writing = self._producer_paused = False
            self._call(self._producer.resumeProducing)
        elif self.disconnecting:
            self._lose(ConnectionDone())
        else:
            self._writing = False
            if self._half_closing and not self._end_sent:
                self._end_sent = True
                self._other._soon()
                if IHalfCloseableProtocol.providedBy(self._protocol):
                    self._call(self._protocol.writeConnectionLost)

    def _call(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call the protocol or its producer; a fault of theirs ends this connection, as a reactor does it."""
        try:
            call(*arguments)
        except Exception as error:
            self._log.failure(
                "a protocol failed on a connection in memory, of {peer}",
                level=LogLevel.error,
                event="inside-failed",
                peer=self._peer,
            )
            if not self.lost:
                self._lose(error)

    def _lose(self, reason: Exception) -> None:
        self.lost = self._end_sent = True
        self._reading = False
        other, producer, self._producer = self._other, self._producer, None
        other._in_vain |= len(other._unread) > KERNEL_SEND_BUFFER  # what is within, a kernel would have taken
        other._unread.clear()
        if other.lost or not isinstance(reason, ConnectionDone):
            self._unread.clear()
            other._doom = other._doom or ConnectionLost()
        other._soon()
        if producer is not None:
            self._call(producer.stopProducing)
        self._call(self._protocol.connectionLost, Failure(reason))
        if self._when_lost is not None:
            self._call(self._when_lost)


def _must_be_bytes(data: object) -> None:
    """Twisted's transports take nothing else, and what works here has to work there."""
    if not isinstance(data, bytes):
        raise TypeError(f"bytes are written, not {type(data).__name__}")
