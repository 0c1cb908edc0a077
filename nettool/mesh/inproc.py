"""
Connections inside the process, by name.

In: payloads at one end.  Out: the same objects at the other, in a later turn.  Never: a copy, a payload delivered
inside the call that sent it, more on its way than a socket would hold.

The names are the process's.  What is on its way counts as in a kernel's buffers: its bytes, and a header each.  An end
that is closed in order is noticed after all that was sent before; what it never took goes back to whoever sent it.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as Refused
from zope.interface import implementer

from nettool._reactor import process_reactor
from nettool.mesh.connection import MAX_ENVELOPE, Connection
from nettool.mesh.errors import BadAddress, FrameTooLong, UnknownScheme
from nettool.mesh.framing import HEADER
from nettool.mesh.interfaces import ITransport, IWire
from nettool.mesh.listener import Listener
from nettool.mesh.turn import MeshTurn
from nettool.settings import KERNEL_SEND_BUFFER, READ

_listeners: dict[str, tuple[Listener, int]] = {}
"""By name, each with the longest envelope that its end takes."""
_numbers = count(1)


@implementer(IWire)
class InprocWire:
    """One end.

    Invariant: `blocked` while what is on its way from here is more than `KERNEL_SEND_BUFFER`.
    """

    def __init__(self, turn: MeshTurn, local: str, remote: str, max_envelope: int) -> None:
        self._turn = turn
        self.local_endpoint = local
        self.remote_endpoint = remote
        self.blocked = False
        self.owner: Any = None  # an IWireOwner
        self.other: InprocWire = self
        self._inbox: list[bytes] = []
        """What the other end has sent and this one has not taken."""
        self._held = 0
        self._reading = False
        self._limit = max_envelope
        self._due = False
        self._end: BaseException | None = None
        """Comes after the inbox: the other end has finished."""
        self._lost: BaseException | None = None
        """Comes before it."""
        self._ended = False
        self._lost_payloads: list[bytes] = []

    # IWire

    def write(self, payloads: list[bytes]) -> None:
        """See `IWire`."""
        other = self.other
        if other._ended:
            self._lost_payloads += payloads
            self.blocked = True
            self._soon()
            return
        other._inbox += payloads
        other._held += sum(map(len, payloads)) + HEADER * len(payloads)
        self.blocked = other._held > KERNEL_SEND_BUFFER
        other._soon()

    def pause(self) -> None:
        """See `IWire`."""
        self._reading = False

    def resume(self) -> None:
        """See `IWire`."""
        self._reading = True
        self._soon()

    def limit(self, max_envelope: int) -> None:
        """See `IWire`."""
        self._limit = max_envelope

    def unsent(self) -> list[bytes]:
        """See `IWire`."""
        other = self.other
        left = self._lost_payloads
        if other._ended:
            left, other._inbox = other._inbox + left, []
        return left

    def finish(self) -> None:
        """See `IWire`."""
        self.other._end = ConnectionDone()
        self._lose(ConnectionDone())
        self.other._soon()

    def abort(self) -> None:
        """See `IWire`."""
        self._break(ConnectionAborted(), ConnectionLost())

    def _break(self, here: BaseException, there: BaseException) -> None:
        """End without order: what the other end has not taken from here is not taken any more."""
        if self._ended:
            return
        other = self.other
        self._lost_payloads, other._inbox = other._inbox + self._lost_payloads, []
        other._lost = there
        self._lose(here)
        other._soon()

    # A turn

    def _soon(self) -> None:
        if not self._due and not self._ended:
            self._due = True
            self._turn.soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._ended:
            return
        if self._lost is not None:
            self._lose(self._lost)
        elif self._reading and self._inbox:
            self._take()
        elif self._reading and self._end is not None:
            self._lose(self._end)
        elif self.blocked and self.other._ended:
            self._lose(ConnectionLost())

    def _take(self) -> None:
        """Give the owner as much as one read would have been."""
        inbox, size, taken = self._inbox, 0, 0
        for payload in inbox:
            if len(payload) > self._limit:
                break
            size += HEADER + len(payload)
            taken += 1
            if size >= READ:
                break
        payloads = inbox[:taken]
        del inbox[:taken]
        self._held -= size
        if self.other.blocked and self._held <= KERNEL_SEND_BUFFER // 2:
            self.other._unblock()
        if payloads:
            self._turn.begin_read()
            try:
                self.owner.arrived(payloads, size)
            finally:
                self._turn.end_read(size)
        if self._reading and inbox and len(inbox[0]) > self._limit and not self._ended:
            error = FrameTooLong(len(inbox[0]), self._limit)
            self._break(error, ConnectionLost())
            return
        self._soon()

    def _unblock(self) -> None:
        if not self._ended:
            self._turn.soon(self._be_writable)

    def _be_writable(self) -> None:
        if self.blocked and not self._ended and not self.other._ended:
            self.blocked = False
            self.owner.writable()

    def _lose(self, reason: BaseException) -> None:
        if self._ended:
            return
        self._ended = self.blocked = True
        other = self.other
        if not other._ended and other._lost is None and other._end is None:
            other._end = ConnectionDone()
        other._soon()
        self._turn.soon(lambda: self.owner.ended(reason))


@implementer(ITransport)
class InprocTransport:
    """See `ITransport`: addresses are `inproc://name`."""

    schemes = ("inproc",)

    def __init__(self, reactor: Any = None, max_envelope: int = MAX_ENVELOPE) -> None:
        self._turn = MeshTurn(process_reactor() if reactor is None else reactor)
        self._max_envelope = max_envelope

    def listen(self, address: str) -> Deferred[Listener]:
        """See `ITransport`."""
        try:
            name = _name(address)
        except Exception:
            return fail()
        if name in _listeners:
            return fail(CannotListenError(None, name, OSError("the name is taken in this process")))
        listener = Listener(self._turn.clock, f"inproc://{name}", lambda: _stop(name))
        _listeners[name] = listener, self._max_envelope
        return succeed(listener)

    def connect(self, address: str) -> Deferred[Connection]:
        """See `ITransport`."""
        try:
            name = _name(address)
        except Exception:
            return fail()
        listener, max_there = _listeners.get(name, (None, 0))
        if listener is None or listener.full:
            return fail(Refused(f"nobody listens at inproc://{name}" if listener is None else f"{name} is overrun"))
        there, here = f"inproc://{name}", f"inproc://{name}#{next(_numbers)}"
        near = InprocWire(self._turn, here, there, self._max_envelope)
        far = InprocWire(self._turn, there, here, max_there)
        near.other, far.other = far, near
        near.owner = Connection(near, self._turn, self._max_envelope)
        far.owner = Connection(far, self._turn, max_there)
        listener.made(far.owner)
        return succeed(near.owner)


def _stop(name: str) -> Deferred[None]:
    del _listeners[name]
    return succeed(None)


def _name(address: str) -> str:
    scheme, separator, name = address.partition("://")
    if not separator or scheme.lower() != "inproc":
        raise UnknownScheme(scheme if separator else address, InprocTransport.schemes)
    if not name:
        raise BadAddress(f"{address!r} has no name: it is written inproc://name")
    return name
