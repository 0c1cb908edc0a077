"""
What an endpoint would do, without doing it.

In: an endpoint string and a factory.  Out: an `Opening`: the address, and the factory as the endpoint has wrapped it,
in TLS for example, with the certificates as they are on disk now.  Never: a bound port, before `bind`.

Twisted's endpoints parse, read files, wrap and bind in one go.  Here binding is left to the end: the endpoint is given
a reactor that only notes what it is asked for.  So everything but the address is checked before anything changes; a
port that is open can be given the wrapping of a renewed certificate; and it can be seen that two strings are one
address.  Nothing of Twisted's is taken apart for that: an endpoint's whole work is what it asks of the reactor.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EADDRINUSE
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory, IProtocolFactory
from twisted.internet.tcp import makeBinding
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from nettool.errors import SettingError
from nettool.listening.endpoints import endpoint_of, scheme, unusable

REHEARSED = ("tcp", "tcp6", "ssl", "tls", "unix")
"""Kinds that do nothing but what `_Rehearsal` notes; `systemd`, for example, closes a descriptor."""


@dataclass(frozen=True)
class Opening:
    """A port that an endpoint asks for."""

    where: tuple[str, int | str, str]
    """`tcp`, the port, the interface; or `unix`, the path, and whether there is a lock file.

    Of two openings with the same one, one can take over the other's port.
    """
    factory: IProtocolFactory
    """What accepts connections there: ours, or what the endpoint has put around it."""
    backlog: int
    mode: int = 0
    """Of a UNIX socket's file."""

    def bind(self, reactor: Any, leaving: Sequence[IListeningPort] = ()) -> IListeningPort:
        """Listen.  `leaving` are ports about to be closed: this one may overlap with them."""
        kind, address, detail = self.where
        if kind == "unix":
            return self._bind_unix(reactor)
        try:
            port: IListeningPort = reactor.listenTCP(address, self.factory, backlog=self.backlog, interface=detail)
            return port
        except CannotListenError as error:
            overlapping = [port for port in leaving if _number(port) == address]
            if getattr(error.socketError, "errno", 0) != EADDRINUSE or not overlapping:
                raise
            return self._bind_beside(reactor, overlapping)

    def _bind_beside(self, reactor: Any, ports: Sequence[Any]) -> IListeningPort:
        """Bind while ports of this process, which are about to be closed, are still bound to what overlaps.

        `tcp:6388` cannot be followed by `tcp:6388:interface=127.0.0.1` otherwise: closing first would refuse those who
        connect meanwhile, and lose the address if it could not be bound again.  Linux looks at SO_REUSEPORT of both
        sockets when the second one binds.  It is taken back at once: it would hide an address that is in use.
        """
        _, address, interface = self.where
        binding = makeBinding(interface, int(address), reuseAddress=True, reusePort=True)
        _share([port.socket for port in ports], True)
        try:
            port: Any = reactor.listenTCP(binding, self.factory, backlog=self.backlog, interface=interface)
        finally:
            _share([port.socket for port in ports], False)
        _share([port.socket], False)
        taken: IListeningPort = port
        return taken

    def _bind_unix(self, reactor: Any) -> IListeningPort:
        path, locked = str(self.where[1]), self.where[2]
        lock, owner_before = path + ".lock", _owner(path + ".lock")
        try:
            port: IListeningPort = reactor.listenUNIX(
                path, self.factory, backlog=self.backlog, mode=self.mode, wantPID=bool(locked)
            )
            return port
        except CannotListenError:
            # Twisted has locked before it failed to bind, and would refuse the next try, of this process too.
            if _owner(lock) == str(os.getpid()) != owner_before:
                os.unlink(lock)
            raise

    def take_over(self, port: Any) -> None:
        """Accept on a port that is bound at the same address, from the next connection on."""
        if port.factory is not self.factory:
            self.factory.doStart()
            port.factory, before = self.factory, port.factory
            before.doStop()
        if self.where[0] == "unix" and not str(self.where[1]).startswith("\0"):
            os.chmod(str(self.where[1]), self.mode)
        port.socket.listen(self.backlog)


def rehearse(reactor: Any, description: str, factory: Any) -> Opening | None:
    """What this endpoint would open; nothing for a kind that cannot be rehearsed.

    For a check alone neither a reactor nor a factory is needed.
    `SettingError` for a string that is no endpoint, or for keys and certificates that cannot be used.
    """
    if scheme(description) not in REHEARSED:
        return None
    noted = _Rehearsal(reactor)
    results: list[Any] = []
    try:
        endpoint_of(noted, description).listen(factory).addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()
    except SettingError:
        raise
    except Exception as error:
        raise unusable(description, error) from error
    return noted.opening


class _Rehearsal:
    """A reactor that notes what it is asked to listen on.  Everything else is the real one's."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.opening: Opening | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort | None:
        if not 0 <= port < 65536:
            raise ValueError(f"expected a port from 0 to 65535, not {port}")
        self.opening = Opening(("tcp", port, interface), factory, backlog)
        return None

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort | None:
        if IOpenSSLContextFactory.providedBy(contextFactory):
            contextFactory.getContext()  # otherwise a key that is not the certificate's would fail each handshake
        return self.listenTCP(
            port, TLSMemoryBIOFactory(contextFactory, False, factory, self._reactor), backlog, interface
        )

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort | None:
        self.opening = Opening(("unix", address, "locked" if wantPID else ""), factory, backlog, mode)
        return None


def _number(port: Any) -> int | None:
    return getattr(port.getHost(), "port", None)


def _owner(lock: str) -> str:
    try:
        return os.readlink(lock)
    except OSError:
        return ""


def _share(sockets: Sequence[socket.socket], shared: bool) -> None:
    if sys.platform.startswith("linux"):
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
