"""
What an operator sees of other nodes.

In: a neighbour, at one moment.  Out: copied, plain data.  Never: something that changes afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nettool.cluster.link import Phase
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.phases import Mode, PhaseName


class LinkState(StrEnum):
    """Where the link to a node is; the labels of a metric."""

    UP = "up"
    CONNECTING = "connecting"
    """A connection is there, and has not been made the link."""
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class PhaseSnapshot:
    """See `nettool.cluster.phases`; in lines."""

    mode: Mode
    phase: PhaseName
    started: int
    finished: int
    size: int
    seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class LinkSnapshot:
    """One other node, and the link to it."""

    node: bytes
    state: LinkState
    since: float
    """Seconds for which it has been up, or without a link."""
    where: str
    """The other end's address; empty without a link."""
    instance: str
    """Of the node there, in hexadecimal; empty before the first link."""
    queued_lines: int
    """Not sent yet."""
    queued_bytes: int
    oldest: float
    """Age of the oldest of them, in seconds."""
    unconfirmed_lines: int
    """Sent, and not known to be routed there."""
    unconfirmed_bytes: int
    peers: int
    """Those who are there."""
    topics: int
    """Topics that somebody hears there."""
    closed_windows: dict[bytes, float]
    """Those there whose senders wait: for how many seconds."""
    resent_lines: int
    """Sent again after cuts."""
    duplicates: int
    """Frames that came again after a cut, and were not routed again."""
    phases: tuple[PhaseSnapshot, ...]


def snapshot_of(neighbour: Neighbour, now: float) -> LinkSnapshot:
    """What is known of one node now."""
    link, queue = neighbour.link, neighbour.queue
    batches = queue.batches()
    return LinkSnapshot(
        node=neighbour.name,
        state=_state(neighbour),
        since=now - (neighbour.down_since if link is None else link.since),
        where="" if link is None else link.where,
        instance=neighbour.instance.hex(),
        queued_lines=sum(batch.lines for batch in batches),
        queued_bytes=queue.held_bytes,
        oldest=max((now - batch.at for batch in batches if batch.at), default=0.0),
        unconfirmed_lines=sum(sent.lines for sent in queue.sent),
        unconfirmed_bytes=queue.sent_bytes,
        peers=len(neighbour.peers),
        topics=len(neighbour.topics or ()),
        closed_windows={far.name: now - far.full_since for far in neighbour.closed_windows},
        resent_lines=queue.resent,
        duplicates=neighbour.arrivals.duplicates,
        phases=tuple(
            PhaseSnapshot(mode, name, phase.started, phase.finished, phase.size, phase.seconds, phase.in_flight)
            for mode, phases in queue.phases.by_mode.items()
            for name, phase in phases.items()
        ),
    )


def _state(neighbour: Neighbour) -> LinkState:
    if neighbour.link is not None:
        return LinkState.UP
    connections = neighbour.linked.connections
    meant = any(
        connection.meant == neighbour.name or connection.neighbour is neighbour
        for connection in connections
        if connection.phase is not Phase.ENDED
    )
    return LinkState.CONNECTING if meant else LinkState.DOWN
