"""
Many connections as one.

In: connections, each with an id that the caller chose; envelopes.  Out: envelopes, from all of them, through one queue;
events.  Never: a lock, a loop that waits, an envelope taken and forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from nettool._reactor import process_reactor
from nettool.mesh.capabilities import Lifecycle, Receiver, Sender
from nettool.mesh.connection import (
    CLOSE_TIMEOUT,
    INCOMING_CAPACITY,
    MAX_ENVELOPE,
    OUTGOING_CAPACITY,
    QUEUE_BYTES,
    Connection,
)
from nettool.mesh.envelope import Added, ConnectionStats, Disconnected, Envelope, Event, Removed
from nettool.mesh.envelopes import Envelopes, check_payloads
from nettool.mesh.errors import ConnectionGone, DuplicateId, EnvelopeTooLarge, MeshClosed, NotFound, QueueFull
from nettool.mesh.incoming import Incoming
from nettool.mesh.outgoing import Outgoing
from nettool.mesh.removal import Removal


class Mesh:
    """Connections that are sent to by id, and received from by one queue.

    Everything happens in the reactor's thread.  Invariants: an id belongs to at most one connection; each envelope
    that `send` has taken is sent, in `Disconnected.unsent`, or was handed to the kernel; the incoming queue and each
    outgoing one keep their bounds.

    `incoming_capacity` and `outgoing_capacity` are in envelopes, `incoming_bytes` and `outgoing_bytes` in bytes of
    payload: a queue is full when either is reached.  One envelope always fits into an empty queue.  The incoming queue
    is for all connections, an outgoing one for each.  `max_envelope` is the longest payload, both ways.
    """

    _log = Logger()

    def __init__(
        self,
        incoming_capacity: int = INCOMING_CAPACITY,
        outgoing_capacity: int = OUTGOING_CAPACITY,
        *,
        incoming_bytes: int = QUEUE_BYTES,
        outgoing_bytes: int = QUEUE_BYTES,
        max_envelope: int = MAX_ENVELOPE,
        reactor: Any = None,
    ) -> None:
        limits = (incoming_capacity, outgoing_capacity, incoming_bytes, outgoing_bytes, max_envelope)
        if min(limits) < 1:
            raise ValueError("capacities, bytes and max_envelope are at least 1")
        self._clock = process_reactor() if reactor is None else reactor
        self._outgoing_capacity = outgoing_capacity
        self._outgoing_bytes = outgoing_bytes
        self._max = max_envelope
        self._incoming = Incoming(incoming_capacity, incoming_bytes, self._clock)
        self._connections: dict[Hashable, Connection] = {}
        self._outgoing: dict[Hashable, Outgoing] = {}
        """Of the connections that can be sent to: not of those that are being removed."""
        self._subscribers: list[Callable[[Event], object]] = []
        self._removals: dict[Hashable, Removal] = {}
        self._closed = False
        self._closers: list[Deferred[None]] = []

    # Connections

    def add(self, connection: Connection, id: Hashable) -> None:
        """Take a connection over: what it brings is received here, with this id.

        Raises `DuplicateId`, `AlreadyInUse` if the connection is in a mesh already, `ConnectionGone` if it is being
        closed, and `MeshClosed`.  A connection
        that has ended is taken, too: what it brought is received, then it is told as `Disconnected`.
        """
        if self._closed:
            raise MeshClosed()
        if not isinstance(connection, Connection):
            raise TypeError(f"a mesh takes connections (is an `await` missing?), not {connection!r}")
        if id in self._connections:
            raise DuplicateId(id)
        connection.check_free()
        connection.outgoing.set_bounds(self._outgoing_capacity, self._outgoing_bytes, self._max)
        connection.wire.limit(self._max)
        self._connections[id] = connection
        self._outgoing[id] = connection.outgoing
        connection.join(id, self._incoming, self._disconnected)
        self._tell(Added(id))
        connection.bring()

    def remove(self, id: Hashable, timeout: float | None = None) -> Deferred[Connection]:
        """Send what is queued for it, then hand the connection back: alive, paused, with nothing read and lost.

        From the call on it takes no more envelopes and is not read; what is in the incoming queue stays there.  Fails
        with `NotFound`, with the built-in `TimeoutError` (seconds) if it takes too little too slowly, which leaves it
        in the mesh as it was, as cancelling does, with `ConnectionGone` if it ends meanwhile, and with `MeshClosed`.
        """
        if self._closed:
            return fail(MeshClosed())
        outgoing = self._outgoing.pop(id, None)
        if outgoing is None:
            return fail(NotFound(id))
        removal = Removal(self._clock, outgoing, partial(self._removed, id), partial(self._stays, id, outgoing))
        self._removals[id] = removal
        self._connections[id].stop_reading()
        removal.begin(timeout)
        return removal.deferred

    def _removed(self, id: Hashable) -> Connection:
        connection = self._connections.pop(id)
        del self._removals[id]
        connection.leave()
        self._tell(Removed(id))
        return connection

    def _stays(self, id: Hashable, outgoing: Outgoing) -> None:
        """It was not removed in time."""
        del self._removals[id]
        self._outgoing[id] = outgoing
        self._connections[id].stay()

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have `callback` told of `Added`, `Removed` and `Disconnected`; what is returned ends that.

        It is called within the reactor's turn in which it happened, and should return soon; its exceptions are logged.
        """
        self._subscribers.append(callback)
        return partial(self._unsubscribe, callback)

    def _unsubscribe(self, callback: Callable[[Event], object]) -> None:
        if callback in self._subscribers:
            self._subscribers.remove(callback)

    def _tell(self, event: Event) -> None:
        for callback in tuple(self._subscribers):
            try:
                callback(event)
            except Exception:
                self._log.failure("a subscriber of a mesh failed at {told}", event="subscriber-failed", told=event)

    def _disconnected(self, connection: Connection) -> None:
        id = connection.id
        reason = connection.reason
        assert reason is not None
        del self._connections[id]
        self._outgoing.pop(id, None)
        if id in self._removals:
            self._removals.pop(id).fail(ConnectionGone(reason))
        unsent = [Envelope(id, payload) for payload in connection.unsent]
        if self._closed:
            reason = MeshClosed() if not unsent else MeshClosed(f"the mesh was closed, and not all was sent: {reason}")
        self._tell(Disconnected(id, reason, unsent))

    # Sending

    def send(self, envelope: Envelope) -> None:
        """Take an envelope, without waiting.

        Raises `QueueFull`, `NotFound` or `ConnectionGone`, each with the envelope as its `.envelope`;
        `EnvelopeTooLarge`, `MeshClosed`, and `TypeError` where the payload is not bytes.
        """
        id, payload = envelope
        outgoing = self._outgoing.get(id)
        # This is `Outgoing.put`, where it has nothing to decide: a call less for each envelope.
        if outgoing is not None and type(payload) is bytes:
            queue = outgoing.queue
            held = outgoing.held + len(payload)
            if len(queue) < outgoing.room and held <= outgoing.soft:
                if not queue:
                    outgoing.wake()
                queue.append(payload)
                outgoing.held = held
                return
        outgoing = self._check(envelope)
        if not outgoing.put(payload):
            raise self._refusal(envelope, outgoing)

    def _check(self, envelope: Envelope) -> Outgoing:
        """Where it goes; raises whatever is wrong with it."""
        id, payload = envelope
        check_payloads((payload,))
        if len(payload) > self._max:
            raise self._too_large(envelope)
        if self._closed:
            raise MeshClosed(envelopes=[envelope])
        outgoing = self._outgoing.get(id)
        if outgoing is None:
            raise NotFound(id, envelope)
        return outgoing

    def _too_large(self, envelope: Envelope) -> EnvelopeTooLarge:
        return EnvelopeTooLarge(f"{len(envelope[1])} bytes are more than max_envelope={self._max}", envelope)

    def _refusal(self, envelope: Envelope, outgoing: Outgoing) -> Exception:
        gone = outgoing.closed
        if isinstance(gone, ConnectionGone):
            return ConnectionGone(gone.reason, envelope)
        if gone is not None:
            return ConnectionGone(gone, envelope)
        return QueueFull(f"the queue for {envelope[0]!r} has {len(outgoing.queue)} envelopes", envelope)

    def send_when_ready(self, envelope: Envelope) -> Deferred[None]:
        """Take an envelope as soon as there is room in that one connection's queue.

        Who waits comes first: `send` to that connection is `QueueFull` meanwhile.  The Deferred can be cancelled, and
        the envelope is not sent then.  It fails as `send` does, but never with `QueueFull`.
        """
        try:
            outgoing = self._check(envelope)
        except Exception:
            ready: Deferred[None] = Deferred()
            ready.errback(Failure())
            return ready
        return outgoing.when_ready(envelope[1]).addErrback(self._with_envelope, envelope, outgoing)

    def _with_envelope(self, failure: Failure, envelope: Envelope, outgoing: Outgoing) -> Failure:
        if failure.check(ConnectionGone, MeshClosed):
            return Failure(MeshClosed(envelopes=[envelope]) if self._closed else self._refusal(envelope, outgoing))
        return failure

    def send_many(self, envelopes: Iterable[Envelope]) -> None:
        """Take many envelopes, without waiting: all that can be taken.

        Raises the error of the first that was not, with all that were not in `.envelopes`, in order; of a connection
        that refused one, none that follows is taken.
        """
        many = envelopes if isinstance(envelopes, Envelopes) else Envelopes(envelopes)
        taken: dict[Hashable, int] = {}
        errors: dict[Hashable, Any] = {}
        runs = many.by_id()
        if runs and self._closed:
            raise MeshClosed(envelopes=many)
        for id, payloads in runs:
            count, error = self._send_run(id, payloads)
            if error is not None:
                taken[id], errors[id] = count, error
        if errors:
            left = many.without(taken)
            first = errors[left[0][0]]
            first.envelopes = left
            raise first

    def _send_run(self, id: Hashable, payloads: list[bytes]) -> tuple[int, Exception | None]:
        """How many of these were taken, from the first on, and why it was not all."""
        outgoing = self._outgoing.get(id)
        if outgoing is None:
            return 0, NotFound(id, Envelope(id, payloads[0]))
        error: Exception | None = None
        size = sum(map(len, payloads))
        if size > self._max:
            large = next((index for index, payload in enumerate(payloads) if len(payload) > self._max), None)
            if large is not None:
                error = self._too_large(Envelope(id, payloads[large]))
                payloads = payloads[:large]
                size = sum(map(len, payloads))
        taken = outgoing.put_many(payloads, size)
        if taken < len(payloads):
            error = self._refusal(Envelope(id, payloads[taken]), outgoing)
        return taken, error

    # Receiving

    def recv(self, timeout: float | None = None) -> Deferred[Envelope]:
        """The next envelope; each goes to one receiver, those who wait longest first.

        Fails with the built-in `TimeoutError` (seconds), or with `MeshClosed` when the mesh is closed and all that it
        had was received.  Cancelled, it takes nothing.
        """
        return self._incoming.recv(timeout)

    def recv_many(self, limit: int, timeout: float | None = None) -> Deferred[Envelopes]:
        """What is there, at most `limit` envelopes and at least one; otherwise like `recv`."""
        return self._incoming.recv_many(limit, timeout)

    def __aiter__(self) -> AsyncIterator[Envelope]:
        """Every envelope that no other receiver has; ends when the mesh is closed and all was received."""
        return self._incoming.iterate()

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """Have these received again, before everything else: who received them could not take them."""
        self._incoming.put_back(envelopes)

    # Capabilities

    def sender(self) -> Sender:
        """An object that can only send."""
        return Sender(self)

    def receiver(self) -> Receiver:
        """An object that can only receive."""
        return Receiver(self)

    def lifecycle(self) -> Lifecycle:
        """An object that can only add and remove connections."""
        return Lifecycle(self)

    # What an operator sees

    def stats(self) -> dict[Hashable, ConnectionStats]:
        """Each connection at this moment; takes time in proportion to what is queued."""
        queued = self._incoming.by_id()
        nothing = (0, 0)
        return {
            id: ConnectionStats(
                queued_out=len(connection.outgoing.queue),
                queued_out_bytes=connection.outgoing.held,
                queued_in=queued.get(id, nothing)[0] + len(connection.pending),
                queued_in_bytes=queued.get(id, nothing)[1] + sum(map(len, connection.pending)),
                sent=connection.outgoing.sent,
                received=connection.received,
                paused_since=connection.paused_since,
                blocked_since=connection.outgoing.blocked_since,
            )
            for id, connection in self._connections.items()
        }

    # The end

    def close(self, timeout: float = CLOSE_TIMEOUT) -> Deferred[None]:
        """Stop reading, send what is queued, then close every connection; cut off what takes longer, in seconds.

        Receivers still get what was read.  Each connection is told as `Disconnected`, with what was not sent.
        Cancelling it cuts everything off at once.  Of several calls the shortest time holds.
        """
        closed: Deferred[None] = Deferred(self._abort)
        self._closers.append(closed)
        if not self._closed:
            self._closed = True
            self._incoming.close()
            removals, self._removals = self._removals, {}
            for removal in removals.values():
                removal.fail(MeshClosed())
        connections = tuple(self._connections.values())
        gatherResults([connection.close(timeout) for connection in connections]).addCallback(self._all_closed)
        return closed

    def _all_closed(self, _: object) -> None:
        closers, self._closers = self._closers, []
        for closed in closers:
            closed.callback(None)

    def _abort(self, closed: Deferred[None]) -> None:
        self._closers.remove(closed)
        for connection in tuple(self._connections.values()):
            connection.abort()
