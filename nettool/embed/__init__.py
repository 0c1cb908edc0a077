"""
embed: a node inside somebody's program or test, with or without sockets.

In: a reactor or a clock, options, endpoints.  Out: a running node, and endpoints by which any Twisted protocol becomes
its peer without a socket.  Never: a signal handler, a thread, the process's end, or an address nobody asked for.

`node` the node as a context manager or service · `inside` the endpoint · `pipe` the two transports of a connection ·
`cluster` several nodes, linked · `cable` what links them, and can be cut.
"""

from nettool.embed.cable import Cut
from nettool.embed.cluster import Cluster
from nettool.embed.inside import InsideAddress, InsideEndpoint
from nettool.embed.node import Node, NotSent

__all__ = ["Cluster", "Cut", "InsideAddress", "InsideEndpoint", "Node", "NotSent"]
