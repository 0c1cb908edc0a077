"""
The contracts of the mesh.

In: nothing.  Out: interfaces, each with what its implementer promises.  Never: an implementation.

A program uses `ITransport`, `IListener` and `IConnection`.  Whoever writes a transport of his own implements `IWire`,
puts a `nettool.mesh.connection.Connection` around it, and runs `nettool.mesh.testing.TransportContract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class ITransport(Interface):
    """A way to connect, by addresses of one scheme (or, where it picks by scheme, of several)."""

    schemes: Sequence[str] = Attribute("The schemes of the addresses that it takes, as in `tcp`.")

    def listen(address: str) -> Deferred[Any]:
        """An `IListener` at this address.

        Fails with `twisted.internet.error.CannotListenError` if it is taken, `UnknownScheme` or `BadAddress`.
        """

    def connect(address: str) -> Deferred[Any]:
        """An `IConnection` to this address, ready for envelopes; cancelling it gives the attempt up.

        Fails with `twisted.internet.error.ConnectError` if nobody is there, `HandshakeFailed`, `UnknownScheme` or
        `BadAddress`.
        """


class IListener(Interface):
    """Where connections come from; `async for` brings them, too, until it is closed."""

    endpoint: str = Attribute("The address to connect to, with the real port.")

    def accept(timeout: float | None = None) -> Deferred[Any]:
        """The next `IConnection`, its handshake done.

        Fails with the built-in `TimeoutError`, or with `MeshClosed` once the listener is closed; cancellable, and then
        no connection is lost.
        """

    def close() -> Deferred[None]:
        """Listen no more; connections that nobody accepted are closed, the others stay."""


class IConnection(Interface):
    """A connection.  Outside a mesh it is not read but while somebody waits for `recv`."""

    local_endpoint: str = Attribute("This end's address, as its transport writes it.")
    remote_endpoint: str = Attribute("The other end's.")
    lost: Deferred[BaseException] = Attribute("Fires once, with the reason, when it has ended.")

    def send(payload: bytes) -> Deferred[None]:
        """Take a payload; fires when there is room for it, and fails with `ConnectionGone`."""

    def recv(timeout: float | None = None) -> Deferred[bytes]:
        """The next payload; fails with `TimeoutError`, or with `ConnectionGone` after the last one."""

    def close(timeout: float = 10) -> Deferred[None]:
        """Send what is queued, and end; what takes longer is cut off."""


class IWire(Interface):
    """What carries payloads between the two ends of a connection, inside a `Connection`, which is its owner.

    It calls `owner.arrived(payloads, size)` with what came in one read, in order, from the reactor only;
    `owner.writable()` when it can be written to after it was blocked; `owner.ended(reason)` exactly once, after the
    last `arrived`.
    """

    blocked: bool = Attribute("It takes nothing now.  `write` must not be called.")
    local_endpoint: str = Attribute("See `IConnection`.")
    remote_endpoint: str = Attribute("See `IConnection`.")

    def write(payloads: list[bytes]) -> None:
        """Send these, in order; it may be blocked afterwards.  It holds at most 1 MiB, or one payload, at a time."""

    def pause() -> None:
        """Bring nothing more until `resume`; what was read already may still come."""

    def resume() -> None:
        """Bring payloads again, in a later turn."""

    def limit(max_envelope: int) -> None:
        """End, by `owner.ended(FrameTooLong(...))`, when a payload longer than this is announced."""

    def unsent() -> list[bytes]:
        """Once it has ended: what it was given to write and could not hand on, oldest first."""

    def finish() -> None:
        """What was written arrives, then the other end sees the end; `owner.ended` follows.  Nothing is brought."""

    def abort() -> None:
        """End at once; `owner.ended` follows, in a later turn or within this call."""


class IWireOwner(Interface):
    """What a wire calls."""

    def arrived(payloads: list[bytes], size: int) -> None:
        """These came in; `size` is at least the bytes in them."""

    def writable() -> None:
        """The wire is not blocked any more."""

    def ended(reason: BaseException) -> None:
        """Nothing comes or goes any more."""
