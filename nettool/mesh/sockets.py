"""
Transports over sockets: tcp, tls, unix, ws and wss.

In: addresses.  Out: listeners, and connections whose handshake is done.  Never: a handshake that another one waits for,
or that has no limit of time; TLS that verifies nobody unless somebody said so.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from zope.interface import implementer

from nettool._reactor import process_reactor
from nettool.mesh.addresses import HostPort, host_port, socket_path
from nettool.mesh.codec import Int32Codec
from nettool.mesh.connection import MAX_ENVELOPE, Connection
from nettool.mesh.interfaces import ITransport
from nettool.mesh.listener import Listener
from nettool.mesh.secure import client_options, server_options
from nettool.mesh.stream import HANDSHAKE_TIMEOUT, StreamWire
from nettool.mesh.turn import MeshTurn
from nettool.mesh.ws import WebSocketCodec, WebSocketWire
from nettool.settings import BACKLOG

CONNECT_TIMEOUT = 30.0
"""Seconds for a connection to be made, before any handshake."""


class _Wires(Factory):
    """Twisted's view of a transport: a wire for each connection."""

    noisy = False

    def __init__(self, make: Callable[[], StreamWire], opened: Callable[[StreamWire], object]) -> None:
        self._make = make
        self._opened = opened

    def buildProtocol(self, addr: IAddress | None) -> StreamWire:
        """A wire for a connection that is about to be made."""
        wire = self._make()
        self._opened(wire)
        return wire


@implementer(ITransport)
class SocketTransport:
    """See `ITransport`; each subclass has one scheme."""

    schemes: tuple[str, ...] = ()
    secure = False

    def __init__(
        self,
        reactor: Any = None,
        *,
        options: Any = None,
        max_envelope: int = MAX_ENVELOPE,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        """`options` are for TLS: see `nettool.mesh.transport`."""
        self._reactor = process_reactor() if reactor is None else reactor
        self._turn = MeshTurn(self._reactor)
        self._options = options
        self._max_envelope = max_envelope
        self._handshake_timeout = handshake_timeout

    async def _listen(self, address: str) -> Listener:
        where = self._parse(address)
        listener: Any = None

        def opened(wire: StreamWire) -> None:
            # A handshake that fails is that connection's own trouble: nobody waits for it in particular.
            wire.opened.addCallbacks(lambda connection: listener.made(connection), lambda _: None)

        port = await self._server_endpoint(where).listen(_Wires(lambda: self._wire(where, client=False), opened))
        made = listener = Listener(self._reactor, self._name(where, port), port.stopListening)
        return made

    async def _connect(self, address: str) -> Connection:
        where = self._parse(address)
        wire = self._wire(where, client=True)
        connecting = self._client_endpoint(where).connect(_Wires(lambda: wire, lambda _: None))
        await connecting
        return await wire.opened

    def listen(self, address: str) -> Deferred[Listener]:
        """See `ITransport`."""
        return Deferred.fromCoroutine(self._listen(address))

    def connect(self, address: str) -> Deferred[Connection]:
        """See `ITransport`."""
        return Deferred.fromCoroutine(self._connect(address))

    # What a scheme says

    def _parse(self, address: str) -> HostPort:
        return host_port(address, self.schemes)

    def _codec(self, where: Any, *, client: bool) -> Any:
        return Int32Codec(self._max_envelope)

    def _wire(self, where: Any, *, client: bool) -> StreamWire:
        kind = WebSocketWire if self.schemes[0] in ("ws", "wss") else StreamWire
        return kind(
            self._turn,
            self._codec(where, client=client),
            self.schemes[0],
            max_envelope=self._max_envelope,
            handshake_timeout=self._handshake_timeout,
            secure=self.secure,
        )

    def _server_endpoint(self, where: HostPort) -> Any:
        host = "127.0.0.1" if where.host == "localhost" else where.host
        if self.secure:
            options = server_options(self._options)
            return SSL4ServerEndpoint(self._reactor, where.port, options, BACKLOG, host)
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        return kind(self._reactor, where.port, BACKLOG, host)

    def _client_endpoint(self, where: HostPort) -> Any:
        endpoint: Any
        try:
            version = ip_address(where.host).version
        except ValueError:
            endpoint = HostnameEndpoint(self._reactor, where.host, where.port, CONNECT_TIMEOUT)
        else:
            kind = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
            endpoint = kind(self._reactor, where.host, where.port, int(CONNECT_TIMEOUT))
        if self.secure:
            return wrapClientTLS(client_options(self._options, where.host), endpoint)
        return endpoint

    def _name(self, where: HostPort, port: Any) -> str:
        host = where.host or port.getHost().host
        return f"{self.schemes[0]}://{HostPort(host, port.getHost().port, '').written}{where.path}"


class TcpTransport(SocketTransport):
    """`tcp://host:port`."""

    schemes = ("tcp",)


class TlsTransport(SocketTransport):
    """`tls://host:port`."""

    schemes = ("tls",)
    secure = True


class WsTransport(SocketTransport):
    """`ws://host:port/path`."""

    schemes = ("ws",)

    def _parse(self, address: str) -> HostPort:
        return host_port(address, self.schemes, path=True)

    def _codec(self, where: HostPort, *, client: bool) -> Any:
        return WebSocketCodec(
            client=client, target=where.path or "/", max_envelope=self._max_envelope, host=where.written
        )


class WssTransport(WsTransport):
    """`wss://host:port/path`."""

    schemes = ("wss",)
    secure = True


class UnixTransport(SocketTransport):
    """`unix:///path`.  A socket that a process left behind when it died is replaced; a living one's is not."""

    schemes = ("unix",)

    def _parse(self, address: str) -> Any:
        return socket_path(address)

    def _server_endpoint(self, where: Any) -> Any:
        return UNIXServerEndpoint(self._reactor, where, BACKLOG, wantPID=True)

    def _client_endpoint(self, where: Any) -> Any:
        return UNIXClientEndpoint(self._reactor, where, CONNECT_TIMEOUT)

    def _name(self, where: Any, port: Any) -> str:
        return f"unix://{where}"
