"""
What an operator sees: copied, plain data about a node at one moment.

In: a node.  Out: frozen values, as the console prints them and `/api` sends them.  Never: a change; anything that keeps
a peer alive; bytes: names and topics are text here.

Times are seconds: `..._at` of the node's clock (in a process, since 1970), others lengths of time.  Only `why` walks
what is queued, of one peer; all others cost the same for each peer, whatever is queued for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from math import inf
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from nettool.addresses import address_text
from nettool.ops.links import Link, There, links_of, there
from nettool.ops.queued import Filler, Lane, Waiting, fillers_of, lanes_of, text, waiting_of
from nettool.ops.totals import DRAIN, Paused, Stats, Waits, Walk, state, stats
from nettool.outbox.facts import full_for
from nettool.peers.factory import ClosedConnection
from nettool.peers.protocol import PeerProtocol
from nettool.peers.session import Phase
from nettool.service import NodeService

__all__ = [
    "DRAIN",
    "Closed",
    "Filler",
    "Lane",
    "Link",
    "Peer",
    "Stats",
    "There",
    "Topic",
    "Waiting",
    "Waits",
    "Why",
    "closed",
    "links",
    "peers",
    "state",
    "stats",
    "topics",
    "why",
]


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection, logged in or not."""

    name: str
    """Empty before it has one."""
    node: str
    address: str
    """`127.0.0.1:50112`, or what else its transport calls it."""
    phase: str
    """login, waiting (for its name), ready, leaving, gone (closed to lines, while its socket lingers)."""
    connected_at: float
    connected_for: float
    topics: int
    """How many it hears."""
    received_lines: int
    """Lines that it has sent, but for empty ones; the parts of a list longer than 16 KiB count each."""
    received_bytes: int
    queued_lines: int
    queued_bytes: int
    """Data, and a charge for each batch: what the bound counts."""
    oldest: float
    """Age of the oldest batch that is queued; 0 if none is."""
    full_for: float
    """Seconds since its outbox became full; 0 if it is not."""
    paused_for: float
    """Seconds for which it has not been read because of others, or its own answers; 0 if it is read."""
    paused_by: tuple[str, ...]
    """Whose outboxes it waits for: its own, if it does not read the answers to what it asks; `(drain)`."""
    lagged: int
    """Topic lines that it has lost because it read too slowly."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that somebody hears."""

    name: str
    hearers: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection that was, and why it is no more."""

    name: str
    """Empty if it never had one."""
    address: str
    closed_at: float
    reason: str
    connected_for: float
    given_back: int
    """Texts to its name that were still queued: they went back to their senders, where those were still there."""
    lost: int
    """Other texts that were still queued: topic lines, and lines given back to it."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a peer gets its lines late: what is queued, since when, who fills it, and who waits because of it."""

    peer: Peer
    bound: int
    """Bytes, for direct lines and topic lines apart; 0 is unlimited."""
    low_water: int
    """Bytes under which a full lane is no longer full."""
    blocked: bool
    """Whether its transport takes nothing now."""
    lanes: tuple[Lane, ...]
    """Nothing while the transport takes data."""
    fillers: tuple[Filler, ...]
    """The largest first."""
    waiting: tuple[Waiting, ...]
    """Who waits longest first."""
    given_up_in: float | None
    """Until its connection is aborted if it takes nothing (`stall-timeout`); nothing if that is not foreseen."""


# Of the whole node


def topics(node: NodeService, order: str = "", limit: int | None = None, offset: int = 0) -> list[Topic]:
    """What somebody hears, sorted by name, or as `order` says; see `peers`."""
    rows = _ordered(node.broker.directory.heard(), _TOPIC, order, limit, offset)
    return [Topic(text(name), hearers) for name, hearers in rows]


def closed(node: NodeService, order: str = "", limit: int | None = None, offset: int = 0) -> list[Closed]:
    """The last connections that closed, the newest first, or as `order` says; see `peers`."""
    rows = _ordered(node.peers.last_closed(), _CLOSED, order, limit, offset)
    return [Closed(**{field: get(gone) for field, get in _CLOSED.items()}) for gone in rows]


def links(node: NodeService, order: str = "", limit: int | None = None, offset: int = 0) -> list[Link]:
    """Other nodes, sorted by name, each with the link to it, or as `order` says; none for a node alone; see `peers`."""
    return _ordered(links_of(node), _LINK, order, limit, offset)


# Of peers


def peers(node: NodeService, order: str = "", limit: int | None = None, offset: int = 0) -> list[Peer]:
    """Connections, in the order in which they came, or as `order` says: by a field of `Peer`, falling after a `-`.

    Only the rows that are asked for are made: all of ten thousand take 90 ms, the hundred that hold most take 8.
    """
    moment = _Moment(node)
    fields = {field: partial(get, moment) for field, get in _PEER.items()}
    return [_peer(connection, fields) for connection in _ordered(node.peers.connections, fields, order, limit, offset)]


def why(node: NodeService, name: str) -> Why | There | None:
    """Why this peer gets its lines late; nothing if there is no such peer.

    On another node if the name has one, or if nobody here has it and somebody on one other node has.
    """
    wanted = name.encode("utf-8", "surrogateescape")
    wanted = wanted.removesuffix(b"@" + node.live.node.name)
    for connection in node.peers.connections:
        session = connection.session
        if wanted and session.name == wanted and session.phase not in (Phase.WAITING, Phase.GONE):
            return _why(node, connection)
    return there(node, wanted)


def _why(node: NodeService, connection: PeerProtocol) -> Why:
    moment, delivery, outbox = _Moment(node), node.live.delivery, connection.session.outbox
    now = moment.now
    queued = outbox.snapshot(now)
    patience = {"direct": delivery.direct_patience, "topic": delivery.topic_patience}
    given_up = inf if outbox.pump is None else outbox.pump.stalls_at()
    return Why(
        peer=_peer(connection, {field: partial(get, moment) for field, get in _PEER.items()}),
        bound=delivery.outbox_bytes,
        low_water=delivery.low_water,
        blocked=outbox.blocked,
        lanes=lanes_of(queued, patience),
        fillers=fillers_of(queued),
        waiting=waiting_of(queued),
        given_up_in=None if given_up == inf else max(given_up - now, 0.0),
    )


class _Moment:
    """What is the same for all peers of one snapshot."""

    def __init__(self, node: NodeService) -> None:
        self.now = node.peers.clock.seconds()
        self.node = text(node.live.node.name)
        self.paused: Paused = Walk(node).paused

    def paused_for(self, connection: PeerProtocol) -> float:
        since, _ = self.paused.get(connection.session, (self.now, ()))
        return self.now - since

    def paused_by(self, connection: PeerProtocol) -> tuple[str, ...]:
        _, whom = self.paused.get(connection.session, (0.0, ()))
        return tuple(whom)


_PEER: dict[str, Callable[[_Moment, PeerProtocol], Any]] = {
    "name": lambda moment, peer: text(peer.session.name),
    "node": lambda moment, peer: moment.node,
    "address": lambda moment, peer: address_text(peer.peer),
    "phase": lambda moment, peer: peer.session.phase.value,
    "connected_at": lambda moment, peer: peer.connected_at,
    "connected_for": lambda moment, peer: moment.now - peer.connected_at,
    "topics": lambda moment, peer: len(peer.session.topics or ()),
    "received_lines": lambda moment, peer: peer.session.received_lines,
    "received_bytes": lambda moment, peer: peer.session.received_bytes,
    "queued_lines": lambda moment, peer: peer.session.outbox.queued(),
    "queued_bytes": lambda moment, peer: peer.session.outbox.held(),
    "oldest": lambda moment, peer: peer.session.outbox.oldest(moment.now),
    "full_for": lambda moment, peer: full_for(peer.session.outbox.full_since, moment.now),
    "paused_for": _Moment.paused_for,
    "paused_by": _Moment.paused_by,
    "lagged": lambda moment, peer: peer.session.outbox.lagged,
}

_TOPIC: dict[str, Callable[[tuple[bytes, int]], Any]] = {"name": itemgetter(0), "hearers": itemgetter(1)}

_LINK: dict[str, Callable[[Link], Any]] = {field.name: attrgetter(field.name) for field in fields(Link)}

_CLOSED: dict[str, Callable[[ClosedConnection], Any]] = {
    "name": lambda gone: text(gone.name),
    "address": lambda gone: address_text(gone.address),
    "closed_at": lambda gone: gone.at,
    "reason": lambda gone: text(gone.reason.value),
    "connected_for": lambda gone: gone.seconds,
    "given_back": lambda gone: gone.given_back,
    "lost": lambda gone: gone.lost,
}

T = TypeVar("T")


def _ordered(
    rows: Iterable[T], fields: Mapping[str, Callable[[T], Any]], order: str, limit: int | None, offset: int
) -> list[T]:
    """A part of all rows, in this order; `ValueError` if that is none of the fields."""
    found = list(rows)
    if order:
        key = fields.get(order.removeprefix("-"))
        if key is None:
            raise ValueError(f"expected one of {', '.join(fields)}, or one of them after a -, not {order!r}")
        found.sort(key=key, reverse=order.startswith("-"))
    return found[offset : None if limit is None else offset + limit]


def _peer(connection: PeerProtocol, fields: Mapping[str, Callable[[PeerProtocol], Any]]) -> Peer:
    return Peer(**{field: get(connection) for field, get in fields.items()})
