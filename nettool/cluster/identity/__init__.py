"""
Who a node is, and which others it links to.

In: a state directory, a file of trusted nodes, the certificate and the name that another node shows.  Out: this node's
key and certificate; TLS for both ends of a link; the other end's key, and whether it is trusted under its name.
Never: trust because a file is missing, empty or cannot be read; a private key in a log, an error or a repr.
"""

from nettool.cluster.identity.keys import Identity, NodeKey, name_kept
from nettool.cluster.identity.tls import ALPN, LinkTls, peer_key, tls_fault
from nettool.cluster.identity.trust import Refused, Trust, decide
from nettool.cluster.identity.trusted import TrustedNodes, parse_trusted, read_trusted

__all__ = [
    "ALPN",
    "Identity",
    "LinkTls",
    "NodeKey",
    "Refused",
    "Trust",
    "TrustedNodes",
    "decide",
    "name_kept",
    "parse_trusted",
    "peer_key",
    "read_trusted",
    "tls_fault",
]
