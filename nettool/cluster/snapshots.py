"""
What an operator sees of other nodes.

In: a neighbour, at one moment.  Out: copied, plain data.  Never: something that changes afterwards; a walk through all
that waits, but for one receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from nettool.cluster.ends import LastEnd
from nettool.cluster.link import Phase
from nettool.cluster.linked import Linked
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.phases import Mode, PhaseName, Phases
from nettool.errors import LinkEnd
from nettool.outbox import facts
from nettool.outbox.facts import OutboxSnapshot, full_for


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
    full_for: float
    """Seconds since so much of it waits that senders wait, or lines are given back; 0 if it does not."""
    unconfirmed_lines: int
    """Sent, and not known to be routed there."""
    unconfirmed_bytes: int
    unconfirmed_for: float
    """Seconds since the oldest of it was handed to the transport; 0 if there is none."""
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
    last_end: LastEnd | None


@dataclass(frozen=True, slots=True)
class FarSnapshot:
    """Somebody on another node, or the way to the node itself, and what is under way."""

    name: bytes
    """With the node's; `@node2` is the way there."""
    link: LinkSnapshot
    listed: bool
    """His node says that he is there."""
    under_way: OutboxSnapshot
    """With the lines that wait here or are not confirmed, and all bytes that count in his window."""
    there_bytes: int
    """Of these, what waits in his outbox there, as his node last told."""
    window: int
    """Bytes that may be under way to him; of a way, its bound for direct and topic lines apart; 0 is unlimited."""
    writers: tuple[bytes, ...]
    """Who wrote what is under way, as far as they are here."""


@dataclass(frozen=True, slots=True)
class LinkTotals:
    """What was counted of all nodes, those included that are not known any more."""

    ends: dict[LinkEnd, int]
    phases: tuple[PhaseSnapshot, ...]
    resent_lines: int
    duplicates: int


def snapshot_of(neighbour: Neighbour, now: float) -> LinkSnapshot:
    """What is known of one node now."""
    link, queue, backlog = neighbour.link, neighbour.queue, neighbour.queue.backlog
    waiting = [queue.ready[0].at] if queue.ready else []
    if backlog is not None:
        waiting.append(backlog.oldest_at)
    phases = queue.phases
    return LinkSnapshot(
        node=neighbour.name,
        state=_state(neighbour),
        since=now - (neighbour.down_since if link is None else link.since),
        where="" if link is None else link.where,
        instance=neighbour.instance.hex(),
        queued_lines=_in_flight(phases, PhaseName.OUTGOING_BUFFER),
        queued_bytes=queue.held_bytes,
        oldest=max(now - min(waiting, default=now), 0.0),
        full_for=0.0 if backlog is None else full_for(backlog.full_since, now),
        unconfirmed_lines=_in_flight(phases, PhaseName.OUTGOING_TRANSFER),
        unconfirmed_bytes=queue.sent_bytes,
        unconfirmed_for=max(now - queue.sent[0].at, 0.0) if queue.sent else 0.0,
        peers=len(neighbour.peers),
        topics=len(neighbour.topics or ()),
        closed_windows={far.name: now - far.full_since for far in neighbour.closed_windows},
        resent_lines=queue.resent,
        duplicates=neighbour.arrivals.duplicates,
        phases=_each_of(phases),
        last_end=neighbour.last_end,
    )


def far_snapshot_of(neighbour: Neighbour, name: bytes, now: float) -> FarSnapshot:
    """What is known of one receiver there; costs time in proportion to what waits for his node."""
    far = neighbour.far(name)
    return FarSnapshot(
        name=far.name,
        link=snapshot_of(neighbour, now),
        listed=far.listed,
        under_way=far.snapshot(now),
        there_bytes=far.there,
        window=neighbour.window,
        writers=far.writers,
    )


def way_snapshot_of(neighbour: Neighbour, now: float) -> FarSnapshot:
    """What waits for a node as a whole; costs time in proportion to that."""
    link, queue = snapshot_of(neighbour, now), neighbour.queue
    waiting = facts.snapshot_of(queue.batches(), queue.backlog, queue.bounds.delivery, now)
    return FarSnapshot(
        name=b"@" + neighbour.name,
        link=link,
        listed=True,
        under_way=replace(waiting, lines=waiting.lines + link.unconfirmed_lines),
        there_bytes=0,
        window=queue.bounds.delivery.outbox_bytes,
        writers=(),
    )


def totals_of(linked: Linked) -> LinkTotals:
    """What was counted of all nodes."""
    neighbours, gone, phases = linked.neighbours.values(), linked.gone, Phases()
    for each in (gone.phases, *(neighbour.queue.phases for neighbour in neighbours)):
        phases.add(each)
    return LinkTotals(
        ends=dict(linked.ends),
        phases=_each_of(phases),
        resent_lines=gone.resent + sum(neighbour.queue.resent for neighbour in neighbours),
        duplicates=gone.duplicates + sum(neighbour.arrivals.duplicates for neighbour in neighbours),
    )


def _in_flight(phases: Phases, name: PhaseName) -> int:
    return sum(phases.of(mode, name).in_flight for mode in Mode)


def _each_of(phases: Phases) -> tuple[PhaseSnapshot, ...]:
    return tuple(
        PhaseSnapshot(mode, name, phase.started, phase.finished, phase.size, phase.seconds, phase.in_flight)
        for mode, of_mode in phases.by_mode.items()
        for name, phase in of_mode.items()
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
