"""
Whom TLS trusts.

In: options as a program gives them, and the host that it asked for.  Out: what Twisted's endpoints take.
Never: a client that verifies nobody, unless the program made a connection creator of its own that does not.
"""

from __future__ import annotations

from typing import Any

from twisted.internet._sslverify import ClientTLSOptions
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, ContextFactory, optionsForClientTLS


def client_options(options: Any, host: str) -> Any:
    """What a connection to this host, a name or an IP address, is verified by."""
    if options is None:
        return optionsForClientTLS(host)
    if isinstance(options, CertificateOptions):
        # First, since they are a connection creator too: one that does not look whose certificate it is.
        if not options.verify:
            raise ValueError(
                "these CertificateOptions verify nobody: give them trustRoot=..., or, if that is meant, give an "
                "IOpenSSLClientConnectionCreator instead"
            )
        # optionsForClientTLS makes CertificateOptions of its own; this is what it puts around them (Twisted 26.10).
        return ClientTLSOptions(options.clientConnectionForTLS, host)
    if IOpenSSLClientConnectionCreator.providedBy(options):
        return options
    raise TypeError(f"options of a client are CertificateOptions or IOpenSSLClientConnectionCreator, not {options!r}")


def server_options(options: Any) -> Any:
    """What shows this end's certificate."""
    if options is None:
        raise ValueError("a TLS listener needs options=CertificateOptions(privateKey=..., certificate=...)")
    if IOpenSSLServerConnectionCreator.providedBy(options) or isinstance(options, ContextFactory):
        return options
    if isinstance(options, CertificateOptions):
        return options
    raise TypeError(f"options of a listener are CertificateOptions or IOpenSSLServerConnectionCreator, not {options!r}")
