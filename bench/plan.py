"""What one run asks of a server, in no server's words: who is connected, who hears what, who sends what to whom.

In: names, topics and addresses from a workload.  Out: the receivers of each line, and its text.
Never: bytes of any server's protocol, sockets, time.

Names, topics and texts have a fixed width, so that what a run has to deliver is known to the byte beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

Addresses = tuple[bytes, ...]

FILLER = b" the quick brown fox jumps over the lazy dog"
SHORTEST_TEXT = 8


@dataclass(frozen=True)
class Peer:
    """One connection: its name, the topics it hears, each beginning with `#`, and the node that it is connected to."""

    name: bytes
    topics: tuple[bytes, ...] = ()
    node: int = 0


@dataclass(frozen=True)
class Plan:
    """One block of lines for each sender; a run sends its block again and again."""

    peers: tuple[Peer, ...]
    lines: dict[bytes, tuple[Addresses, ...]]
    text_bytes: int

    def cut(self, lines: int) -> Plan:
        """The same plan with at most so many lines for each sender."""
        return replace(self, lines={sender: block[:lines] for sender, block in self.lines.items()})

    def without(self, *peers: Peer) -> Plan:
        """The same plan without these peers, and without what they send; nobody else may send to them by name."""
        gone = {peer.name for peer in peers}
        lines = {sender: block for sender, block in self.lines.items() if sender not in gone}
        return replace(self, peers=tuple(peer for peer in self.peers if peer.name not in gone), lines=lines)

    @property
    def nodes(self) -> int:
        """How many linked nodes it needs; one that is alone has number 0."""
        return 1 + max((peer.node for peer in self.peers), default=0)

    def peer(self, name: bytes) -> Peer:
        """The one of this name, which no other address has."""
        return self._by_address[name][0]

    def receivers(self, sender: bytes, address: bytes, echoes: bool = False) -> tuple[Peer, ...]:
        """Who gets a line of this sender to this address; it hears itself on a topic only where the server echoes."""
        peers = self._by_address.get(address, ())
        if echoes or not address.startswith(b"#"):
            return tuple(peers)
        return tuple(peer for peer in peers if peer.name != sender)

    def text(self, sender: bytes, number: int) -> bytes:
        """The text of a sender's line, unlike that of any other line of the block, however short."""
        filler = FILLER * (self.text_bytes // len(FILLER) + 1)
        return (b"%s%05d" % (sender[-3:], number) + filler)[: self.text_bytes]

    @cached_property
    def _by_address(self) -> dict[bytes, list[Peer]]:
        found: dict[bytes, list[Peer]] = {}
        for peer in self.peers:
            for address in (peer.name, *peer.topics):
                found.setdefault(address, []).append(peer)
        return found


def peer_name(number: int) -> bytes:
    """The name of the peer with this number."""
    return b"peer%03d" % number


def topic_name(number: int) -> bytes:
    """The address of the topic with this number."""
    return b"#room%02d" % number
