"""
Where other nodes are.

In: what the configuration says: nodes with their addresses, a file that lists them, a domain with SRV records.
Out: each node's addresses, in the order in which to try them, and news when they change.
Never: a connection; whose address it really is, is proven by a key; a node forgotten because a source fails.
"""

from nettool.cluster.resolver.addresses import Address, DnsSource, FileSource, StaticSource, parse_nodes, parse_source
from nettool.cluster.resolver.combined import CombinedResolver
from nettool.cluster.resolver.known import INodeResolver, KnownNodes
from nettool.cluster.resolver.lookups import Lookups
from nettool.cluster.resolver.sources import FileResolver, StaticResolver
from nettool.cluster.resolver.srv import SrvResolver

__all__ = [
    "Address",
    "CombinedResolver",
    "DnsSource",
    "FileResolver",
    "FileSource",
    "INodeResolver",
    "KnownNodes",
    "Lookups",
    "SrvResolver",
    "StaticResolver",
    "StaticSource",
    "parse_nodes",
    "parse_source",
]
