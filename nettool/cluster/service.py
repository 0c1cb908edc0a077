"""
All links of one node, to be started and stopped.

In: a node's broker and settings; which nodes there are, and by which endpoints they are dialled.  Out: links, redialled
when they are lost; a factory for connections that come in.  Never: a listener; the node's service has those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random, SystemRandom
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from nettool.broker.broker import Broker
from nettool.cluster.dialling import Dialler
from nettool.cluster.frames import INSTANCE
from nettool.cluster.judges import Judge, trust_nobody
from nettool.cluster.linked import Linked
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.protocol import Alarm, LinkFactory
from nettool.cluster.snapshots import (
    FarSnapshot,
    LinkSnapshot,
    LinkTotals,
    far_snapshot_of,
    snapshot_of,
    totals_of,
    way_snapshot_of,
)
from nettool.errors import LinkEnd
from nettool.outbox.batch import Kind
from nettool.outbox.facts import LaneName, gates_of
from nettool.outbox.gates import Gate
from nettool.outbox.turn import Turn
from nettool.settings import Live

Addresses = Sequence[IStreamClientEndpoint]

LOOK = 0.02
"""Seconds between two looks whether the links are flushed, at the end."""


class LinkService(Service):
    """The links of one node.

    Invariant: there is one dialler for each node that is known, and it runs as long as this does.
    """

    def __init__(
        self,
        broker: Broker,
        live: Live,
        turn: Turn,
        clock: IReactorTime,
        *,
        judge: Judge = trust_nobody,
        explain: Callable[[Failure], str] = Failure.getErrorMessage,
        chance: Random | None = None,
    ) -> None:
        """From now on the broker's cluster is this.

        `judge` decides whether another node is trusted, by its name and its transport; without one nobody is.
        `trust_nearby` is for tests with plain connections.  `explain` says why a connection was lost.
        """
        self.setName("links")
        self._clock = clock
        self._turn = turn
        self._chance = SystemRandom() if chance is None else chance
        began = int(clock.seconds() * 1000) & (2**64 - 1)
        instance = began.to_bytes(8, "big") + self._chance.randbytes(INSTANCE - 8)
        self._explain = explain
        self._alarm = Alarm(clock, turn)
        self.linked = Linked(broker, live, clock.seconds, self._alarm, instance, judge)
        self._alarm.call = self.linked.tick
        self.linked.watch_links = self._link_changed
        self.factory = LinkFactory(self.linked, clock, turn, explain=explain)
        """For listeners: connections that other nodes make."""
        self.trusts: Callable[[bytes], bool] = lambda name: True
        """Whether a node could be linked to, as far as that is known before it has shown its key."""
        self._diallers: dict[bytes, Dialler] = {}
        self._keys: dict[bytes, object] = {}
        broker.join_cluster(self.linked)

    # Which nodes there are

    def know(self, name: bytes, addresses: Addresses = (), key: object = None, where: str = "") -> Neighbour:
        """There is such a node, to be dialled at these addresses in order; at none, it is waited for.

        If it was known already, other addresses are tried at once, unless it is linked; the same ones change nothing.
        `key` is what two calls' addresses are compared by, where the endpoints themselves cannot be; `where` is how
        they are written, for a log.
        """
        neighbour = self.linked.add(name)
        dialler = self._diallers.get(name)
        key = tuple(addresses) if key is None else key
        if dialler is None:
            dialler = self._diallers[name] = Dialler(neighbour, self._clock, self._turn, self._chance, self._explain)
            dialler.redial(addresses, where)
            if self.running:
                dialler.start()
        elif key != self._keys[name]:
            dialler.redial(addresses, where)
        self._keys[name] = key
        return neighbour

    def forget(self, name: bytes) -> None:
        """There is no such node any more: its link ends, and what waits for it goes back."""
        dialler = self._diallers.pop(name, None)
        if dialler is not None:
            del self._keys[name]
            dialler.stop()
        self.linked.remove(name)
        self._turn.schedule()

    @property
    def names(self) -> frozenset[bytes]:
        """The nodes that there are."""
        return frozenset(self._diallers)

    def node_at(self, where: str) -> bytes:
        """The node of this name, or at this address (`HOST:PORT`, as it is configured); `LookupError` if there is none,
        or if none of that name is trusted."""
        names = [name for name, key in self._keys.items() if name == where.encode() or where in _written(key)]
        if where.encode() == self.linked.name:
            names = [self.linked.name]
        if len(names) > 1:
            several = ", ".join(sorted(name.decode() for name in names))
            raise LookupError(f"{where} is an address of several nodes: {several}")
        if not names:
            known = ", ".join(sorted(name.decode() for name in self.names)) or "none"
            raise LookupError(f"there is no node {where}; known by name or address: {known}")
        if names[0] != self.linked.name and not self.trusts(names[0]):
            raise LookupError(f"{names[0].decode()} is not trusted: add its line to trusted-nodes")
        return names[0]

    def replace(self, nodes: Mapping[bytes, Addresses]) -> None:
        """These are the nodes from now on; links to those that stay are not touched."""
        for name in self._diallers.keys() - nodes.keys():
            self.forget(name)
        for name, addresses in nodes.items():
            self.know(name, addresses)

    def settings_changed(self) -> None:
        """Other settings are in force: what waits may be due earlier."""
        if self.running:
            self._alarm.by(self._clock.seconds())

    def _link_changed(self, neighbour: Neighbour) -> None:
        dialler = self._diallers.get(neighbour.name)
        if dialler is not None:
            dialler.link_changed()

    # Its beginning and its end

    def startService(self) -> None:
        """Dial."""
        super().startService()
        for dialler in self._diallers.values():
            dialler.start()

    def stopService(self) -> Deferred[Any]:
        """Dial no more.  Links end with the broker's `shut_down`, so that they can be flushed before."""
        super().stopService()
        return DeferredList([dialler.stop() for dialler in self._diallers.values()])

    async def flush(self, seconds: float) -> None:
        """Wait until nothing is on its way to another node that is linked, or so many seconds."""
        end = self._clock.seconds() + seconds
        while self._clock.seconds() < end and not self._flushed:
            await deferLater(self._clock, min(LOOK, seconds))

    @property
    def _flushed(self) -> bool:
        neighbours = self.linked.neighbours.values()
        return all(neighbour.queue.quiet for neighbour in neighbours if neighbour.link is not None)

    async def closed(self) -> None:
        """Wait until every connection has ended, after the broker's `shut_down`."""
        self._alarm.stop()
        while self._connections:
            await deferLater(self._clock, LOOK)
        self._alarm.stop()

    def abort(self) -> None:
        """End every connection at once."""
        for connection in self._connections:
            connection.abort()

    @property
    def _connections(self) -> list[Any]:
        return [*self.factory.connections, *(c for d in self._diallers.values() for c in d.connections)]

    # What an operator sees

    def snapshot(self) -> list[LinkSnapshot]:
        """All nodes that are known, sorted by name, each with its link."""
        now = self._clock.seconds()
        return [snapshot_of(neighbour, now) for _, neighbour in sorted(self.linked.neighbours.items())]

    def why(self, address: bytes) -> FarSnapshot | None:
        """What is under way to `name@node`, who wrote it and who waits because of him; nothing for a node unknown.

        Without a node, of the one node that has somebody of that name, if there is only one.  `@node` is the way there.
        """
        name, at, node = address.partition(b"@")
        if not at:
            nodes = self.linked.nodes_with(name)
            node = nodes[0] if len(nodes) == 1 else b""
        neighbour = self.linked.neighbours.get(node)
        if neighbour is None:
            return None
        now = self._clock.seconds()
        return far_snapshot_of(neighbour, name, now) if name else way_snapshot_of(neighbour, now)

    def totals(self) -> LinkTotals:
        """All that was counted, of nodes that are not known any more too: no count becomes less."""
        return totals_of(self.linked)

    def on_their_way(self) -> dict[Kind, int]:
        """Copies of texts that are accepted here and not yet there, those on their way back left out, by kind."""
        here: Counter[Kind] = Counter()
        for neighbour in self.linked.neighbours.values():
            here.update(neighbour.queue.on_their_way())
        return dict(here)

    def gates(self) -> list[tuple[bytes, LaneName, Gate]]:
        """Where senders may wait because of other nodes: for one receiver there, or for the way to one node."""
        found: list[tuple[bytes, LaneName, Gate]] = []
        for neighbour in self.linked.neighbours.values():
            windows = [(far.name, far.lane) for far in neighbour.closed_windows]
            found += [(name, LaneName.DIRECT, lane.gate) for name, lane in windows if lane is not None]
            if neighbour.queue.backlog is not None:
                found += [(b"@" + neighbour.name, lane, gate) for lane, gate in gates_of(neighbour.queue.backlog)]
        return found

    def ends(self) -> dict[LinkEnd, int]:
        """Why connections to other nodes have ended, or could not be made."""
        return dict(self.linked.ends)


def _written(addresses: object) -> tuple[str, ...]:
    """Addresses as they are written, where they are not endpoints."""
    return tuple(map(str, addresses)) if isinstance(addresses, tuple) else ()
