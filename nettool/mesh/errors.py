"""
What can go wrong with a mesh.

In: nothing.  Out: exceptions; each says in its text what happened, and those of `send` carry what was not taken.
Never: an exception of Twisted's where a caller has to tell cases apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nettool.mesh.envelope import Envelope


class MeshError(Exception):
    """Any of the errors below."""


class SendError(MeshError):
    """An envelope was not taken.

    `envelope` is that envelope.  `envelopes` is all that the same call did not take, in order: more than one only after
    `send_many`, which takes what it can.
    """

    def __init__(self, message: str, envelope: Envelope, envelopes: Sequence[Envelope] = ()) -> None:
        super().__init__(message)
        self.envelope = envelope
        self.envelopes = list(envelopes) or [envelope]


class QueueFull(SendError):
    """The outgoing queue of that connection is full: wait with `send_when_ready`, or give the envelope up."""


class ConnectionGone(MeshError):
    """The connection has ended, or is about to.

    `reason` says why, and `envelope` what was not taken, if it was that.
    """

    def __init__(self, reason: BaseException, envelope: Envelope | None = None) -> None:
        super().__init__(f"the connection is gone: {reason}")
        self.reason = reason
        self.envelope = envelope
        self.envelopes = [] if envelope is None else [envelope]


class NotFound(MeshError):
    """No connection of this mesh has that id; `envelope` is what was to be sent to it, if it was that."""

    def __init__(self, id: Hashable, envelope: Envelope | None = None) -> None:
        super().__init__(f"no connection has the id {id!r}")
        self.id = id
        self.envelope = envelope
        self.envelopes = [] if envelope is None else [envelope]


class DuplicateId(MeshError):
    """A connection of this mesh has that id already: remove it first, or choose another."""

    def __init__(self, id: Hashable) -> None:
        super().__init__(f"a connection with the id {id!r} is in the mesh already")
        self.id = id


class AlreadyInUse(MeshError):
    """The connection is in a mesh, or somebody waits for its `recv`: nobody else can have what it brings."""


class EnvelopeTooLarge(SendError, ValueError):
    """The payload is larger than `max_envelope`: no queue would ever take it."""


class MeshClosed(MeshError):
    """The mesh is closed, or in this process (a forked child) it never was open.

    Where something was to be sent, `envelope` is the first that was not taken, and `envelopes` is all of them.
    """

    def __init__(self, message: str = "the mesh is closed", envelopes: Iterable[Envelope] = ()) -> None:
        super().__init__(message)
        self.envelopes = list(envelopes)
        self.envelope = self.envelopes[0] if self.envelopes else None


class UnknownScheme(MeshError, ValueError):
    """No transport takes an address with this scheme."""

    def __init__(self, scheme: str, known: Sequence[str]) -> None:
        super().__init__(f"no transport for {scheme!r}: it is one of {', '.join(known)}")
        self.scheme = scheme


class BadAddress(MeshError, ValueError):
    """An address that its transport cannot read."""


class HandshakeFailed(MeshError):
    """TLS or WebSocket could not be agreed upon, or not in time."""


class BadFrame(MeshError):
    """The other end sent what this protocol does not allow."""


class FrameTooLong(BadFrame):
    """The other end announced an envelope larger than `max_envelope`; nothing of it was kept."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"an envelope of {length} bytes was announced, more than max_envelope={limit}")
        self.length = length
        self.limit = limit


class WrongThread(MeshError):
    """A blocking call in the reactor's own thread, which would wait for itself: use `nettool.mesh.Mesh` there."""
