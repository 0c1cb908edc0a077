"""
Whom a bare name means, that is on other nodes.

In: who came and left there, and which nodes have a link.  Out: for each name the one that it means, for the directory.
Never: a name that could mean two; a node without a link that makes a name ambiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nettool.broker.directory import Directory
from nettool.cluster.far import FarPeer

if TYPE_CHECKING:
    from nettool.cluster.neighbour import Neighbour


class Presence:
    """All names on other nodes.

    Invariant: the directory's meaning of each name is that of `_meaning`.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._names: dict[bytes, dict[Neighbour, FarPeer]] = {}

    def came(self, name: bytes, node: Neighbour, far: FarPeer) -> None:
        """A node has somebody of that name."""
        self._names.setdefault(name, {})[node] = far
        self._settle(name)

    def left(self, name: bytes, node: Neighbour) -> None:
        """It has not any more."""
        nodes = self._names[name]
        del nodes[node]
        if not nodes:
            del self._names[name]
        self._settle(name)

    def node_changed(self, node: Neighbour) -> None:
        """Its link came up, or went down."""
        for name in node.peers:
            self._settle(name)

    def nodes_with(self, name: bytes) -> list[Neighbour]:
        """The nodes that it could mean: those with a link, or else the only one there is."""
        nodes = list(self._names.get(name, ()))
        up = [node for node in nodes if node.link is not None]
        return up or (nodes if len(nodes) == 1 else [])

    def _settle(self, name: bytes) -> None:
        nodes = self.nodes_with(name)
        self._directory.means(name, self._names[name][nodes[0]] if len(nodes) == 1 else None)
