"""
Everything in which something waits: outboxes of peers, ways to other nodes, windows of receivers there.

In: a node.  Out: rows, the largest first.  Never: a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nettool.ops import snapshots
from nettool.ops.links import Link, links_of, there
from nettool.ops.snapshots import Peer
from nettool.service import NodeService


@dataclass(frozen=True, slots=True)
class Queue:
    """One of them, or a peer that is not read."""

    name: str
    """A peer's; `@node2` is the way to that node; `bob@node2` what is under way to somebody there who is slow."""
    queued_lines: int
    """On the way to a node, those that are sent and not confirmed too."""
    queued_bytes: int
    oldest: float
    full_for: float
    of: Peer | Link | None
    """What it is the queue of; nothing for a receiver on another node."""


def queues(node: NodeService) -> list[Queue]:
    """All that hold something, and peers that are not read; the largest first."""
    return sorted([*_of_peers(node), *_of_links(node)], key=lambda queue: -queue.queued_bytes)


def _of_peers(node: NodeService) -> Iterator[Queue]:
    for peer in snapshots.peers(node):
        if peer.queued_bytes or peer.paused_for:
            yield Queue(peer.name, peer.queued_lines, peer.queued_bytes, peer.oldest, peer.full_for, peer)


def _of_links(node: NodeService) -> Iterator[Queue]:
    for link in links_of(node):
        lines, size = link.queued_lines + link.unconfirmed_lines, link.queued_bytes + link.unconfirmed_bytes
        if size:
            yield Queue("@" + link.node, lines, size, max(link.oldest, link.unconfirmed_for), link.full_for, link)
        for name in link.slow:
            why = there(node, name.encode("utf-8", "surrogateescape"))
            if why is not None:
                full = max((lane.full_for or 0.0 for lane in why.lanes), default=0.0)
                yield Queue(why.name, why.queued_lines, why.under_way_bytes, full, full, None)
