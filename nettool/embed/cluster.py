"""
A whole cluster of nodes in memory.

In: names of nodes, options.  Out: nodes that are linked, each with each, by cables that a test can cut; time that only
the test moves.  Never: a socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from random import Random
from types import TracebackType
from typing import Any, Self

from twisted.internet.task import Clock

from nettool.cluster.judges import trust_nobody
from nettool.embed.cable import Cable, CableEndpoint, Cut
from nettool.embed.inside import InsideAddress
from nettool.embed.node import Node

STEP = 0.01
"""Seconds by which the clock is moved at a time."""


def trust_inside(name: bytes, transport: Any, meant: bytes) -> None:
    """The judge of a cluster in memory: whoever has a cable is who he says, since nobody else could have laid it."""
    if not isinstance(transport.getPeer(), InsideAddress):
        trust_nobody(name, transport, meant)


class Cluster:
    """Nodes on one `Clock`, all linked.

        with Cluster(["node1", "node2"]) as cluster:
            alice = cluster["node1"].connect(Alice())
            cluster.cut("node1", "node2")

    Invariant: each two nodes have one cable, whole or cut, whether or not they run.
    """

    def __init__(
        self, names: Iterable[str], clock: Clock | None = None, *, seed: int | None = None, **options: str | int
    ) -> None:
        """`options` are those of each node, as `Node` takes them.  With a `seed`, bytes between nodes arrive late,
        in pieces that are cut anywhere, and chance is the same each time."""
        self.clock = Clock() if clock is None else clock
        self._seed = seed
        self._options = options
        self._starts = 0
        self.names = list(names)
        self.nodes: dict[str, Node] = {}
        """Those that run."""
        self.cables = {
            frozenset(pair): Cable(self.clock, None if seed is None else Random(f"{seed} {pair}"))
            for pair in combinations(self.names, 2)
        }

    def __getitem__(self, name: str) -> Node:
        """A node that runs."""
        return self.nodes[name]

    def __enter__(self) -> Self:
        """Start all nodes, and let them link."""
        for name in self.names:
            self.start(name)
        self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain all nodes, one after the other."""
        for name in tuple(self.nodes):
            self.stop(name)

    # Nodes

    def start(self, name: str) -> Node:
        """Start a node: a new instance, which knows nothing of what was before."""
        self._starts += 1
        node = Node(self.clock, listen=(), **{**self._options, "node_name": name})
        links = node.link(judge=trust_inside, chance=Random(f"{self._seed} {self._starts}"))
        for other in self.names:
            if other != name:
                links.know(other.encode(), [self.endpoint(name, other)])
        self.nodes[name] = node
        node.__enter__()
        return node

    def endpoint(self, here: str, there: str) -> CableEndpoint:
        """How one dials the other."""

        def answering() -> object:
            node = self.nodes.get(there)
            return None if node is None or node.links is None else node.links.factory

        return CableEndpoint(self.cable(here, there), here, there, answering)  # type: ignore[arg-type]

    def stop(self, name: str) -> None:
        """Stop a node in order: it drains."""
        node = self.nodes.pop(name)
        node.__exit__(None, None, None)

    def kill(self, name: str) -> None:
        """End a node as a lost process ends: nobody is told anything, but that its connections are lost."""
        node = self.nodes.pop(name)
        for cable in self.cables.values():
            for end in tuple(cable.ends):
                if end.here == name:
                    end.vanish()
        node.abort()
        ended = node.stopService()
        while not ended.called:
            self.pass_time(STEP)

    # Cables

    def cable(self, one: str, other: str) -> Cable:
        """The one between two nodes."""
        return self.cables[frozenset((one, other))]

    def cut(self, one: str, other: str, how: Cut = Cut.LOUD) -> None:
        """Cut it."""
        self.cable(one, other).cut_now(how)

    def mend(self, one: str, other: str) -> None:
        """Mend it."""
        self.cable(one, other).mend()

    # Time

    def settle(self, seconds: float = 1.0) -> None:
        """Let happen what happens soon: as much as nodes need to link, or to confirm what was sent."""
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, from one thing that is due to the next."""
        end = self.clock.seconds() + seconds
        while True:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            if due > end:
                break
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            if due >= end and not any(call.getTime() <= end for call in self.clock.getDelayedCalls()):
                break
        self.clock.advance(max(0.0, end - self.clock.seconds()))
