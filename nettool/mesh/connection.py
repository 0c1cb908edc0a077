"""
One connection: a queue outwards, and what it brought inwards, around a wire.

In: payloads to send; what the wire brings.  Out: payloads for the wire; what came, to the mesh that the connection is
in or to whoever waits for `recv`.  Never: a payload that was read and given to nobody, nor to two.

Outside a mesh a connection is paused: only while somebody waits for `recv` is it read.  So an end of the other side is
noticed then, or when something is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from nettool.mesh.envelope import Envelope
from nettool.mesh.envelopes import check_payloads
from nettool.mesh.errors import AlreadyInUse, ConnectionGone
from nettool.mesh.incoming import Incoming
from nettool.mesh.interfaces import IConnection, IWireOwner
from nettool.mesh.outgoing import Outgoing
from nettool.mesh.turn import MeshTurn

INCOMING_CAPACITY = 512
OUTGOING_CAPACITY = 128
QUEUE_BYTES = 64 * 1024 * 1024
MAX_ENVELOPE = 16 * 1024 * 1024
CLOSE_TIMEOUT = 10.0


@implementer(IConnection, IWireOwner)
class Connection:
    """See `IConnection`.

    Invariant: it is paused while it has something pending, and outside a mesh while nobody waits for it.
    """

    def __init__(self, wire: Any, turn: MeshTurn, max_envelope: int = MAX_ENVELOPE) -> None:
        self.wire = wire  # an IWire
        self.turn = turn
        self.max_envelope = max_envelope
        self.outgoing = Outgoing(wire, turn, OUTGOING_CAPACITY, QUEUE_BYTES, max_envelope)
        self.id: Hashable = None
        """What the mesh that it is in calls it."""
        self.pending: list[bytes] = []
        """What was read and is not in the mesh's queue, nor received."""
        self.received = 0
        self.paused_since: float | None = None
        self._told_when_lost: list[Deferred[BaseException]] = []
        self.reason: BaseException | None = None
        """Why it has ended."""
        self.unsent: list[bytes] = []
        """What was queued when it ended."""
        self._incoming: Incoming | None = None
        self._when_ended: Callable[[Connection], None] | None = None
        self._receivers: deque[Deferred[bytes]] = deque()
        self._reading = False
        self._leaving = False
        self._closing: list[Deferred[None]] | None = None
        self._timer: IDelayedCall | None = None

    local_endpoint = property(lambda self: str(self.wire.local_endpoint), doc="See `IConnection`.")
    remote_endpoint = property(lambda self: str(self.wire.remote_endpoint), doc="See `IConnection`.")

    @property
    def peer_certificate(self) -> Any:
        """The other end's certificate, as `OpenSSL.crypto.X509`; none without TLS, or if it showed none."""
        return getattr(self.wire, "peer_certificate", None)

    @property
    def lost(self) -> Deferred[BaseException]:
        """See `IConnection`: one for each who asks, so that nobody takes the reason from another."""
        if self.reason is not None:
            return succeed(self.reason)
        lost: Deferred[BaseException] = Deferred(self._told_when_lost.remove)
        self._told_when_lost.append(lost)
        return lost

    def __repr__(self) -> str:
        state = f"ended: {self.reason}" if self.reason is not None else "open"
        return f"<connection from {self.local_endpoint} to {self.remote_endpoint}, {state}>"

    # What a mesh does

    def check_free(self) -> None:
        """Raise if nobody may have it: `AlreadyInUse`, or `ConnectionGone` if it is being closed."""
        if self._incoming is not None and self.reason is not None:
            raise ConnectionGone(self.reason)
        if self._incoming is not None or self._receivers:
            raise AlreadyInUse(f"{self!r} is in a mesh, or somebody waits for its recv")
        if self._closing is not None:
            raise ConnectionGone(ConnectionAborted("it is being closed"))

    def join(self, id: Hashable, incoming: Incoming, when_ended: Callable[[Connection], None]) -> None:
        """Belong to the mesh with this queue; `bring` follows."""
        self.id, self._incoming, self._when_ended = id, incoming, when_ended
        self.received = self.outgoing.sent = 0

    def bring(self) -> None:
        """Bring everything to the mesh from now on, what is pending first."""
        pending, self.pending = self.pending, []
        if pending and self._incoming is not None:
            self._incoming.arrived(self, pending, sum(map(len, pending)))
        if self.reason is not None:
            self.turn.soon(self._tell_mesh)
        else:
            self._read_on()

    def leave(self) -> None:
        """Bring nothing to the mesh any more: what it read and the mesh has no room for stays here."""
        if self._incoming is not None and self.pending:
            self._incoming.line.remove(self)
        self._incoming = self._when_ended = None
        self._leaving = False
        self.paused_since = None
        self._read(False)

    def pause(self) -> None:
        """See `Source`."""
        if self.paused_since is None and self._incoming is not None:
            self.paused_since = self.turn.clock.seconds()
            self._read(False)

    def go_on(self) -> None:
        """See `Source`."""
        self.paused_since = None
        self._read_on()

    def stop_reading(self) -> None:
        """It is about to be removed."""
        self._leaving = True
        self._read(False)

    def stay(self) -> None:
        """It is not removed after all."""
        self._leaving = False
        self._read_on()

    def _read_on(self) -> None:
        self._read(self._closing is None and not self._leaving and not self.pending)

    def _read(self, reading: bool) -> None:
        if reading is not self._reading and self.reason is None:
            self._reading = reading
            if reading:
                self.wire.resume()
            else:
                self.wire.pause()

    # What the wire tells

    def arrived(self, payloads: list[bytes], size: int) -> None:
        """See `IWireOwner`."""
        if self._incoming is not None:
            self._incoming.arrived(self, payloads, size)
            return
        self.pending += payloads
        while self.pending and self._receivers:
            self._receivers.popleft().callback(self.pending.pop(0))
        if self._incoming is None:  # whoever received may have put it into a mesh meanwhile
            self._read_for_receivers()

    def _read_for_receivers(self) -> None:
        self._read(bool(self._receivers) and self._closing is None)

    def writable(self) -> None:
        """See `IWireOwner`."""
        self.outgoing.writable()

    def ended(self, reason: BaseException) -> None:
        """See `IWireOwner`."""
        if self.reason is not None:
            return
        self.reason = reason
        self._reading = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        in_flight = self.wire.unsent()
        self.outgoing.sent -= len(in_flight)
        self.unsent = in_flight + self.outgoing.close(ConnectionGone(reason))
        receivers, self._receivers = self._receivers, deque()
        for receiver in receivers:
            receiver.errback(ConnectionGone(reason))
        self._tell_mesh()
        closing, self._closing = self._closing or [], self._closing if self._closing is None else []
        for closed in closing:
            closed.callback(None)
        told, self._told_when_lost = self._told_when_lost, []
        for lost in told:
            lost.callback(reason)

    def _tell_mesh(self) -> None:
        when_ended, self._when_ended = self._when_ended, None
        if when_ended is not None:
            when_ended(self)

    # What a program does outside a mesh

    def send(self, payload: bytes) -> Deferred[None]:
        """See `IConnection`."""
        if self._incoming is not None and self.reason is None:
            return fail(AlreadyInUse(f"{self!r} is in a mesh: send by that"))
        check_payloads((payload,))
        if len(payload) > self.max_envelope:
            raise ValueError(f"{len(payload)} bytes are more than max_envelope={self.max_envelope}")
        return self.outgoing.when_ready(payload)

    def recv(self, timeout: float | None = None) -> Deferred[bytes]:
        """See `IConnection`."""
        if self._incoming is not None and self.reason is None:
            return fail(AlreadyInUse(f"{self!r} is in a mesh: receive from that"))
        if self.pending and self._incoming is None:
            return succeed(self.pending.pop(0))
        if self.reason is not None:
            return fail(ConnectionGone(self.reason))
        if self._closing is not None:
            return fail(ConnectionGone(ConnectionAborted("it is being closed")))
        received: Deferred[bytes] = Deferred(self._forget)
        if timeout is not None:
            timer = self.turn.clock.callLater(max(timeout, 0), self._time_out, received, timeout)
            received.addBoth(partial(_cancel, timer))
        self._receivers.append(received)
        self._read(True)
        return received

    def put_back(self, payload: bytes) -> None:
        """Have this received again, before everything else: who received it could not take it."""
        if self._incoming is not None:  # it was put into a mesh meanwhile
            self.received += 1
            self._incoming.put_back([Envelope(self.id, payload)])
        else:
            self.pending.insert(0, payload)
            self.arrived([], 0)  # for those who wait

    def _forget(self, received: Deferred[bytes]) -> None:
        self._receivers.remove(received)
        self._read_for_receivers()

    def _time_out(self, received: Deferred[bytes], timeout: float) -> None:
        self._forget(received)
        received.errback(TimeoutError(f"nothing was received within {timeout:g} s"))

    def close(self, timeout: float = CLOSE_TIMEOUT) -> Deferred[None]:
        """See `IConnection`; what was read and not received can still be, if the connection is in no mesh.

        Cancelling it ends the connection at once.  Of several calls the shortest time holds.
        """
        closed: Deferred[None] = Deferred(self._cut_off)
        if self.reason is not None:
            closed.callback(None)
            return closed
        if self._closing is None:
            self._closing = [closed]
            self._read(False)
            self.outgoing.refuse(ConnectionGone(ConnectionAborted("it is being closed")))
            self.outgoing.when_empty(self._finish)
            self._timer = self.turn.clock.callLater(max(timeout, 0), self.abort)
        else:
            self._closing.append(closed)
            if self._timer is not None and self._timer.getTime() > self.turn.clock.seconds() + timeout:
                self._timer.reset(max(timeout, 0))
        return closed

    def _cut_off(self, closed: Deferred[None]) -> None:
        assert self._closing is not None
        self._closing.remove(closed)
        self.abort()

    def _finish(self) -> None:
        if self.reason is None:
            self.wire.finish()

    def abort(self) -> None:
        """End it at once."""
        if self.reason is None:
            self.wire.abort()


def _cancel(timer: IDelayedCall, result: Any) -> Any:
    if timer.active():
        timer.cancel()
    return result
