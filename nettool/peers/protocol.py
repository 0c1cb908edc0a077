"""
The connection around a session.

In: Twisted's callbacks.  Out: the session's calls, with the time; the close that its last lines survive.
Never: a decision about who gets a line.

A close, in order: the last line is flushed, our writing side is closed, input is read and thrown away until its end or
for `LINGER` seconds.  A socket closed with unread input would make the kernel reset the connection, and the reset would
overtake the last lines.  TLS as Twisted has it knows no half-close: there close_notify takes its place, and Twisted
reads on until the other's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf, isinf
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.errors import CloseReason, ReturnReason
from nettool.interfaces import IShell
from nettool.outbox.pump import Pump
from nettool.peers import reads
from nettool.peers.ready import can_read
from nettool.peers.session import Phase, Session
from nettool.settings import LINGER, READ, SHUTDOWN_RETURNS, Settings

if TYPE_CHECKING:
    from nettool.peers.factory import PeerFactory

SMALL = 4096
"""Bytes of a read after which, if little else happens in this turn, what it brought is written at once."""

SLICE = 0.02
"""Seconds for which one read may be worked off line by line, before others have their turn."""


class Stage(Enum):
    """How far a close has come."""

    OPEN = "open"
    FLUSHING = "flushing"
    """The last line is in the outbox."""
    LINGERING = "lingering"
    """All was handed to the transport; input is thrown away."""
    CLOSING = "closing"
    """The transport has been told to close; what it still holds may keep it."""


@implementer(IHalfCloseableProtocol, IShell)
class PeerProtocol(Protocol):
    """One peer's connection.

    Invariant: `session.ended` is called exactly once, when nothing more can be written, however that came about.
    """

    _log = Logger()
    factory: PeerFactory

    def __init__(self, factory: PeerFactory) -> None:
        self.factory = factory
        self.session = Session(factory.broker, factory.live, self)
        self._pump = Pump(self.session.outbox, factory.live, factory.clock, factory.turn, self._too_slow, self._broke)
        self._timer: IDelayedCall | None = None
        self._input_ended = False
        self._stage = Stage.OPEN
        self._end_by = inf
        """When it is aborted at the latest, once it closes, whatever has not gone by then."""
        self._lost = False
        self.admitted = False
        """Whether it counts towards the limit on peers."""
        self.connected_at = 0.0
        """When it was made, in seconds of the node's clock."""

    # What Twisted tells

    def connectionMade(self) -> None:
        """A peer has connected."""
        limit = self.factory.connected(self)
        try:
            self._pump.start(self._transport)
            if self._pump.is_plain and can_read(self._transport, self.factory.clock):
                self.factory.ready.take_over(self._transport)
        except Exception:
            self._broke(Failure())
            return
        if limit:
            self._guard(self.session.refuse_at_door, limit)
        elif self.factory.draining:
            self._guard(self.session.close, CloseReason.SHUTDOWN, SHUTDOWN_RETURNS)
        elif self.session.phase is Phase.LOGIN:
            self._set_timer(self.factory.live.peers.login_timeout, self._login_timed_out)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came in, from a transport that the reactor reads itself."""
        now = self.factory.clock.seconds()
        self.read(data, now)
        turn = self.factory.turn
        if len(data) <= SMALL and turn.is_quiet(now):
            turn.run(now)
        else:
            turn.schedule()

    def read(self, data: bytes, now: float) -> None:
        """Bytes came in; the turn's end follows, with what others brought."""
        try:
            self.session.received(data, now)
            if len(data) >= READ and self._pump.is_plain:
                self._pump.lowest.bufferSize = reads.size_after(data, self.factory.live.delivery.outbox_bytes)
        except Exception:
            self._broke(Failure())

    def readConnectionLost(self) -> None:
        """The peer has closed its writing side: it may still read."""
        self._input_ended = True
        if self.session.phase is Phase.GONE:
            self._transport.loseConnection()
        else:
            self._guard(self.session.end_of_input)
            self.factory.turn.schedule()

    def writeConnectionLost(self) -> None:
        """Our writing side is closed, and all that was written has gone to the kernel."""
        self._guard(self.session.ended, ReturnReason.DISCONNECTED)
        self.factory.turn.schedule()
        if self._input_ended:
            self._transport.loseConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionAborted())) -> None:  # noqa: B008
        """Both sides are closed."""
        self._lost = True
        self._cancel_timer()
        self._pump.stop()
        self._guard(self.session.ended, ReturnReason.DISCONNECTED)
        self.factory.turn.schedule()
        self.factory.disconnected(self)

    # What the session asks

    def stop_reading(self) -> None:
        """See `IShell`."""
        if not self._lost and not self._input_ended:
            self._transport.pauseProducing()

    def read_on(self) -> None:
        """See `IShell`."""
        self.factory.turn.soon(self._read_on)

    def has_time(self, since: float) -> bool:
        """See `IShell`."""
        return self.factory.clock.seconds() - since < SLICE

    def logged_in(self) -> None:
        """See `IShell`."""
        self._cancel_timer()

    def end_within(self, seconds: float) -> None:
        """See `IShell`."""
        if self._lost:
            return
        now = self.factory.clock.seconds()
        sooner = now + seconds < self._end_by
        self._end_by = min(self._end_by, now + seconds)
        if self._stage is Stage.OPEN:
            self._stage = Stage.FLUSHING
            self._set_timer(seconds, self.abort)
            self._pump.when_empty(self._flushed)
        elif sooner and self._stage is Stage.FLUSHING:
            self._set_timer(seconds, self.abort)
        elif sooner and self._stage is Stage.CLOSING:
            self._set_timer(max(seconds, LINGER / 2), self.abort)

    def abort(self) -> None:
        """See `IShell`."""
        if not self._lost:
            self._cancel_timer()
            self._pump.stop()
            self._transport.abortConnection()

    # What the factory asks

    def when_flushed(self, call: Callable[[PeerProtocol], None]) -> None:
        """Call this when all that is queued has gone; never, if the connection ends before."""
        self._pump.when_empty(lambda: call(self))

    def settings_changed(self, before: Settings) -> None:
        """Timers are set by what is in force now.  A time that is shorter than before begins anew."""
        live = self.factory.live
        try:
            if self.session.phase is Phase.LOGIN and live.peers.login_timeout != before.peers.login_timeout:
                self._set_timer(live.peers.login_timeout, self._login_timed_out)
            self._pump.settings_changed(live.delivery.stall_timeout < before.delivery.stall_timeout)
        except Exception:
            self._broke(Failure())

    # What follows

    @property
    def _transport(self) -> Any:
        return self.transport

    def _read_on(self) -> None:
        if self._lost:
            return
        self._guard(self.session.go_on)
        if not self._input_ended and self.session.wants_input:
            self._transport.resumeProducing()

    def _flushed(self) -> None:
        """The last line has been handed over: close so that it arrives."""
        half_closes = self._pump.half_closes
        self._pump.stop()
        if half_closes and not self._input_ended:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()
        self._stage = Stage.LINGERING
        # What TLS has encrypted may still be in the buffer of the socket under it: the second half is for that.
        self._set_timer(LINGER if half_closes else LINGER / 2, self._end_lingering)

    def _end_lingering(self) -> None:
        """Close in an orderly way: the kernel goes on sending what it holds, which an abort would throw away."""
        self._stage = Stage.CLOSING
        left = min(self._end_by - self.factory.clock.seconds(), self.factory.live.delivery.stall_timeout)
        self._set_timer(max(left, LINGER / 2), self.abort)
        (self._pump.lowest or self._transport).loseConnection()

    def _login_timed_out(self) -> None:
        if self.session.phase is Phase.LOGIN:
            self._guard(self.session.login_timed_out)
            self.factory.turn.run()

    def _too_slow(self, limit: float) -> None:
        self._log.warn("slow consumer: {name!r} at {peer}", event="slow-consumer", name=self.who, peer=self.peer)
        self._guard(self.session.too_slow, limit)
        self.factory.turn.schedule()

    @property
    def peer(self) -> IAddress | None:
        """Where it comes from; nothing before it is made."""
        address: IAddress | None = None if self.transport is None else self._transport.getPeer()
        return address

    @property
    def who(self) -> str:
        """The peer's name as text, for a log: `{name!r}` there escapes what came from outside."""
        return self.session.name.decode("utf-8", "replace")

    def _guard(self, call: Any, *arguments: Any) -> None:
        """Call something of the session's with the time; a fault of it ends this connection, and no other."""
        try:
            call(*arguments, self.factory.clock.seconds())
        except Exception:
            self._broke(Failure())

    def _broke(self, failure: Failure) -> None:
        """There was a fault of ours, or of the transport's: it is logged and counted, and ends this connection."""
        self._log.failure(
            "the session of {name!r} at {peer} failed",
            failure,
            LogLevel.error,
            event="session-failed",
            name=self.who,
            peer=self.peer,
        )
        self.factory.broke()
        self.session.broke(self.factory.clock.seconds())
        self.abort()
        self.factory.turn.schedule()

    def _set_timer(self, seconds: float, call: Any) -> None:
        self._cancel_timer()
        if not isinf(seconds):
            self._timer = self.factory.clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
