"""
TLS under a link: mutual, 1.3, with an ALPN name of its own.

In: an identity.  Out: OpenSSL connections for both ends; the other end's key; what a failed handshake means.
Never: a decision about trust.  A handshake proves that the other end has the key of the certificate it shows, and
nothing else: any certificate, and even none, gets through it, so that its end can be told by an answer why it is
refused (`nettool.cluster.identity.trust`).

Sessions are not resumed: each connection proves its key anew.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from nettool.cluster.identity.keys import Identity
from nettool.cluster.identity.trust import Refused
from nettool.errors import RefusalReason

ALPN = b"nettool-link/1"


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class LinkTls:
    """What both ends of links use: for Twisted's `wrapServerTLS`, `wrapClientTLS` and `TLSMemoryBIOFactory`."""

    def __init__(self, identity: Identity) -> None:
        self.show(identity)

    def show(self, identity: Identity) -> None:
        """Prove this identity on connections that begin from now on."""
        self._server = _context(identity)
        self._server.set_alpn_select_callback(_select)
        self._client = _context(identity)
        self._client.set_alpn_protos([ALPN])

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For a connection that was accepted."""
        return SSL.Connection(self._server, None)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For a connection that was dialled."""
        return SSL.Connection(self._client, None)


def _context(identity: Identity) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # Asks for a certificate, and takes any: whose key is trusted is decided afterwards.
    context.set_verify(SSL.VERIFY_PEER, lambda connection, certificate, error, depth, ok: True)
    identity.put_into(context)
    return context


def _select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if ALPN in offered:
        return ALPN
    # With the value that pyOpenSSL has for "none of them" the handshake would go on, without a protocol.
    raise SSL.Error([("SSL routines", "", "no application protocol")])


def peer_key(transport: Any) -> bytes:
    """The public key of the other end of a TLS connection whose handshake is completed.

    Raises `Refused` if it has shown none that a node could have, or speaks something else than a link.
    """
    if transport.negotiatedProtocol != ALPN:
        text = f"the other end speaks TLS, but does not say that it speaks {ALPN.decode()}: it is no nettool node"
        raise Refused(RefusalReason.NOT_A_LINK, text, f"this is a door for {ALPN.decode()}")
    certificate = transport.getPeerCertificate()
    if certificate is None:
        raise Refused(
            RefusalReason.NO_CERTIFICATE,
            "the other end shows no certificate: it is no nettool node",
            "a node shows its certificate",
        )
    try:
        key = certificate.to_cryptography().public_key()
    except Exception:  # whatever the parser makes of a certificate that OpenSSL has let through
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(
            RefusalReason.WRONG_KEY_KIND,
            "the other end shows a certificate whose key is not of the kind Ed25519: a nettool node makes its own",
            "a node's certificate has a key of the kind Ed25519; `nettool identity new` makes one",
        )
    return key.public_bytes_raw()


# What a failed handshake means, by OpenSSL's words: this end's own, or the alert of the other one.
_NOT_TLS = "the other end does not speak TLS: it is no door for links"
_NOT_1_3 = "the other end does not speak TLS 1.3"
_NOT_OURS = f"the other end does not speak {ALPN.decode()}: it is no nettool node, or one of another version"
_HTTP = "the other end speaks HTTP: it is no nettool node"
_CERTIFICATE = "the other end does not take this node's certificate: it is no nettool node"
_FAULTS = (
    ("no application protocol", _NOT_OURS),
    ("protocol version", _NOT_1_3),
    ("unsupported protocol", _NOT_1_3),
    ("http request", _HTTP),
    ("https proxy request", _HTTP),
    ("wrong version number", _NOT_TLS),
    ("packet length too long", _NOT_TLS),
    ("record layer failure", _NOT_TLS),
    ("certificate required", _CERTIFICATE),
    ("bad certificate", _CERTIFICATE),
    ("unknown ca", _CERTIFICATE),
    ("excessive message size", "the other end shows a certificate that is too large: it is no nettool node"),
)


def tls_fault(error: BaseException) -> str:
    """What it means that a connection ended with this error; empty if it is none of TLS."""
    if not isinstance(error, SSL.Error):
        return ""
    said = [str(words[-1]) for words in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    for word in said:
        for sign, meaning in _FAULTS:
            if sign in word:
                return meaning
    return f"TLS failed: {', '.join(said) or 'without a reason'}"
