"""
Two ends of TLS, in memory on a clock or over TCP on the loopback: what is promised is held against both.

An end is made from a creator of OpenSSL's connections: a node's own (`LinkTls`), or that of a `Stranger`, who may be
anything.
"""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, load_certificate
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
    wrapClientTLS,
    wrapServerTLS,
)
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from nettool.cluster.identity import ALPN, Refused, peer_key, tls_fault
from nettool.embed.inside import InsideAddress
from nettool.embed.pipe import End


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class Stranger:
    """TLS as somebody else may have it."""

    def __init__(
        self,
        key: Any = None,
        certificate: Any = None,
        *,
        alpn: tuple[bytes, ...] = (ALPN,),
        newest: int = SSL.TLS1_3_VERSION,
    ) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_max_proto_version(newest)
        self.context.set_verify(SSL.VERIFY_PEER, lambda *of: True)
        if key is not None:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # of OpenSSL's own certificates, where they are meant
                self.context.use_certificate(certificate)
            self.context.use_privatekey(key)
        if alpn:
            self.context.set_alpn_protos(list(alpn))
            self.context.set_alpn_select_callback(lambda _, offered: alpn[0] if alpn[0] in offered else b"")
        self.connections: list[SSL.Connection] = []

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self.context, None)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        self.connections.append(SSL.Connection(self.context, None))
        return self.connections[-1]


class Resuming(Stranger):
    """A client that wants to go on with the session of its last connection, and has another key since then.

    The last connection has to be there still: OpenSSL keeps no session of one that did not end well.
    """

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        before = self.connections[-1:]
        connection = super().clientConnectionForTLS(tlsProtocol)
        for last in before:
            key = Ed25519PrivateKey.generate()
            connection.use_certificate(certificate_of(key))
            connection.use_privatekey(key)
            session = last.get_session()
            assert session is not None
            connection.set_session(session)
        return connection


def certificate_of(key: Any, *, name: str = "node2", names: int = 0, ca: Any = None) -> x509.Certificate:
    """A certificate of any kind of key: signed by itself or by another one, with so many other names in it."""
    own = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(own, own, key.public_key(), 1, datetime(2000, 1, 1), datetime(2001, 1, 1))
    if names:
        others = [x509.DNSName(f"{number:060}.example") for number in range(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
    signs = key if ca is None else ca
    return builder.sign(signs, None if isinstance(signs, Ed25519PrivateKey) else hashes.SHA256())


def certificate_that_only_openssl_reads(key: Any) -> Any:
    """One of a version that there is not."""
    der = certificate_of(key, names=1).public_bytes(Encoding.DER)
    version = b"\xa0\x03\x02\x01\x02"
    assert version in der
    return load_certificate(FILETYPE_ASN1, der.replace(version, b"\xa0\x03\x02\x01\x07", 1))


@implementer(IHandshakeListener)
class Shown(Protocol):
    """One end: looks at who the other one is when the handshake is done, and says what it is told to."""

    def __init__(self, says: bytes = b"") -> None:
        self.says = says
        self.key = b""
        self.refused: Refused | None = None
        self.heard = b""
        self.lost: Failure | None = None
        self.is_done = False
        self.outcome_then: Any = None
        """The outcome before the test ended the connection."""

    def handshakeCompleted(self) -> None:
        assert not self.is_done
        self.is_done = True
        try:
            self.key = peer_key(self.transport)
        except Refused as error:
            self.refused = error
        assert self.transport is not None
        self.transport.write(self.says or b"done")

    def dataReceived(self, data: bytes) -> None:
        assert self.is_done
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        self.lost = reason

    @property
    def outcome(self) -> Any:
        """The other end's key, a reason to refuse it, or what is wrong with its TLS."""
        if self.lost is not None and (fault := tls_fault(self.lost.value)):
            return fault
        return self.refused.reason if self.refused is not None else self.key


class Plain(Shown):
    """An end that knows nothing of TLS."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.says)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


class InMemory:
    """On a clock, without a socket."""

    async def connect(self, client: Any, server: Any, ends: tuple[Shown, Shown]) -> None:
        self.clock = Clock()
        self.protocols = [self._end(client, True, ends[0]), self._end(server, False, ends[1])]
        a, b = (End(self.clock, InsideAddress(""), InsideAddress("")) for _ in ends)
        a.join(self.protocols[0], b)
        b.join(self.protocols[1], a)
        for end in (b, a):
            assert end.begin() is None
        self.transports = [a, b]
        self.clock.advance(0)

    def _end(self, creator: Any, is_client: bool, end: Shown) -> Any:
        if creator is None:
            return end
        factory = TLSMemoryBIOFactory(creator, is_client, Factory.forProtocol(lambda: end), self.clock)
        return factory.buildProtocol(None)  # type: ignore[arg-type]

    async def end(self) -> None:
        for transport in self.transports:
            transport.abortConnection()
        self.clock.advance(0)


class OverTcp:
    """On the reactor, through sockets of the loopback."""

    async def connect(self, client: Any, server: Any, ends: tuple[Shown, Shown]) -> None:
        from twisted.internet import reactor

        self.ends = ends
        self.reactor: Any = reactor
        door: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        if server is not None:
            door = wrapServerTLS(server, door, reactor)
        self.port = await door.listen(Factory.forProtocol(lambda: ends[1]))
        way: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        if client is not None:
            way = wrapClientTLS(client, way, reactor)
        await connectProtocol(way, ends[0])
        # Each has heard what the other says when its handshake is done, or has lost the connection.
        while not all(end.heard or end.lost for end in ends):
            await self._turn()

    def _turn(self) -> Deferred[None]:
        return deferLater(self.reactor, 0.001)

    async def end(self) -> None:
        for end in self.ends:
            if end.lost is None:
                end.transport.abortConnection()  # type: ignore[union-attr]
        while not all(end.lost for end in self.ends):
            await self._turn()
        await self.port.stopListening()
