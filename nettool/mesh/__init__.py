"""
mesh: many connections as one, over every transport.

In: connections, each with an id that the caller chose; envelopes to send.  Out: envelopes from all connections, by
one queue; events.  Never: a lock; a loop that waits; a queue without a bound; an envelope that was taken and forgotten.

Read `mesh` first, then in the direction of a payload: `outgoing`, `connection`, `stream` (or `inproc`) and `framing`
out, and back by `connection` and `incoming`.  `transports`, `sockets`, `listener` and `addresses` make connections;
`ws`, `websocket` and `heartbeat` are WebSocket; `secure` is what TLS trusts; `threads` is the same for programs without
a reactor, by way of `crossing`; `testing` is what every transport is held to.

What must never happen:

- A connection whose socket takes nothing holds back what is sent to it, and nothing else.
- A connection with something to bring waits for one round of the others at most.
- What `send` has taken reaches the other end, or comes back in `Disconnected.unsent`, or was handed to the kernel.
"""

from nettool.mesh.capabilities import Lifecycle, Receiver, Sender
from nettool.mesh.connection import Connection
from nettool.mesh.envelope import Added, ConnectionStats, Disconnected, Envelope, Event, Removed
from nettool.mesh.envelopes import Envelopes
from nettool.mesh.errors import (
    AlreadyInUse,
    BadAddress,
    BadFrame,
    ConnectionGone,
    DuplicateId,
    EnvelopeTooLarge,
    FrameTooLong,
    HandshakeFailed,
    MeshClosed,
    MeshError,
    NotFound,
    QueueFull,
    SendError,
    UnknownScheme,
    WrongThread,
)
from nettool.mesh.interfaces import IConnection, IListener, ITransport, IWire, IWireOwner
from nettool.mesh.listener import Listener
from nettool.mesh.mesh import Mesh
from nettool.mesh.threads import ThreadedMesh
from nettool.mesh.transports import MultiTransport, transport

__all__ = [
    "Added",
    "AlreadyInUse",
    "BadAddress",
    "BadFrame",
    "Connection",
    "ConnectionGone",
    "ConnectionStats",
    "Disconnected",
    "DuplicateId",
    "Envelope",
    "EnvelopeTooLarge",
    "Envelopes",
    "Event",
    "FrameTooLong",
    "HandshakeFailed",
    "IConnection",
    "IListener",
    "ITransport",
    "IWire",
    "IWireOwner",
    "Lifecycle",
    "Listener",
    "Mesh",
    "MeshClosed",
    "MeshError",
    "MultiTransport",
    "NotFound",
    "QueueFull",
    "Receiver",
    "Removed",
    "SendError",
    "Sender",
    "ThreadedMesh",
    "UnknownScheme",
    "WrongThread",
    "transport",
]
