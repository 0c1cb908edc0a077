"""A node in a few plain lines: what each peer should hear, one line at a time.

In: lines in the order in which a node took them up, comings and goings.  Out: what is due to each peer, in order.
Never: a batch, an outbox, time, or a bound but those on one line.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from nettool.errors import CloseReason, ErrorCode, ReturnReason
from nettool.settings import OnNameTaken, PeerSettings
from nettool.wire.names import is_topic, name_fault
from nettool.wire.requests import HELP
from tests.broker.model import Sent, World
from tests.fuzz.cutter import PlainCutter


@dataclass(eq=False)
class PlainPeer:
    """One connection, and what is due to it."""

    cutter: PlainCutter
    name: bytes = b""
    here: bool = False
    waits: bool = False
    over: bool = False
    gone: bool = False
    watches: bool = False
    topics: set[bytes] = field(default_factory=set)
    due: list[bytes] = field(default_factory=list)
    copies: list[tuple[PlainPeer, Sent]] = field(default_factory=list)
    said: list[bytes | None] = field(default_factory=list)
    """The lines that it has written, but for empty ones."""
    handled: list[bytes | None] = field(default_factory=list)
    """The lines that the node has taken up."""

    def says(self, data: bytes) -> None:
        """Bytes came from it."""
        if not self.over:
            self.said += [line for line in self.cutter.feed(data) if line != b""]


class PlainNode:
    """Peers, names and topics, as the protocol has them."""

    def __init__(self, limits: PeerSettings) -> None:
        self.limits = limits
        self.peers: list[PlainPeer] = []
        self.holders: dict[bytes, PlainPeer] = {}
        self.heirs: dict[bytes, PlainPeer] = {}
        self.accepted = 0
        self.refused: Counter[ErrorCode] = Counter()

    def connects(self) -> PlainPeer:
        """One more, which has not said its name."""
        peer = PlainPeer(PlainCutter(self.limits.max_line))
        self.peers.append(peer)
        return peer

    @property
    def here(self) -> dict[bytes, PlainPeer]:
        """Those who can be written to."""
        return {peer.name: peer for peer in self.peers if peer.here}

    # What a node takes up

    def routed(self, sender: PlainPeer, lines: list[bytes]) -> None:
        """Lines that are no commands."""
        sender.handled += lines
        here = self.here
        heard = {topic: [p.name for p in here.values() if topic in p.topics] for p in self.peers for topic in p.topics}
        world = World(set(here), heard, max_addresses=self.limits.max_addresses)
        for line in lines:
            for outcome in world.route(sender.name, line):
                if isinstance(outcome, Sent):
                    receiver = here[outcome.receiver]
                    receiver.due.append(outcome.line)
                    receiver.copies.append((sender, outcome))
                    self.accepted += 1
                else:
                    self.refuses(sender, outcome.code, outcome.detail)

    def takes(self, peer: PlainPeer, line: bytes) -> None:
        """A line that is not addressed: the first one, or a command."""
        peer.handled.append(line)
        if not peer.here:
            self._log_in(peer, line.split(b" ")[0])
            return
        word, _, rest = line.partition(b" ")
        items = [item.strip() for item in rest.split(b",") if item.strip()]
        words = rest.split()
        match word:
            case b"/join" | b"/leave" if items:
                for item in items:
                    self._joins(peer, item, word == b"/join")
            case b"/ping":
                peer.due.append(b"pong " + rest if rest else b"pong")
            case b"/who" if not words:
                peer.due += [b"peer " + name for name in sorted(self.here)] + [b"ok who %d" % len(self.here)]
            case b"/who" if len(words) == 1:
                self._who(peer, words[0])
            case b"/topics" if not words:
                heard = Counter(topic for other in self.here.values() for topic in other.topics)
                peer.due += [b"topic %b %d" % item for item in sorted(heard.items())] + [b"ok topics %d" % len(heard)]
            case b"/watch" | b"/unwatch" if not words:
                peer.watches = word == b"/watch"
                peer.due.append(b"ok " + word[1:])
            case b"/help" if not words:
                peer.due += [b"help " + text for text in HELP] + [b"ok help"]
            case b"/quit" if not words:
                self.closes(peer, CloseReason.QUIT)
            case b"/join" | b"/leave" | b"/who" | b"/topics" | b"/watch" | b"/unwatch" | b"/help" | b"/quit":
                self.refuses(peer, ErrorCode.BAD_LINE, line[:60])
            case _:
                self.refuses(peer, ErrorCode.UNKNOWN_COMMAND, word[:60])

    def meets_long_line(self, peer: PlainPeer) -> None:
        """A line that was too long."""
        peer.handled.append(None)
        limit = b"%d" % self.limits.max_line
        if peer.here:
            self.refuses(peer, ErrorCode.LINE_TOO_LONG, limit)
        else:
            self._refuses_and_closes(peer, ErrorCode.BAD_NAME, b"the first line is over " + limit + b" bytes")

    def meets_end(self, peer: PlainPeer) -> None:
        """The end of input."""
        if peer.cutter.rest:
            self.refuses(peer, ErrorCode.BAD_LINE, bytes(peer.cutter.rest[:60]))
        self.closes(peer, CloseReason.QUIT)

    # What becomes of it

    def refuses(self, peer: PlainPeer, code: ErrorCode, detail: bytes) -> None:
        """An error."""
        self.refused[code] += 1
        peer.due.append(b"error " + code.value + b": " + detail)

    def closes(self, peer: PlainPeer, reason: CloseReason) -> None:
        """The node says the last line."""
        if not peer.over:
            peer.over = True
            self._leaves(peer)
            peer.due.append(b"bye " + reason.value)

    def ends(self, peer: PlainPeer, reason: ReturnReason, delivered: int) -> None:
        """Nothing more can be written to it: of its texts, so many were."""
        peer.over = peer.gone = True
        self._leaves(peer)
        for sender, copy in peer.copies[delivered:]:
            if sender.here and not copy.topic:
                sender.due.append(b"returned " + copy.address + b" " + reason.value + b": " + copy.text)
        if self.holders.get(peer.name) is peer:
            del self.holders[peer.name]
            heir = self.heirs.pop(peer.name, None)
            if heir is not None:
                self._welcomes(heir)

    def _leaves(self, peer: PlainPeer) -> None:
        peer.watches = peer.waits = False
        peer.topics = set()
        if self.heirs.get(peer.name) is peer:
            del self.heirs[peer.name]
        if peer.here:
            peer.here = False
            self._tells(b"notice gone: " + peer.name, peer)

    def _tells(self, notice: bytes, about: PlainPeer) -> None:
        for peer in self.peers:
            if peer.watches and peer is not about:
                peer.due.append(notice)

    def _log_in(self, peer: PlainPeer, name: bytes) -> None:
        fault = name_fault(name)
        if fault:
            self._refuses_and_closes(peer, ErrorCode.BAD_NAME, fault.encode())
        elif name not in self.holders:
            peer.name = name
            self._welcomes(peer)
        elif self.limits.on_name_taken is OnNameTaken.REJECT or name in self.heirs:
            self._refuses_and_closes(peer, ErrorCode.NAME_TAKEN, name)
        else:
            peer.name, peer.waits = name, True
            self.heirs[name] = peer
            self.closes(self.holders[name], CloseReason.TAKEN_OVER)

    def _welcomes(self, peer: PlainPeer) -> None:
        self.holders[peer.name] = peer
        peer.here, peer.waits = True, False
        peer.due.append(b"ok login " + peer.name + b"@node1")
        self._tells(b"notice here: " + peer.name, peer)

    def _refuses_and_closes(self, peer: PlainPeer, code: ErrorCode, detail: bytes) -> None:
        self.refuses(peer, code, detail)
        self.closes(peer, CloseReason(code.value))

    def _joins(self, peer: PlainPeer, topic: bytes, joins: bool) -> None:
        most = self.limits.max_joins
        if not is_topic(topic):
            self.refuses(peer, ErrorCode.BAD_TOPIC, topic[:60])
        elif joins and most and len(peer.topics | {topic}) > most:
            self.refuses(peer, ErrorCode.TOO_MANY_TOPICS, b"%d" % most)
        else:
            (peer.topics.add if joins else peer.topics.discard)(topic)
            peer.due.append((b"ok join " if joins else b"ok leave ") + topic)

    def _who(self, peer: PlainPeer, topic: bytes) -> None:
        if not is_topic(topic):
            self.refuses(peer, ErrorCode.BAD_TOPIC, topic[:60])
            return
        names = sorted(name for name, other in self.here.items() if topic in other.topics)
        peer.due += [b"peer " + name for name in names] + [b"ok who %d" % len(names)]
