"""
What an operator sees: copied, plain data about a node at one moment.

In: a node.  Out: frozen values, as the console prints them and `/api` sends them.  Never: a change; anything that keeps
a peer alive; bytes: names and topics are text here.

Times are seconds: `..._at` of the node's clock (in a process, since 1970), others lengths of time.  A peer whose outbox
is empty costs a look at it, so that ten thousand idle ones can be looked at while lines flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nettool import __version__
from nettool.broker.ledger import LedgerSnapshot
from nettool.interfaces import ISender
from nettool.outbox.facts import OutboxSnapshot, Waiter, gates_of
from nettool.peers.protocol import PeerProtocol
from nettool.peers.session import Phase
from nettool.service import NodeService

DRAIN = "(drain)"
"""Stands in `paused_by` for the node itself, which reads nobody any more: no name has brackets."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection, logged in or not."""

    name: str
    """Empty before it has one."""
    node: str
    address: str
    """`127.0.0.1:50112`, or what else its transport calls it."""
    phase: str
    """login, waiting (for its name), ready, leaving."""
    connected_at: float
    connected_for: float
    topics: int
    """How many it hears."""
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
class Link:
    """A connection to another node."""

    node: str
    state: str
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The node as a whole."""

    version: str
    node: str
    state: str
    """starting, running, draining."""
    listening: tuple[str, ...]
    now: float
    """The node's clock."""
    connections: int
    """Logged in or not."""
    peers: int
    """Those that can be written to."""
    phases: dict[str, int]
    """Connections by phase."""
    topics: int
    ledger: LedgerSnapshot
    queued_bytes: int
    """In all outboxes, with a charge for each batch."""
    largest_queued_bytes: int
    """In the one that holds most."""
    largest: str
    """Whose that is; empty if nothing is queued."""
    full: int
    """Outboxes that are full."""
    paused: int
    """Peers that are not read because of others, or their own answers."""
    closed: dict[str, int]
    """Connections that have closed, by reason."""
    faults: int
    """Exceptions in sessions: faults of the node's, logged."""


@dataclass(frozen=True, slots=True)
class Filler:
    """A sender who has something in an outbox."""

    name: str
    lines: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sender who is not read because of an outbox."""

    name: str
    lane: str
    """For what: direct lines, topic lines, or its own answers."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Lane:
    """Lines to the name, or topic lines, that wait in an outbox whose transport takes nothing now."""

    lane: str
    """direct or topic."""
    held_bytes: int
    full_for: float | None
    """Nothing if it is not full."""
    patience: float
    """What its senders wait for at most; infinity for ever."""
    patience_over: bool
    """Whether they are read again although it is full: new lines are given back, or push out the oldest."""
    patience_left: float | None
    """Until that is so; infinity for never; nothing if it is not full, or patience is over."""


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


def stats(node: NodeService) -> Stats:
    """The node as a whole; costs what walking all connections costs."""
    connections = node.peers.connections
    sessions = [connection.session for connection in connections]
    # By identity: the hash, or the value, of an Enum costs more than all the rest of this together.
    phases = Counter(map(id, [session.phase for session in sessions]))
    size = largest = full = 0
    whose = b""
    for session in [session for session in sessions if not session.outbox.empty]:
        outbox = session.outbox
        held = outbox.held()
        full += outbox.full
        size += held
        if held > largest:
            largest, whose = held, session.name
    return Stats(
        version=__version__,
        node=_text(node.live.node.name),
        state=state(node),
        listening=tuple(listener.where for listener in node.listeners if listener.port is not None),
        now=node.peers.clock.seconds(),
        connections=len(connections),
        peers=len(node.broker.directory.names),
        phases={phase.value: phases[id(phase)] for phase in Phase if phase is not Phase.GONE},
        topics=len(node.broker.directory.topics),
        ledger=node.broker.snapshot(),
        queued_bytes=size,
        largest_queued_bytes=largest,
        largest=_text(whose),
        full=full,
        paused=len(_paused(node)),
        closed={_text(reason.value): count for reason, count in node.peers.closed.items()},
        faults=node.peers.faults,
    )


def state(node: NodeService) -> str:
    """starting (until every listener is bound), running, or draining."""
    if node.draining:
        return "draining"
    bound = all(listener.port is not None for listener in node.listeners)
    return "running" if node.running and bound else "starting"


def topics(node: NodeService) -> list[Topic]:
    """What somebody hears, sorted by name."""
    return [Topic(_text(name), hearers) for name, hearers in node.broker.directory.heard()]


def closed(node: NodeService) -> list[Closed]:
    """The last connections that closed, the newest first."""
    return [
        Closed(
            _text(gone.name),
            address_text(gone.address),
            gone.at,
            _text(gone.reason.value),
            gone.seconds,
            gone.given_back,
            gone.lost,
        )
        for gone in node.peers.last_closed()
    ]


def links(node: NodeService) -> list[Link]:
    """Connections to other nodes: none, since nodes do not talk to each other yet."""
    return []


# Of peers


def peers(node: NodeService) -> list[Peer]:
    """Every connection, in the order in which they came."""
    now, paused = node.peers.clock.seconds(), _paused(node)
    return [_peer(node, connection, now, paused) for connection in node.peers.connections]


def why(node: NodeService, name: str) -> Why | None:
    """Why this peer gets its lines late; nothing if there is no such peer."""
    wanted = name.encode("utf-8", "surrogateescape")
    for connection in node.peers.connections:
        session = connection.session
        if wanted and session.name == wanted and session.phase not in (Phase.WAITING, Phase.GONE):
            return _why(node, connection)
    return None


def _why(node: NodeService, connection: PeerProtocol) -> Why:
    now, delivery, outbox = node.peers.clock.seconds(), node.live.delivery, connection.session.outbox
    queued = outbox.snapshot(now)
    patience = {"direct": delivery.direct_patience, "topic": delivery.topic_patience}
    given_up = float("inf") if outbox.pump is None else outbox.pump.stalls_at()
    return Why(
        peer=_peer(node, connection, now, _paused(node)),
        bound=delivery.outbox_bytes,
        low_water=delivery.low_water,
        blocked=outbox.blocked,
        lanes=tuple(
            Lane(
                lane.lane.value,
                lane.held_bytes,
                lane.full_for,
                patience[lane.lane.value],
                lane.patience_over,
                lane.patience_left,
            )
            for lane in queued.lanes
        ),
        fillers=tuple(Filler(_text(filler.name), filler.lines, filler.bytes) for filler in queued.fillers),
        waiting=tuple(_waiting(queued.waiting)),
        given_up_in=None if given_up == float("inf") else max(given_up - now, 0.0),
    )


def _waiting(waiters: Iterable[Waiter]) -> Iterator[Waiting]:
    for waiter in waiters:
        yield Waiting(_text(waiter.name), waiter.lane.value, waiter.seconds)


_Paused = dict[ISender, tuple[float, list[str]]]
"""Since when each sender is not read, and because of whom."""


def _paused(node: NodeService) -> _Paused:
    """Who is not read, found where they wait: only outboxes whose transports take nothing have anybody waiting."""
    found: _Paused = {}

    def add(sender: ISender, since: float, whom: str) -> None:
        then, names = found.get(sender, (since, []))
        if whom not in names:
            names.append(whom)
        found[sender] = (min(then, since), names)

    for connection in node.peers.connections:
        backlog = connection.session.outbox.backlog
        if backlog is not None:
            for _, gate in gates_of(backlog):
                for sender, since in gate.waiting.items():
                    add(sender, since, _text(connection.session.name))
    for sender, since in node.peers.stopping.waiting.items():
        add(sender, since, DRAIN)
    return found


def _peer(node: NodeService, connection: PeerProtocol, now: float, paused: _Paused) -> Peer:
    session = connection.session
    queued: OutboxSnapshot = session.outbox.snapshot(now)
    since, whom = paused.get(session, (now, ()))
    return Peer(
        name=_text(session.name),
        node=_text(node.live.node.name),
        address=address_text(connection.peer),
        phase=session.phase.value,
        connected_at=connection.connected_at,
        connected_for=now - connection.connected_at,
        topics=len(session.topics or ()),
        queued_lines=queued.lines,
        queued_bytes=queued.held_bytes,
        oldest=queued.oldest,
        full_for=queued.full_for,
        paused_for=now - since,
        paused_by=tuple(whom),
        lagged=session.outbox.lagged,
    )


def address_text(address: Any) -> str:
    """An address as people write it: `127.0.0.1:6388`, `[::1]:6388`, a UNIX socket's path."""
    if address is None:
        return ""
    host = getattr(address, "host", None)
    if host is not None:
        return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    name = getattr(address, "name", address)
    if name is None:  # whoever connects to a UNIX socket has no name of its own
        return "unix"
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
