"""
The seam to other nodes.

In: what the broker has to tell other nodes, and what it asks about them.  Out: an interface, and its simplest
implementation: there are none.  Never: how other nodes are reached.

A cluster is told of the peers and topics of this node, and brings those of others by `Broker.peer_came_there`,
`Broker.arrived` and their like.  To the broker a peer on another node is a member whose outbox leads there, and
whoever hears topics on another node is one member for all of them.  So routing looks an address up in one dict,
wherever the receiver is, and lines for other nodes cost it nothing apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface, implementer

from nettool.broker.directory import IMember
from nettool.errors import ReturnReason
from nettool.outbox.batch import Batch


class ICluster(Interface):
    """This node among others.  None of these calls may fail, nor call the broker back but for giving lines back."""

    def peer_here(peer: IMember) -> None:
        """It logged in on this node."""

    def peer_gone(peer: IMember) -> None:
        """It has left this node, and sends nothing any more."""

    def topic_heard(topic: bytes, heard: bool) -> None:
        """Somebody on this node hears it now, or nobody any more."""

    def find(address: bytes) -> IMember | None:
        """Who is written to by `name@node`, a node that is not this one: somebody, if there may be such a node.

        Asked only for what is not in `Directory.reach`.  Whether he is there is found out by sending to him.
        """

    def nodes_with(name: bytes) -> Sequence[bytes]:
        """The other nodes that a bare name which is not on this node could mean, sorted."""

    def give_back(batch: Batch, reason: ReturnReason, now: float) -> bool:
        """Lines to a name come back to a sender on another node; false, with nothing done, if he is on none."""

    def shut_down(now: float) -> None:
        """Time is up: what waits for other nodes goes back, or is counted."""

    def queued() -> int:
        """Copies that are on their way to other nodes: accepted here, and not yet there."""


@implementer(ICluster)
class Alone:
    """One node alone."""

    def peer_here(self, peer: IMember) -> None:
        """See `ICluster`; so are all of these."""

    def peer_gone(self, peer: IMember) -> None:
        """Nobody else knew it."""

    def topic_heard(self, topic: bytes, heard: bool) -> None:
        """Nobody else has lines for it."""

    def find(self, address: bytes) -> IMember | None:
        """There is no other node."""
        return None

    def nodes_with(self, name: bytes) -> Sequence[bytes]:
        """There is no other node."""
        return ()

    def give_back(self, batch: Batch, reason: ReturnReason, now: float) -> bool:
        """Every sender is, or was, here."""
        return False

    def shut_down(self, now: float) -> None:
        """Nothing waits."""

    def queued(self) -> int:
        """Nothing is."""
        return 0
