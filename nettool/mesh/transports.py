"""
All transports, by scheme.

In: a scheme.  Out: a transport.  Never: an address that goes to a transport by guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from nettool.mesh.addresses import scheme_of
from nettool.mesh.connection import MAX_ENVELOPE, Connection
from nettool.mesh.errors import UnknownScheme
from nettool.mesh.inproc import InprocTransport
from nettool.mesh.interfaces import ITransport
from nettool.mesh.listener import Listener
from nettool.mesh.sockets import TcpTransport, TlsTransport, UnixTransport, WssTransport, WsTransport
from nettool.mesh.stream import HANDSHAKE_TIMEOUT

_SOCKETS = {"tcp": TcpTransport, "tls": TlsTransport, "unix": UnixTransport, "ws": WsTransport, "wss": WssTransport}
SCHEMES = ("inproc", *_SOCKETS)


@implementer(ITransport)
class MultiTransport:
    """Picks by scheme; a bare `host:port` is TCP.  `transports` may have others than those of this package."""

    def __init__(self, transports: Mapping[str, Any]) -> None:
        self._transports = transports
        self.schemes = tuple(transports)

    def _pick(self, address: str) -> tuple[Any, str]:
        scheme = scheme_of(address)
        if scheme not in self._transports:
            raise UnknownScheme(scheme or address, self.schemes)
        return self._transports[scheme], address if "://" in address else f"tcp://{address}"

    def listen(self, address: str) -> Deferred[Listener]:
        """See `ITransport`."""
        try:
            transport, address = self._pick(address)
        except UnknownScheme:
            return fail()
        listening: Deferred[Listener] = transport.listen(address)
        return listening

    def connect(self, address: str) -> Deferred[Connection]:
        """See `ITransport`."""
        try:
            transport, address = self._pick(address)
        except UnknownScheme:
            return fail()
        connecting: Deferred[Connection] = transport.connect(address)
        return connecting


def transport(
    scheme: str = "",
    *,
    options: Any = None,
    max_envelope: int = MAX_ENVELOPE,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    reactor: Any = None,
) -> Any:
    """The `ITransport` for `inproc`, `tcp`, `tls`, `unix`, `ws` or `wss`, written with or without `://`; "" for all.

    `options` are for TLS.  A listener needs `CertificateOptions` with a key and a certificate.  A client verifies
    the certificate against the host that it asked for, a name or an IP address: by the system's authorities without
    options, by those of `CertificateOptions(trustRoot=...)` with them, or as an `IOpenSSLClientConnectionCreator` of
    yours says.  `max_envelope`, in bytes, bounds what a connection outside a mesh brings.  A handshake that takes
    longer than `handshake_timeout` seconds has failed.  Raises `UnknownScheme`.
    """
    name = scheme.removesuffix("://").lower()

    def make(name: str) -> Any:
        if name == "inproc":
            return InprocTransport(reactor, max_envelope)
        kind = _SOCKETS[name]
        return kind(reactor, options=options, max_envelope=max_envelope, handshake_timeout=handshake_timeout)

    if not name:
        return MultiTransport({each: make(each) for each in SCHEMES})
    if name not in SCHEMES:
        raise UnknownScheme(scheme, SCHEMES)
    return make(name)
