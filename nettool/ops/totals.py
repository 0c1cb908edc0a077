"""
A node as a whole at one moment.

In: a node.  Out: one frozen value with all of its counts.  Never: a walk through batches: an idle peer costs one look,
and a busy one a few more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from nettool import __version__
from nettool.broker.ledger import LedgerSnapshot
from nettool.cluster.service import LinkService
from nettool.cluster.snapshots import LinkSnapshot
from nettool.interfaces import ISender
from nettool.ops.links import LinkStats, link_stats
from nettool.ops.queued import text
from nettool.outbox.batch import Kind
from nettool.outbox.facts import LaneName, gates_of
from nettool.outbox.passage import Passage
from nettool.outbox.queue import Outbox
from nettool.peers.protocol import PeerProtocol
from nettool.peers.session import Phase
from nettool.service import NodeService

DRAIN = "(drain)"
"""Stands for the node itself, which reads nobody any more, where a name would: no name has brackets."""

MODES = {Kind.DIRECT: "direct", Kind.TOPIC: "broadcast", Kind.MIXED: "mixed"}
"""What batches of texts are addressed to: a name, topics, or both in one order."""


@dataclass(frozen=True, slots=True)
class Passing:
    """One phase of the way of lines of one mode to the kernel.

    started = passed + given_up + taken_apart + in_flight, at every moment; all of them in copies of lines.
    """

    phase: str
    """outgoing-buffer: from the read that brought a line to a transport; outgoing-transfer: until that has taken it."""
    mode: str
    """direct, broadcast, mixed."""
    started: int
    passed: int
    given_up: int
    """Given back or dropped; in a transfer, the connection ended first."""
    taken_apart: int
    """Mixed lines that have gone on as direct or broadcast ones, and started again as those."""
    in_flight: int
    """Found by walking outboxes, never as the difference of the others."""
    bytes: int
    """Of those that passed."""
    seconds: float
    """Of those that passed: the sum over all lines, so that seconds / passed is a line's mean."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Who is made to wait for one kind of thing: direct or topic lines, their own answers, a drain."""

    lane: str
    filled: int
    """Times that a lane of an outbox became full."""
    pauses: int
    """Times that a sender was made to wait; by three outboxes at a time is three times."""
    paused: float
    """Seconds for which senders waited, those who wait now included."""
    waiting: int
    """Senders who wait now; again once for each outbox."""


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
    connections_made: int
    """Until now, those that have closed included."""
    peers: int
    """Those that can be written to."""
    phases: dict[str, int]
    """Connections by phase."""
    topics: int
    ledger: LedgerSnapshot
    received_lines: int
    """Lines that peers have sent, but for empty ones; the parts of a list longer than 16 KiB count each."""
    received_bytes: int
    returned_bytes: dict[str, int]
    """By reason, as they were given back."""
    dropped_bytes: dict[str, int]
    """By reason, as they would have been delivered."""
    queued_bytes: int
    """In all outboxes, with a charge for each batch, and on the ways to other nodes."""
    largest_queued_bytes: int
    """In the one that holds most."""
    largest: str
    """Whose that is; empty if nothing is queued."""
    full: int
    """Outboxes that are full."""
    paused: int
    """Peers that are not read because of others, or their own answers."""
    waits: tuple[Waits, ...]
    passing: tuple[Passing, ...]
    closed: dict[str, int]
    """Connections that have closed, by reason."""
    faults: int
    """Exceptions in sessions: faults of the node's, logged."""
    outbox_bytes: int
    """The bound of each outbox, for direct and topic lines apart; 0 is unlimited."""
    max_peers: int
    """The limit on connections; 0 is unlimited."""
    links: LinkStats
    """Ways to other nodes, whose lines and bytes are among those that are queued above."""


Paused = dict[ISender, tuple[float, list[str]]]
"""Since when each sender is not read, and because of whom."""


def state(node: NodeService) -> str:
    """starting (until every listener is bound), running, or draining."""
    if node.draining:
        return "draining"
    bound = all(listener.port is not None for listener in node.listeners)
    return "running" if node.running and bound else "starting"


def stats(node: NodeService) -> Stats:
    """The node as a whole; costs what walking all connections costs."""
    walk, ledger, peers = Walk(node), node.broker.ledger, node.peers
    return Stats(
        version=__version__,
        node=text(node.live.node.name),
        state=state(node),
        listening=tuple(listener.where for listener in node.listeners if listener.port is not None),
        now=walk.now,
        connections=len(peers.connections),
        connections_made=len(peers.connections) + sum(peers.closed.values()),
        peers=len(node.broker.directory.names),
        phases=walk.phases,
        topics=len(node.broker.directory.near),
        ledger=ledger.snapshot(walk.queued),
        received_lines=peers.received_lines + walk.received_lines,
        received_bytes=peers.received_bytes + walk.received_bytes,
        returned_bytes={text(reason.value): size for reason, size in ledger.returned_bytes.items()},
        dropped_bytes={text(reason.value): size for reason, size in ledger.dropped_bytes.items()},
        queued_bytes=walk.held,
        largest_queued_bytes=walk.largest,
        largest=walk.whose,
        full=walk.full,
        paused=len(walk.paused),
        waits=walk.waits(node),
        passing=tuple(_passing(ledger.passages, walk)),
        closed={text(reason.value): count for reason, count in peers.closed.items()},
        faults=peers.faults,
        outbox_bytes=node.live.delivery.outbox_bytes,
        max_peers=node.live.peers.max_peers,
        links=link_stats(node.links, walk.links),
    )


class Walk:
    """What walking all connections finds.

    Invariant: it was made at one moment, and keeps no connection alive but by `paused`.
    """

    def __init__(self, node: NodeService) -> None:
        self.now = node.peers.clock.seconds()
        self.received_lines = self.received_bytes = 0
        self.queued = self.held = self.largest = self.full = 0
        self.whose = ""
        self.paused: Paused = {}
        self.links: list[LinkSnapshot] = []
        self.on_their_way: Counter[Kind] = Counter()
        self.in_transfer: Counter[Kind] = Counter()
        self._waited: defaultdict[str, float] = defaultdict(float)
        self._waiting: Counter[str] = Counter()
        phases: Counter[str] = Counter()
        for connection in node.peers.connections:
            session = connection.session
            self.received_lines += session.received_lines
            self.received_bytes += session.received_bytes
            if session.phase is not _READY:
                phases[session.phase.value] += 1
            outbox = session.outbox
            if outbox.blocked or outbox.ready:
                self._look_into(connection, outbox)
        if node.links is not None:
            self._look_at(node.links)
        for sender, since in node.peers.stopping.waiting.items():
            self._waits(sender, since, DRAIN, "drain")
        phases[_READY.value] = len(node.peers.connections) - phases.total()
        self.phases = {phase.value: phases[phase.value] for phase in Phase}

    def _look_into(self, connection: PeerProtocol, outbox: Outbox) -> None:
        held = outbox.held()
        self.queued += outbox.queued()
        self.held += held
        self.full += outbox.full
        if held > self.largest:
            self.largest, self.whose = held, text(connection.session.name)
        for kind, lines in outbox.on_their_way().items():
            self.on_their_way[kind] += lines
        transfer = None if outbox.pump is None else outbox.pump.transfer
        if transfer is not None:
            for kind, (lines, _) in transfer.counts.items():
                self.in_transfer[kind] += lines
        if outbox.backlog is not None:
            for lane, gate in gates_of(outbox.backlog):
                for sender, since in gate.waiting.items():
                    self._waits(sender, since, text(connection.session.name), lane.value)

    def _look_at(self, links: LinkService) -> None:
        """What is on its way to other nodes, and who waits for it."""
        self.links = links.snapshot()
        for link in self.links:
            self.held += link.queued_bytes + link.unconfirmed_bytes
            self.queued += link.queued_lines + link.unconfirmed_lines
        for kind, lines in links.on_their_way().items():
            self.on_their_way[kind] += lines
        for whom, lane, gate in links.gates():
            for sender, since in gate.waiting.items():
                self._waits(sender, since, text(whom), lane.value)

    def _waits(self, sender: ISender, since: float, whom: str, lane: str) -> None:
        self._waiting[lane] += 1
        self._waited[lane] += max(self.now - since, 0.0)
        then, names = self.paused.get(sender, (since, []))
        if whom not in names:
            names.append(whom)
        self.paused[sender] = (min(then, since), names)

    def waits(self, node: NodeService) -> tuple[Waits, ...]:
        """By what senders wait for."""
        counts = node.broker.waits
        lanes = {
            LaneName.DIRECT.value: counts.direct,
            LaneName.TOPIC.value: counts.topic,
            LaneName.OWN.value: counts.own,
            "drain": counts.drain,
        }
        return tuple(
            Waits(lane, wait.filled, wait.pauses, wait.paused + self._waited[lane], self._waiting[lane])
            for lane, wait in lanes.items()
        )


_READY = Phase.READY


def _passing(passages: tuple[Passage, ...], walk: Walk) -> list[Passing]:
    found = []
    for kind, mode in MODES.items():
        passage = passages[kind]
        found.append(
            Passing(
                "outgoing-buffer",
                mode,
                started=passage.accepted + passage.from_mixed,
                passed=passage.delivered,
                given_up=passage.given_up,
                taken_apart=passage.told_apart,
                in_flight=walk.on_their_way[kind],
                bytes=passage.bytes,
                seconds=passage.seconds,
            )
        )
        found.append(
            Passing(
                "outgoing-transfer",
                mode,
                started=passage.delivered,
                passed=passage.delivered - passage.held + passage.taken,
                given_up=passage.lost,
                taken_apart=0,
                in_flight=walk.in_transfer[kind],
                bytes=passage.bytes - passage.untaken_bytes,
                seconds=passage.transfer_seconds,
            )
        )
    return found
