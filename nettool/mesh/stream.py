"""
Payloads over a stream of Twisted's: TCP, TLS, UNIX socket.

In: what a transport brings; payloads.  Out: payloads, a read at a time; chunks, a turn at a time.
Never: a wait inside the loop, a payload that is cut off counted as sent, an end that takes unread last words with it.

What bytes mean is the codec's: lengths and payloads (`Int32Codec`), or WebSocket's frames.  A close, in order: what was
written is handed on, our writing side is closed, input is read and thrown away until its end or for `LINGER` seconds;
a socket that is closed with unread input would make the kernel reset the connection, and that overtakes the last words.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.mesh.codec import Codec
from nettool.mesh.connection import CLOSE_TIMEOUT, MAX_ENVELOPE, Connection
from nettool.mesh.errors import HandshakeFailed
from nettool.mesh.interfaces import IWire
from nettool.mesh.turn import MeshTurn
from nettool.outbox.sink import Sink
from nettool.settings import LINGER

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for TLS and WebSocket to be agreed upon."""


@implementer(IWire, IPushProducer, IHalfCloseableProtocol, IHandshakeListener)
class StreamWire(Protocol):
    """One end of a stream.

    Invariant: until `opened` has fired nothing is brought; `owner.ended` is called exactly once, if `opened` fired.
    """

    def __init__(
        self,
        turn: MeshTurn,
        codec: Codec,
        scheme: str,
        *,
        max_envelope: int = MAX_ENVELOPE,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        secure: bool = False,
    ) -> None:
        self._turn = turn
        self._codec = codec
        self._scheme = scheme
        self._handshake_timeout = handshake_timeout
        self._secure = secure
        self.blocked = True
        self.local_endpoint = self.remote_endpoint = f"{scheme}://"
        self.opened: Deferred[Connection] = Deferred(lambda _: self._give_up())
        """Fires with the connection when it is ready for payloads, or fails."""
        self.owner = Connection(self, turn, max_envelope)
        self._open = False
        self._shaken = not secure
        self._sink: Any = None
        self._rest: deque[Any] = deque()
        """Pieces that the sink was not given: the end of a large payload."""
        self._flight: deque[tuple[int, list[bytes]]] = deque()
        """What may not have gone to the kernel yet, each with the number of the byte after its last one."""
        self._promised = self._given = 0
        """Bytes, since the beginning: those of payloads that were to be written, and those the sink was given."""
        self._ended = False
        self._finishing = False
        self._lost = False
        self._timer: IDelayedCall | None = None

    @property
    def peer_certificate(self) -> Any:
        """See `Connection`."""
        return self._input.getPeerCertificate() if self._secure and not self._ended else None

    # What Twisted tells

    def connectionMade(self) -> None:
        """The stream is there; a handshake may follow."""
        transport: Any = self.transport
        self._sink = Sink(transport)
        self._sink.register(self)
        self.blocked = False
        self.local_endpoint = self._name(transport.getHost())
        self.remote_endpoint = self._name(transport.getPeer())
        self._set_timer(self._handshake_timeout, self._shake_timed_out)
        self._look_whether_ready()

    def handshakeCompleted(self) -> None:
        """TLS is agreed upon."""
        self._shaken = True
        self._look_whether_ready()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came in."""
        if self._ended or self._finishing:
            return
        codec = self._codec
        payloads = codec.feed(data)
        if not self._open:
            self._look_whether_ready()
        if payloads:
            turn = self._turn
            turn.begin_read()
            try:
                self.owner.arrived(payloads, len(data))
            finally:
                turn.end_read(len(data))
        self._answer()
        if codec.error is not None:
            self._end(codec.error)
        elif codec.over:
            self._end(self._how_it_was_closed())

    def readConnectionLost(self) -> None:
        """The other end sends no more."""
        if self._ended or self._finishing:
            self._drop()
        else:
            self._end(self._how_it_was_closed())

    def writeConnectionLost(self) -> None:
        """Our writing side is closed."""

    def connectionLost(self, reason: Failure = Failure(ConnectionAborted())) -> None:  # noqa: B008
        """Both sides are closed."""
        self._lost = True
        self._cancel_timer()
        self._end(reason.value or ConnectionAborted())

    # The handshake

    def _look_whether_ready(self) -> None:
        if self._open or self._ended or not self._shaken:
            return
        begin = self._codec.begin()
        if begin:
            self._say(begin)
        if self._codec.ready:
            self._open = True
            self._cancel_timer()
            self.pause()
            self._began()
            self.opened.callback(self.owner)

    def _began(self) -> None:
        """The connection is ready."""

    def _shake_timed_out(self) -> None:
        self._end(HandshakeFailed(f"no handshake within {self._handshake_timeout:g} s"))

    def _give_up(self) -> None:
        """Nobody wants the connection any more."""
        if self._sink is not None:
            self._ended = True
            self._cancel_timer()
            self._abort()

    # The transport's side, as a consumer

    def pauseProducing(self) -> None:
        """The transport's buffer has something in it; called within a write."""
        self.blocked = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        if self._ended or self._finishing:
            return
        self.blocked = False
        self._push()
        if not self.blocked:
            self._forget_flight()
            self._answer()
            if not self.blocked:
                self.owner.writable()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` tells."""

    # IWire

    def write(self, payloads: list[bytes]) -> None:
        """See `IWire`."""
        pieces = self._codec.encode(payloads)
        self._promised += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        self._rest.extend(pieces)
        self._push()
        if self._flight:
            self._forget_flight()
        if self._rest or self._sink.held:
            self._flight.append((self._promised, payloads))

    def pause(self) -> None:
        """See `IWire`."""
        if not self._ended:
            self._input.pauseProducing()

    def resume(self) -> None:
        """See `IWire`."""
        if not self._ended:
            self._input.resumeProducing()

    def limit(self, max_envelope: int) -> None:
        """See `IWire`."""
        self._codec.limit(max_envelope)

    def unsent(self) -> list[bytes]:
        """See `IWire`: what the kernel did not take as a whole."""
        gone = self._given - self._held()
        left: list[bytes] = []
        for end, payloads in self._flight:
            if end <= gone:
                continue
            at = end - sum(map(self._codec.size, map(len, payloads)))
            for payload in payloads:
                at += self._codec.size(len(payload))
                if at > gone:
                    left.append(payload)
        return left

    def finish(self) -> None:
        """See `IWire`."""
        self._finishing = True
        self._linger()

    def abort(self) -> None:
        """See `IWire`."""
        self._abort()

    # What follows

    @property
    def _input(self) -> Any:
        return self.transport

    def _held(self) -> int:
        return self._sink.held if self._sink is not None else 0

    def _push(self) -> None:
        rest = self._rest
        while rest and not self.blocked:
            piece = rest.popleft()
            self._given += len(piece)
            self._sink.write(piece)

    def _say(self, data: bytes) -> None:
        """Write what is no payload."""
        self._promised += len(data)
        self._given += len(data)
        self._sink.write(data)

    def _answer(self) -> None:
        if not self.blocked and not self._ended:
            answers = self._codec.answers()
            if answers:
                self._say(answers)

    def _forget_flight(self) -> None:
        gone, flight = self._given - self._sink.held, self._flight
        while flight and flight[0][0] <= gone:
            flight.popleft()

    def _how_it_was_closed(self) -> BaseException:
        return ConnectionDone()

    def _end(self, reason: BaseException) -> None:
        """Nothing is brought or written any more, and the owner is told; the transport is closed behind it."""
        if self._ended:
            return
        self._ended = self.blocked = True
        self._cancel_timer()
        if self._open:
            self.owner.ended(reason)
        elif not self.opened.called:
            failed = (
                reason if isinstance(reason, HandshakeFailed) else HandshakeFailed(f"the handshake failed: {reason}")
            )
            failed.__cause__ = None if failed is reason else reason
            self.opened.errback(failed)
        if self._lost:
            return
        if self._held() or not (self._open or self._codec.farewell()):
            self._abort()
        elif not self._finishing:
            self._linger()

    def _linger(self) -> None:
        """Say the last words, then read and throw away until the other end closes, or for so long."""
        transport: Any = self.transport
        farewell = self._codec.farewell()
        if farewell and not self._sink.broken:
            self._say(farewell)
        self._sink.unregister()
        if self._sink.plain:
            transport.loseWriteConnection()
        else:
            transport.loseConnection()
        self._input.resumeProducing()
        self._set_timer(LINGER, self._drop)

    def _drop(self) -> None:
        """Close; what the kernel holds is still sent."""
        transport: Any = self._sink.lowest or self.transport
        transport.loseConnection()
        if self._ended and not self._lost:
            # It waits for the socket to be writable once more, and who never reads may see to it that it never is.
            self._set_timer(CLOSE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None and not self._lost:
            transport.abortConnection()

    def _name(self, address: Any) -> str:
        host = getattr(address, "host", None)
        if host is not None:
            return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{address.port}"
        name = getattr(address, "name", None)
        return f"{self._scheme}://{'' if name is None else name if isinstance(name, str) else name.decode()}"

    def _set_timer(self, seconds: float, call: Any) -> None:
        self._cancel_timer()
        self._timer = self._turn.clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
