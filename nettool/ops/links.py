"""
What an operator sees of other nodes: copied, plain data at one moment.

In: a node's links.  Out: frozen values; names are text.  Never: a change; a walk through what waits for a node, but for
one receiver there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nettool.cluster.ends import ADVICE
from nettool.cluster.phases import PhaseName
from nettool.cluster.service import LinkService
from nettool.cluster.snapshots import LinkSnapshot, LinkState, PhaseSnapshot
from nettool.errors import LinkEnd
from nettool.ops.queued import Filler, Lane, Waiting, fillers_of, lanes_of, text, waiting_of
from nettool.service import NodeService

SLOWEST = 20
"""Receivers on one node that are named, of those whose senders wait."""


@dataclass(frozen=True, slots=True)
class Link:
    """Another node, and the link to it."""

    node: str
    state: str
    """up, connecting (a connection is there, and is not the link yet), down."""
    state_for: float
    """Seconds for which it has been up, or without a link."""
    address: str
    """The other end's; empty without a link."""
    instance: str
    """Of the node there, in hexadecimal: another one after a restart; empty before the first link."""
    queued_lines: int
    """Not sent yet."""
    queued_bytes: int
    """Data, and a charge for each batch."""
    oldest: float
    """Age of the oldest of them."""
    full_for: float
    """Seconds since so much waits that senders wait for it, or lines are given back; 0 if it does not."""
    unconfirmed_lines: int
    """Sent, and not known to be routed there: what would be sent again after a cut."""
    unconfirmed_bytes: int
    unconfirmed_for: float
    """Seconds since the oldest of them was sent; 0 if there are none."""
    peers: int
    """Those it says are there."""
    topics: int
    """Topics that somebody hears there."""
    slow: tuple[str, ...]
    """Receivers there whose senders wait, or get their lines back: those for longest, at most 20."""
    slow_receivers: int
    """How many those are."""
    sent_lines: int
    """Confirmed, or lost with the node that had them."""
    received_lines: int
    resent_lines: int
    """Sent again after cuts."""
    duplicate_frames: int
    """Frames that came again after a cut, and were not routed again."""
    last_end: str
    """Why the last link ended, or none came about since; empty if nothing of it is known."""
    last_end_detail: str
    last_end_at: float
    """0 if nothing of it is known."""
    advice: str
    """What to do about it; empty while the link is up."""


@dataclass(frozen=True, slots=True)
class There:
    """Why somebody on another node gets his lines late, as far as this node knows; or what is on the way to a node."""

    name: str
    """With the node's; `@node2` is the way there."""
    listed: bool
    """His node says that he is there."""
    link: Link
    queued_lines: int
    """Here, or sent and not confirmed."""
    under_way_bytes: int
    """All that counts in his window: that, and what waits there in his outbox."""
    there_bytes: int
    """Of these, what waits there, as his node last told."""
    window: int
    """Bytes that may be under way to him (`remote-window`); his senders wait until it is half that.  Of a way, its
    bound for direct and topic lines apart, eight times `outbox-bytes`; 0 is unlimited."""
    pending_timeout: float
    """How long lines wait for a link."""
    lanes: tuple[Lane, ...]
    """His window, if anything is under way; of a way, lines to names and topic lines."""
    fillers: tuple[Filler, ...]
    """Who wrote what was not sent yet."""
    writers: tuple[str, ...]
    """Who wrote what is under way, sent or not, as far as they are here."""
    waiting: tuple[Waiting, ...]
    """Who waits because of him."""


@dataclass(frozen=True, slots=True)
class LinkPhase:
    """One phase of the way of lines of one mode from node to node: started = finished + in_flight, in lines."""

    phase: str
    """outgoing-buffer: from routing to the transport; outgoing-transfer: until the other node says that they are
    routed; incoming-buffer: from reading to routing."""
    mode: str
    """direct, broadcast."""
    started: int
    finished: int
    in_flight: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LinkStats:
    """All links of a node together, and what was counted of nodes that are not known any more."""

    states: dict[str, int] = field(default_factory=lambda: {state.value: 0 for state in LinkState})
    """Other nodes by the state of their link."""
    longest_down: float = 0.0
    """For how long the node that is not linked for longest has not been; 0 if all are."""
    peers: int = 0
    """Those whom other nodes say to be there."""
    queued_lines: int = 0
    queued_bytes: int = 0
    unconfirmed_lines: int = 0
    unconfirmed_bytes: int = 0
    unconfirmed_for: float = 0.0
    """For how long the oldest of them has not been confirmed, on links that are up."""
    full: int = 0
    """Ways to other nodes that are full."""
    slow_receivers: int = 0
    """Receivers on other nodes whose senders wait, or get their lines back."""
    resent_lines: int = 0
    duplicate_frames: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """Connections to other nodes that ended or could not be made, by every reason; empty without links."""
    phases: tuple[LinkPhase, ...] = ()


def links_of(node: NodeService) -> list[Link]:
    """Other nodes, sorted by name, each with the link to it; none for a node alone."""
    return [] if node.links is None else [link_of(link) for link in node.links.snapshot()]


def link_of(link: LinkSnapshot) -> Link:
    """One of them."""
    slow = sorted(link.closed_windows, key=lambda name: -link.closed_windows[name])
    end = link.last_end
    return Link(
        node=text(link.node),
        state=link.state.value,
        state_for=max(link.since, 0.0),
        address=link.where,
        instance=link.instance,
        queued_lines=link.queued_lines,
        queued_bytes=link.queued_bytes,
        oldest=link.oldest,
        full_for=link.full_for,
        unconfirmed_lines=link.unconfirmed_lines,
        unconfirmed_bytes=link.unconfirmed_bytes,
        unconfirmed_for=link.unconfirmed_for,
        peers=link.peers,
        topics=link.topics,
        slow=tuple(text(name) for name in slow[:SLOWEST]),
        slow_receivers=len(slow),
        sent_lines=_finished(link.phases, PhaseName.OUTGOING_TRANSFER),
        received_lines=_finished(link.phases, PhaseName.INCOMING_BUFFER),
        resent_lines=link.resent_lines,
        duplicate_frames=link.duplicates,
        last_end="" if end is None else end.reason.value,
        last_end_detail="" if end is None else end.detail,
        last_end_at=0.0 if end is None else end.at,
        advice="" if end is None or link.state is LinkState.UP else ADVICE[end.reason],
    )


def there(node: NodeService, name: bytes) -> There | None:
    """Somebody on another node: `bob@node2`, or `bob` if one other node has a bob and no more; `@node2` is the way."""
    why = None if node.links is None else node.links.why(name)
    if why is None:
        return None
    under_way, delivery = why.under_way, node.live.delivery
    return There(
        name=text(why.name),
        listed=why.listed,
        link=link_of(why.link),
        queued_lines=under_way.lines,
        under_way_bytes=under_way.held_bytes,
        there_bytes=why.there_bytes,
        window=why.window,
        pending_timeout=node.live.links.pending_timeout,
        lanes=lanes_of(under_way, {"direct": delivery.direct_patience, "topic": delivery.topic_patience}),
        fillers=fillers_of(under_way),
        writers=tuple(text(name) for name in why.writers),
        waiting=waiting_of(under_way),
    )


def link_stats(links: LinkService | None, seen: Iterable[LinkSnapshot]) -> LinkStats:
    """All of these together, which were seen just now."""
    if links is None:
        return LinkStats()
    totals, found = links.totals(), list(seen)
    up = [link for link in found if link.state is LinkState.UP]
    return LinkStats(
        states={state.value: sum(link.state is state for link in found) for state in LinkState},
        longest_down=max((link.since for link in found if link.state is not LinkState.UP), default=0.0),
        peers=sum(link.peers for link in found),
        queued_lines=sum(link.queued_lines for link in found),
        queued_bytes=sum(link.queued_bytes for link in found),
        unconfirmed_lines=sum(link.unconfirmed_lines for link in found),
        unconfirmed_bytes=sum(link.unconfirmed_bytes for link in found),
        unconfirmed_for=max((link.unconfirmed_for for link in up), default=0.0),
        full=sum(link.full_for > 0 for link in found),
        slow_receivers=sum(len(link.closed_windows) for link in found),
        resent_lines=totals.resent_lines,
        duplicate_frames=totals.duplicates,
        ends={end.value: totals.ends.get(end, 0) for end in LinkEnd},
        phases=tuple(
            LinkPhase(
                each.phase.label,
                each.mode.label,
                each.started,
                each.finished,
                each.in_flight,
                each.size,
                each.seconds,
            )
            for each in totals.phases
        ),
    )


def _finished(phases: Iterable[PhaseSnapshot], name: PhaseName) -> int:
    return sum(phase.finished for phase in phases if phase.phase is name)
