"""What tests of whole clusters are made of: peers, and somebody who speaks to a node as another node would."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol

from nettool.cluster import frames
from nettool.cluster.frames import Hello, Kind
from nettool.embed.cluster import Cluster
from nettool.embed.inside import InsideEndpoint
from nettool.embed.node import Node
from nettool.mesh.framing import Frames, join


class Talker(Protocol):
    """A peer: what it hears is kept, a line each."""

    def __init__(self) -> None:
        self.unread = bytearray()
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        self.unread += data

    def connectionLost(self, reason: Any = None) -> None:
        self.gone = True

    def say(self, *lines: bytes) -> None:
        self.transport.write(b"".join(line + b"\n" for line in lines))  # type: ignore[union-attr]

    def heard(self) -> list[bytes]:
        """The lines since the last time."""
        *lines, rest = bytes(self.unread).split(b"\n")
        self.unread[:] = rest
        return lines

    def stop_reading(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def read_on(self) -> None:
        self.transport.resumeProducing()  # type: ignore[union-attr]


def log_in(cluster: Cluster, node: str, name: bytes, *lines: bytes) -> Talker:
    """A peer of that name, whom all nodes know of."""
    peer = cluster[node].connect(Talker())
    peer.say(name, *lines)
    cluster.settle(0.2)
    assert peer.heard()[0] == b"ok login " + name + b"@" + node.encode()
    return peer


def adds_up(cluster: Cluster) -> None:
    """Each node's ledger does."""
    for node in cluster.nodes.values():
        totals = node.totals()
        assert totals.adds_up, totals


class Other(Protocol):
    """Another node, as far as a test speaks for it: each frame by hand."""

    def __init__(self, name: bytes = b"node2", instance: bytes = b"i" * frames.INSTANCE) -> None:
        self.name = name
        self.instance = instance
        self.payloads: list[bytes] = []
        self.gone = False
        self._frames = Frames(2**31)
        self._number = 0
        self.last_number = 0
        """Of the last frame with lines that came."""

    def dataReceived(self, data: bytes) -> None:
        payloads = self._frames.feed(data)
        self.payloads += payloads
        numbered = [payload for payload in payloads if payload[0] in frames.NUMBERED]
        if numbered:
            self.last_number = int.from_bytes(numbered[-1][1:9], "big")

    def connectionLost(self, reason: Any = None) -> None:
        self.gone = True

    def send(self, *payloads: bytes) -> None:
        self.send_bytes(join(payloads))

    def send_bytes(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def hello(self, **fields: Any) -> None:
        self.send(frames.render_hello(Hello(**{"name": self.name, "instance": self.instance, **fields})))

    def heard(self, kind: Kind) -> list[bytes]:
        """The payloads of that kind, which are taken out."""
        found = [payload for payload in self.payloads if payload[0] == kind]
        self.payloads = [payload for payload in self.payloads if payload[0] != kind]
        return found

    def lines(self, kind: Kind, target: bytes, texts: bytes, **fields: Any) -> bytes:
        """A frame with lines, with the next number."""
        self._number += 1
        given = {
            "kind": kind,
            "number": self._number,
            "login": 1,
            "sender": b"mallory",
            "target": target,
            "qualified": False,
            "reason": None,
            "data": texts,
        }
        return frames.render_lines(frames.Lines(**{**given, **fields}))

    def refused(self) -> tuple[str, str]:
        """The one refusal that was heard: its word and its sentence."""
        [payload] = self.heard(Kind.REFUSED)
        return frames.parse_refusal(payload)


def reach(node: Node, other: Other) -> Other:
    """Connect to a node as another node does."""
    assert node.links is not None
    way = InsideEndpoint(node.reactor, "node1", node.links.factory, lambda: True)
    way.connect(Factory.forProtocol(lambda: other))  # type: ignore[arg-type]
    return other


def link(cluster: Cluster, other: Other, node: str = "node1") -> Other:
    """Connect, say hello, and be the link: the node's name sorts lower than the other's, so that other takes it."""
    reach(cluster[node], other)
    other.hello()
    cluster.settle(0.1)
    other.send(bytes([Kind.TAKE]))
    cluster.settle(0.1)
    return other
