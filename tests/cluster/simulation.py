"""
A cluster in memory to which everything happens that can.

In: a seed, a number of steps.  Out: nothing, or an assertion that names the seed and the step.
Never: a socket, a sleep, a chance that the seed does not decide.

Every text is unique: it names its sender's login and its place among what that sender wrote.  So what must hold can be
looked at from outside: whoever hears a sender hears him in order, nothing twice, nothing that was given back.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol

from nettool.cluster.phases import Mode, PhaseName
from nettool.cluster.sending import mode_of
from nettool.embed.cable import Cut
from nettool.embed.cluster import Cluster
from nettool.embed.node import Node
from nettool.errors import DropReason, LinkEnd
from nettool.ops.totals import stats

OPTIONS: dict[str, str | int] = {
    "outbox_bytes": "16KiB",
    "max_line": "4KiB",
    "remote_window": "8KiB",
    "direct_patience": "500ms",
    "stall_timeout": "20s",
    "pending_timeout": "10s",
}
TOPICS = [b"#t%d" % number for number in range(6)]
MOST_AT_ONCE = 128 * 1024
"""Bytes that reads of all who write to one peer bring over his bound, at most."""
TEXT = re.compile(rb"(\d+)\.(\d+) ")


@contextmanager
def small_buffers() -> Iterator[None]:
    """Transports that take little, so that whoever stops reading is noticed after some lines and not half a MiB."""
    with ExitStack() as patched:
        for where in ("embed.pipe.KERNEL_SEND_BUFFER", "outbox.queue.CHUNK", "outbox.backlog.CHUNK"):
            patched.enter_context(patch(f"nettool.{where}", 4096))
        patched.enter_context(patch("nettool.embed.pipe.READ", 16 * 1024))
        for where in ("cluster.queue.CHUNK", "cluster.outlet.CHUNK", "cluster.arrivals.CONFIRM_BYTES"):
            patched.enter_context(patch(f"nettool.{where}", 4096))
        yield


class Wrong:
    """An address at which there is nobody."""

    def connect(self, factory: Any) -> Deferred[Any]:
        return fail(ConnectionRefusedError())


class Peer(Protocol):
    """One login, from its connection to its end."""

    def __init__(self, number: int, name: bytes, home: str) -> None:
        self.number = number
        self.name = name
        self.home = home
        self.written = 0
        self.reading = True
        self.gone = False
        self.heard: dict[int, list[int]] = defaultdict(list)
        self.returned: set[int] = set()
        self.other: list[bytes] = []
        self.wrong: list[str] = []
        """What must not be."""
        self._unread = b""

    def dataReceived(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        text = TEXT.match(rest.partition(b": ")[2]) if word in (b"from", b"returned") else None
        if text is None:
            self.other.append(line)
        elif word == b"from":
            self.heard[int(text[1])].append(int(text[2]))
        else:
            # Not raised here: what a protocol raises ends its connection, and no test.
            if int(text[1]) != self.number:
                self.wrong.append(f"{line!r} came back to {self.name!r}")
            if int(text[2]) in self.returned:
                self.wrong.append(f"{line!r} came back twice")
            self.returned.add(int(text[2]))

    def connectionLost(self, reason: Any = None) -> None:
        self.gone = True

    def say(self, *lines: bytes) -> None:
        if not self.gone:
            self.transport.write(b"".join(line + b"\n" for line in lines))  # type: ignore[union-attr]

    def next_text(self, size: int) -> bytes:
        self.written += 1
        return b"%d.%d " % (self.number, self.written) + b"x" * size


class Simulation:
    """A cluster, its peers, and what is known of them from outside."""

    def __init__(self, seed: int, nodes: int = 8, peers: int = 40, *, kills: bool = True) -> None:
        self.chance = Random(seed)
        self.seed = seed
        self.names = [f"node{number}" for number in range(1, nodes + 1)]
        self.pairs = list(combinations(self.names, 2))
        self.cluster = Cluster(self.names, seed=seed, **OPTIONS)
        self.kills = kills
        self.peer_names = [b"p%d" % number for number in range(peers)]
        self.peers: dict[tuple[str, bytes], Peer] = {}
        self.all: list[Peer] = []
        self.most_held = self.most_for_one = 0

    def run(self, steps: int) -> None:
        """All of it."""
        with small_buffers(), self.cluster:
            for name in self.peer_names:
                self.log_in(name)
            self.cluster.settle()
            for step in range(steps):
                action = self.chance.choice(ACTIONS)
                try:
                    action(self)
                    self.cluster.pass_time(self.chance.choice((0.0, 0.0, 0.001, 0.01, 0.05, 0.3)))
                    self.look(everywhere=step % 10 == 0)
                except Exception as error:
                    error.add_note(f"seed {self.seed}, step {step}, {action.__name__}")
                    raise
            self.calm_down()
            self.cluster_nodes_seen = list(self.cluster.nodes.values())
            self.look_at_the_end()

    # What happens

    def some_node(self) -> str | None:
        running = list(self.cluster.nodes)
        return self.chance.choice(running) if running else None

    def some_peer(self) -> Peer | None:
        here = [peer for peer in self.peers.values() if not peer.gone]
        return self.chance.choice(here) if here else None

    def log_in(self, name: bytes | None = None) -> None:
        home, name = self.some_node(), name or self.chance.choice(self.peer_names)
        if home is None:
            return
        old = self.peers.get((home, name))
        if old is not None and not old.gone:
            return
        peer = Peer(len(self.all), name, home)
        self.cluster[home].connect(peer)
        peer.say(name)
        self.all.append(peer)
        self.peers[home, name] = peer
        if self.chance.random() < 0.7:
            peer.say(b"/join " + b", ".join(self.chance.sample(TOPICS, 2)))
        if self.chance.random() < 0.2:
            peer.say(b"/watch")

    def send(self) -> None:
        peer = self.some_peer()
        if peer is not None:
            count = self.chance.choice((1, 1, 1, 2, 5, 40))
            most = self.chance.choice((0, 10, 100, 2000))
            lines = []
            same = self.address()
            mixed = self.chance.random() < 0.5
            for _ in range(count):
                address = self.address() if mixed else same
                lines.append(address + b": " + peer.next_text(self.chance.randint(0, most)))
            peer.say(*lines)

    def address(self) -> bytes:
        if self.chance.random() < 0.3:
            return self.chance.choice(TOPICS)
        if self.chance.random() < 0.4 and self.peers:
            peer = self.chance.choice(list(self.peers.values()))
            return peer.name + b"@" + peer.home.encode()
        return self.chance.choice(self.peer_names)

    def burst(self) -> None:
        """Much for one receiver: windows and lanes fill."""
        peer, to = self.some_peer(), self.some_peer()
        if peer is not None and to is not None:
            address = to.name + b"@" + to.home.encode()
            peer.say(*[address + b": " + peer.next_text(500) for _ in range(60)])

    def flood(self) -> None:
        """Very much at once for one on another node who does not read: only windows keep it away from there."""
        peer, to = self.some_peer(), self.some_peer()
        if peer is not None and to is not None and peer.home != to.home:
            self.stop(to)
            address = to.name + b"@" + to.home.encode()
            peer.say(*[address + b": " + peer.next_text(900) for _ in range(500)])

    def join(self) -> None:
        peer = self.some_peer()
        if peer is not None:
            peer.say(b"/join " + self.chance.choice(TOPICS))

    def leave(self) -> None:
        peer = self.some_peer()
        if peer is not None:
            peer.say(b"/leave " + self.chance.choice(TOPICS))

    def disconnect(self) -> None:
        peer = self.some_peer()
        if peer is not None:
            transport: Any = peer.transport
            how = self.chance.choice(("quit", "abort", "close"))
            if how == "quit":
                peer.say(b"/quit")
            elif how == "abort":
                transport.abortConnection()
            else:
                transport.loseConnection()

    def stop_reading(self) -> None:
        peer = self.some_peer()
        if peer is not None:
            self.stop(peer)

    def stop(self, peer: Peer) -> None:
        peer.reading = False
        peer.transport.pauseProducing()  # type: ignore[union-attr]

    def read_on(self) -> None:
        slow = [peer for peer in self.peers.values() if not peer.reading and not peer.gone]
        for peer in slow[: 1 + len(slow) // 2]:
            peer.reading = True
            peer.transport.resumeProducing()  # type: ignore[union-attr]

    def cut(self) -> None:
        self.cluster.cut(*self.chance.choice(self.pairs), self.chance.choice((Cut.LOUD, Cut.SILENT)))

    def blip(self) -> None:
        """Cut and mended at once: the same two instances link again."""
        pair = self.chance.choice(self.pairs)
        self.cluster.cut(*pair, Cut.LOUD)
        self.cluster.mend(*pair)

    def tear(self) -> None:
        """Cut in the middle of what is sent, at any byte, and mended before anybody is missed."""
        peers = [peer for peer in (self.some_peer() for _ in range(4)) if peer is not None]
        for peer in peers:
            lines = [self.address() + b": " + peer.next_text(self.chance.randint(0, 900)) for _ in range(20)]
            peer.say(*lines)
        self.cluster.pass_time(self.chance.randint(0, 12) / 1000)
        homes = [peer.home for peer in peers]
        for pair in self.pairs:
            if self.cluster.cable(*pair).cut is None and not {*pair}.isdisjoint(homes):
                self.cluster.cut(*pair)
                self.cluster.mend(*pair)

    def mend(self) -> None:
        for pair in self.pairs:
            if self.cluster.cable(*pair).cut is not None and self.chance.random() < 0.5:
                self.cluster.mend(*pair)

    def wait(self) -> None:
        self.cluster.pass_time(self.chance.choice((0.5, 2.0, 4.0, 12.0)))

    def kill(self) -> None:
        name = self.some_node()
        if self.kills and name is not None and len(self.cluster.nodes) > len(self.names) // 2:
            self.cluster.kill(name)

    def restart(self) -> None:
        for name in self.names:
            if name not in self.cluster.nodes and self.chance.random() < 0.5:
                self.cluster.start(name)

    def change_address(self) -> None:
        """To one node another's address changes, for better or worse: it is redialled at once, or kept, if linked."""
        one, other = self.chance.sample(self.names, 2)
        good, wrong = self.cluster.endpoint(one, other), Wrong()
        self.know(one, other, self.chance.choice(([good], [wrong, good], [wrong], [])))

    def know(self, one: str, other: str, addresses: list[Any]) -> None:
        node = self.cluster.nodes.get(one)
        if node is not None and node.links is not None:
            node.links.know(other.encode(), addresses)

    def calm_down(self) -> None:
        """Everything is whole, everybody reads, and time passes."""
        for pair in self.pairs:
            self.cluster.mend(*pair)
        for name in self.names:
            if name not in self.cluster.nodes:
                self.cluster.start(name)
        for one in self.names:
            for other in self.names:
                if one != other:
                    self.know(one, other, [self.cluster.endpoint(one, other)])
        for peer in self.peers.values():
            if not peer.gone and not peer.reading:
                peer.transport.resumeProducing()  # type: ignore[union-attr]
        self.cluster.pass_time(100.0)

    # What must hold

    def look(self, everywhere: bool = False) -> None:
        nodes = list(self.cluster.nodes.values())
        for node in nodes if everywhere else self.chance.sample(nodes, min(len(nodes), 2)):
            self.look_at(node)

    def look_at(self, node: Node) -> None:
        wrong = [fault for peer in self.all for fault in peer.wrong]
        assert not wrong, wrong
        totals = node.totals()
        assert totals.adds_up, f"{node.live.node.name!r}: {totals}"
        assert node.links is not None
        faults = node.links.ends().keys() & {LinkEnd.BAD_FRAME, LinkEnd.BROKEN, LinkEnd.UNKNOWN_NODE}
        assert not faults, f"among nodes that keep the protocol: {faults}"
        facts = stats(node)
        assert facts.ledger.queued == totals.queued
        for phase in facts.passing:
            assert phase.started == phase.passed + phase.given_up + phase.taken_apart + phase.in_flight, phase
        bound = node.live.delivery.outbox_bytes
        for neighbour in node.links.linked.neighbours.values():
            queue = neighbour.queue
            for mode in Mode:
                waiting = sum(batch.lines for batch in queue.batches() if mode_of(batch) is mode)
                assert queue.phases.of(mode, PhaseName.OUTGOING_BUFFER).in_flight == waiting
                sent = sum(sent.lines for sent in queue.sent if sent.mode is mode)
                assert queue.phases.of(mode, PhaseName.OUTGOING_TRANSFER).in_flight == sent
                assert not queue.phases.of(mode, PhaseName.INCOMING_BUFFER).in_flight
            assert queue.sent_bytes == sum(len(sent.frame) for sent in queue.sent)
            # Twice eight times a peer's bound, and what reads bring over it; returns may be four times that.
            assert queue.held_bytes <= 2 * 8 * bound + 4 * 8 * bound, neighbour.name
            assert queue.sent_bytes <= queue.bounds.unconfirmed + 2 * 256 * 1024
            for far in neighbour.under_way.values():
                assert far.lane is not None
                assert far.ahead == queue.sizes_by_name().get(far.short, 0), (far.name, far.ahead)
            self.most_held = max(self.most_held, queue.held_bytes)
        for connection in node.peers.connections:
            held = connection.session.outbox.held()
            # Its own returns up to four times the bound, topic lines up to twice; and what reads bring over it.
            assert held <= (4 + 2) * bound + MOST_AT_ONCE, (connection.who, held)
            self.most_for_one = max(self.most_for_one, held)
        for name, peer in node.broker.directory.names.items():
            assert node.broker.directory.reach[name] is peer

    def look_at_the_end(self) -> None:
        for node in self.cluster.nodes.values():
            self.look_at(node)
            totals = node.totals()
            assert totals.queued == 0, f"{node.live.node.name!r}: {totals}"
            assert node.links is not None
            for neighbour in node.links.linked.neighbours.values():
                assert neighbour.link is not None, (node.live.node.name, neighbour.name)
                assert neighbour.queue.quiet and not neighbour.closed_windows and not neighbour.under_way
                there = self.cluster[neighbour.name.decode()].broker.directory
                assert neighbour.peers.keys() == there.names.keys()
                assert neighbour.topics == there.near.keys()
            for connection in node.peers.connections:
                assert connection.session.wants_input, connection.who
        if not self.kills:
            self.look_at_the_whole()
        self.look_at_what_was_heard()

    def look_at_the_whole(self) -> None:
        """The equation of the cluster: what all have forwarded is what all have taken over.

        What was sent and not confirmed when a link stayed away for too long may have been taken over, and is not known.
        """
        forwarded = sum(node.totals().forwarded for node in self.cluster.nodes.values())
        taken = sum(
            neighbour.queue.phases.of(mode, PhaseName.INCOMING_BUFFER).finished
            for node in self.cluster.nodes.values()
            for neighbour in node.links.linked.neighbours.values()  # type: ignore[union-attr]
            for mode in Mode
        )
        unknown = sum(node.totals().dropped.get(DropReason.LINK_LOST, 0) for node in self.cluster.nodes.values())
        assert forwarded <= taken <= forwarded + unknown, (forwarded, taken, unknown)

    def look_at_what_was_heard(self) -> None:
        by_number = {peer.number: peer for peer in self.all}
        delivered: dict[int, set[int]] = defaultdict(set)
        for peer in self.all:
            for number, places in peer.heard.items():
                assert places == sorted(places), f"{by_number[number].name!r} to {peer.name!r}: order"
                assert len(places) == len(set(places)), f"{by_number[number].name!r} to {peer.name!r}: twice"
                delivered[number] |= set(places)
        for peer in self.all:
            both = peer.returned & delivered[peer.number]
            assert not both, f"of {peer.name!r}: delivered and given back: {sorted(both)[:5]}"
        assert sum(map(len, delivered.values())) > 0


ACTIONS: list[Callable[[Simulation], None]] = [
    *[Simulation.send] * 12,
    *[Simulation.burst] * 2,
    Simulation.flood,
    *[Simulation.join] * 3,
    *[Simulation.leave] * 2,
    *[Simulation.log_in] * 3,
    Simulation.disconnect,
    *[Simulation.stop_reading] * 2,
    *[Simulation.read_on] * 2,
    Simulation.cut,
    Simulation.blip,
    *[Simulation.tear] * 2,
    *[Simulation.mend] * 3,
    Simulation.wait,
    Simulation.kill,
    *[Simulation.restart] * 2,
    Simulation.change_address,
]
