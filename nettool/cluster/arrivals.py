"""
What another node has sent here.

In: frames with lines.  Out: batches and blocks for the broker, rendered with the sender's name and node; what is owed
to that node in return: the number of the last frame that was routed, and what waits in whose outbox.
Never: a frame routed twice, or out of order; a line in the name of anybody who is not on that node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from nettool.broker.directory import IMember
from nettool.cluster import frames
from nettool.cluster.far import FarSender, far_sender
from nettool.cluster.frames import BadFrame, Kind, Lines
from nettool.cluster.phases import Mode, PhaseName
from nettool.errors import ErrorCode, ReturnReason
from nettool.outbox.batch import Batch
from nettool.outbox.batch import Kind as BatchKind
from nettool.settings import KIB
from nettool.wire.blocks import prefixed
from nettool.wire.lines import cut
from nettool.wire.names import is_far_name, is_far_topic
from nettool.wire.replies import direct_prefix, topic_prefix

if TYPE_CHECKING:
    from nettool.cluster.neighbour import Neighbour

CONFIRM_AFTER = 0.05
"""Seconds until what was routed is confirmed, if no frame goes there before."""

CONFIRM_BYTES = 256 * KIB
"""Bytes after which it is confirmed at once, so that what the other node must keep stays small."""

SENDERS = 4096
"""Senders of one node that are remembered; who is forgotten is made anew, which costs a little."""

HARD = 4
"""Windows that may wait for one receiver here.  An honest node keeps to one, and to what was being read."""


class Arrivals:
    """What one other node sends; it outlives its links.

    Invariant: `taken` is the number of the last frame of its instance that was routed.
    """

    def __init__(self, neighbour: Neighbour) -> None:
        self.taken = 0
        self.owed_since = inf
        """Since when something is routed that was not confirmed."""
        self.duplicates = 0
        """Frames that came again, and were not routed again."""
        self._neighbour = neighbour
        self._broker = neighbour.broker
        self._senders: OrderedDict[tuple[int, bytes], FarSender] = OrderedDict()
        self._owed_bytes = 0
        self._look_at = inf
        """When it is to be looked again what waits in whose outbox."""
        self._topic_bytes = 0
        self._touched: dict[IMember, int] = {}
        """Who got lines since the last report, and how many bytes."""
        self._told: dict[IMember, int] = {}
        """What that node was told last of those who do not take all at once."""

    def start_afresh(self) -> None:
        """Another instance: nothing of it was taken, and none of its peers has been heard of."""
        self.taken = 0
        for sender in self._senders.values():
            self._broker.arrivals.forget(sender)
        self._senders.clear()
        self.link_begins()

    def link_begins(self) -> None:
        """What was told before was for another link."""
        self.owed_since = inf
        self._owed_bytes = 0
        self._touched.update(dict.fromkeys(self._told, 0))
        self._told.clear()

    # What comes in

    def took(self, payload: bytes, now: float) -> None:
        """A frame with a number: route it, unless it was routed before."""
        kind = payload[0]
        if kind == Kind.LAGGED or kind == Kind.RETURNS_LOST:
            number, counts = frames.parse_counts(payload)
            if self._is_next(number):
                (self._lagged if kind == Kind.LAGGED else self._returns_lost)(counts, now)
        else:
            parts = frames.parse_names(payload) if kind == Kind.NAMES else [frames.parse_lines(payload)]
            if self._is_next(parts[0].number):
                route = _ROUTES[kind]
                lines = sum([route(self, part, now) for part in parts])
                mode = Mode.BROADCAST if kind in (Kind.TOPIC, Kind.SEVERAL) else Mode.DIRECT
                phase = self._neighbour.queue.phases.of(mode, PhaseName.INCOMING_BUFFER)
                phase.started += lines
                size = sum([len(part.data) for part in parts])
                phase.finish(lines, size, max(self._neighbour.linked.seconds() - now, 0.0))
        self._owe(len(payload), now)

    def _is_next(self, number: int) -> bool:
        if number <= self.taken:
            self.duplicates += 1
            return False
        if number != self.taken + 1:
            raise BadFrame(f"frame {number} came where {self.taken + 1} was to come")
        self.taken = number
        return True

    def _direct(self, frame: Lines, now: float) -> int:
        sender = self._sender(frame)
        data, lines = prefixed(frame.data, direct_prefix(sender.name))
        address = frame.target + b"@" + self._neighbour.linked.name if frame.qualified else frame.target
        batch = Batch(BatchKind.DIRECT, sender, address, data, lines, now)
        peer = self._broker.directory.names.get(frame.target)
        if peer is None and not is_far_name(frame.target):
            raise BadFrame("texts to a name that cannot be one")
        if peer is not None and peer.outbox.blocked and self._too_much(peer, len(frame.data)):
            self._broker.ledger.direct.accepted += lines
            self._broker.give_back(batch, ReturnReason.QUEUE_FULL, now)
            return lines
        if self._broker.arrived(batch, frame.target) is not None and peer is not None:
            self._touched[peer] = self._touched.get(peer, 0) + len(data)
        return lines

    def _too_much(self, peer: IMember, size: int) -> bool:
        """Whether that node has sent far more to him than his window lets it."""
        most = HARD * self._neighbour.window
        if self._told.get(peer, 0) + self._touched.get(peer, 0) + size <= most:
            return False
        return self._waiting(peer) + size > most

    def _topic(self, frame: Lines, now: float) -> int:
        if not is_far_topic(frame.target):
            raise BadFrame("texts to a topic that cannot be one")
        sender = self._sender(frame)
        data, lines = prefixed(frame.data, topic_prefix(sender.name) + frame.target + b": ")
        self._broker.arrived_for_topic(Batch(BatchKind.TOPIC, sender, frame.target, data, lines, now))
        self._look_at_hearers(len(data), now)
        return lines

    def _several(self, frame: Lines, now: float) -> int:
        sender, data = self._sender(frame), frame.data
        lines = cut(data)
        if data[:1] != b"#" or data.count(b"\n#") != len(lines) - 1:
            raise BadFrame("lines for topics with one for something else")
        routing, at = self._broker.arrivals, 0
        while at < len(lines):
            routed = routing.route_lines(sender, lines, at, now)
            if routed <= at:
                raise BadFrame("lines for topics that cannot be routed")
            at = routed
        self._look_at_hearers(len(data), now)
        return len(lines)

    def _returned(self, frame: Lines, now: float) -> int:
        if not is_far_name(frame.sender) or frame.reason is None:
            raise BadFrame("lines come back from what cannot be a name")
        address = frame.sender + b"@" + self._neighbour.name if frame.qualified else frame.sender
        peer = self._neighbour.linked.peer_of(frame.login)
        return self._broker.came_back(peer, address, frame.reason, frame.data, now)

    def _lagged(self, counts: dict[bytes, int], now: float) -> None:
        for topic, count in counts.items():
            heard = self._broker.directory.near.get(topic)
            # A notice of so many lines: it keeps its place among topic lines, is bounded as they are, and if it is lost
            # itself its lines are told with those lost here.  Answers would make the hearer wait, and have no bound.
            line = b"error %b: %b %d\n" % (ErrorCode.LAGGED.value, topic, count)
            word = Batch(BatchKind.NOTICE, None, topic, line, 0, now, {topic: count})
            for hearer in () if heard is None else heard.hearers:
                hearer.outbox.put(word)

    def _returns_lost(self, counts: dict[bytes, int], now: float) -> None:
        for login, lines in counts.items():
            if len(login) != frames.LOGIN:
                raise BadFrame("lines that could not be given back to what is no login")
            peer = self._neighbour.linked.peer_of(int.from_bytes(login, "big"))
            if peer is None:
                continue
            outbox = peer.outbox
            if outbox.backlog is not None:
                # In one line with others: however much that node says, it is bounded.
                outbox.backlog.tell_lost(lines, now)
                if outbox.backlog.full and outbox.pump is not None:
                    outbox.pump.watch()
            else:
                line = b"error %b: %d\n" % (ErrorCode.RETURNS_LOST.value, lines)
                outbox.put(Batch(BatchKind.ANSWER, peer, b"", line, 0, now))

    def _sender(self, frame: Lines) -> FarSender:
        key = (frame.login, frame.sender)
        sender = self._senders.get(key)
        if sender is None:
            if frame.sender and not is_far_name(frame.sender):
                raise BadFrame("lines of somebody whose name cannot be one")
            sender = self._senders[key] = FarSender(frame.sender, frame.login, self._neighbour)
            if len(self._senders) > SENDERS:
                _, oldest = self._senders.popitem(last=False)
                self._broker.arrivals.forget(oldest)
        return sender

    # Hearers who do not read

    def _look_at_hearers(self, size: int, now: float) -> None:
        """Who has twice his bound of topic lines waits no longer: nobody on another node can be made to wait."""
        self._topic_bytes += size
        bound = self._neighbour.live.delivery.outbox_bytes
        if not bound or self._topic_bytes < bound // 4:
            return
        self._topic_bytes = 0
        for topic in tuple(self._broker.directory.near.values()):
            for hearer in topic.hearers:
                backlog = hearer.outbox.backlog
                if backlog is not None and backlog.topic.held > 2 * bound:
                    backlog.lose_patience(now)

    # What is owed in return

    def _owe(self, size: int, now: float) -> None:
        if self.owed_since == inf:
            self.owed_since = now
            self._neighbour.linked.alarm.by(now + CONFIRM_AFTER)
        self._owed_bytes += size

    def due(self) -> float:
        """When it is to be confirmed at the latest, or to be looked again what waits."""
        return min(self.owed_since + CONFIRM_AFTER, self._look_at)

    @property
    def owes_much(self) -> bool:
        """Whether so much is not confirmed that it should be, at once."""
        # A window that is smaller than that must not be closed for want of a word.
        return self._owed_bytes >= min(CONFIRM_BYTES, self._neighbour.window // 4)

    def pay(self, say: Callable[..., None], now: float) -> None:
        """Tell that node what is owed; nothing if nothing is."""
        owed = self.owed_since < inf
        if not owed and now < self._look_at:
            return
        self.owed_since, self._owed_bytes = inf, 0
        # Before the number: what is confirmed and still waits is never missing from both.
        changed = self._look_who_waits()
        if changed:
            say(*[frames.render_counts(Kind.WAITING, part) for part in frames.in_parts(changed)])
        if owed:
            say(frames.render_number(Kind.CONFIRM, self.taken))
        self._look_at = inf
        if self._told:
            self._look_at = now + CONFIRM_AFTER
            self._neighbour.linked.alarm.by(self._look_at)

    def _look_who_waits(self) -> dict[bytes, int]:
        """Bytes of those whose outbox holds something of that node's, or did when it was told; what has changed."""
        changed = {}
        looked, self._touched = {**self._told, **self._touched}, {}
        for peer in looked:
            waiting = self._waiting(peer) if peer.outbox.blocked else 0
            told = self._told.get(peer, 0)
            if waiting != told:
                # A later login under his name has a window of its own: it is told under the same name, as it is.
                changed[peer.name] = waiting
            if waiting:
                self._told[peer] = waiting
            else:
                self._told.pop(peer, None)
        return changed

    def _waiting(self, peer: IMember) -> int:
        """Bytes of that node's that wait in his outbox, by walking it."""
        waiting = 0
        for batch in peer.outbox.batches():
            sender = far_sender(batch.sender) if batch.kind is BatchKind.DIRECT else None
            if sender is not None and sender.neighbour is self._neighbour:
                waiting += len(batch.data)
        return waiting


_ROUTES: dict[int, Callable[[Arrivals, Lines, float], int]] = {
    Kind.DIRECT: Arrivals._direct,
    Kind.NAMES: Arrivals._direct,
    Kind.TOPIC: Arrivals._topic,
    Kind.SEVERAL: Arrivals._several,
    Kind.RETURNED: Arrivals._returned,
}
