"""
The broker: it alone owns who is here, who hears what, and what becomes of every line.

In: what happened to sessions, one event at a time.  Out: its decisions, carried out on outboxes and sessions.
Never: I/O, a reactor, a clock; a test drives it with plain calls.
"""

from __future__ import annotations

from enum import Enum

from zope.interface import implementer

from nettool.broker.cluster import Alone, ICluster
from nettool.broker.directory import Directory, IMember, Near
from nettool.broker.ledger import Ledger, LedgerSnapshot
from nettool.broker.routing import Routing
from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.interfaces import IReturns
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.gates import Waits
from nettool.outbox.passage import taken_apart
from nettool.settings import TAKEOVER_DRAIN, Live, OnNameTaken
from nettool.wire.blocks import prefixed
from nettool.wire.names import is_topic
from nettool.wire.replies import direct_prefix


class IPeer(IMember):
    """A member that the broker may also close, and that may have to wait for its name."""

    def close(reason: CloseReason, drain: float, now: float) -> None:
        """Say `bye` and end, within so many seconds; nothing if it is ending already, but for a shorter time."""

    def name_is_free(now: float) -> None:
        """The name that it waited for is its own from now on."""


class LoginOutcome(Enum):
    """What became of a login."""

    DONE = "done"
    TAKEN = "taken"
    WAITS = "waits"
    """The older connection under this name is ending; `IPeer.name_is_free` follows."""


class JoinOutcome(Enum):
    """What became of a join."""

    DONE = "done"
    BAD_TOPIC = "bad topic"
    TOO_MANY = "too many"


@implementer(IReturns)
class Broker:
    """Names, topics, watchers and lines of one node.

    Invariant: a name has one holder, from its login until that same connection's write side has ended; who is in
    `directory` holds its name; outside its methods the ledger adds up.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self.ledger = Ledger()
        self.waits = Waits()
        self.cluster: ICluster = Alone()
        self.directory = Directory(lambda topic, heard: self.cluster.topic_heard(topic, heard))
        self.routing = Routing(self.directory, self.ledger, live)
        self.arrivals = Routing(Near(self.directory), self.ledger, live)
        """Of what other nodes have sent: it goes to nobody but those on this node."""
        self._holders: dict[bytes, IPeer] = {}
        """Who holds each name, leaving ones included."""
        self._heirs: dict[bytes, IPeer] = {}
        """Who gets a name when its holder has ended."""
        self._watchers: dict[IMember, None] = {}
        self._who: tuple[object, bytes] = (None, b"")
        self._heard: tuple[object, bytes] = (None, b"")

    def join_cluster(self, cluster: ICluster) -> None:
        """This node is one among others from now on."""
        self.cluster = self.routing.cluster = cluster
        for peer in self.directory.names.values():
            cluster.peer_here(peer)
        for topic in self.directory.near:
            cluster.topic_heard(topic, True)

    # Coming and going

    def log_in(self, peer: IPeer, now: float) -> LoginOutcome:
        """A peer wants its name, which must be a possible one."""
        holder = self._holders.get(peer.name)
        if holder is None:
            self._holders[peer.name] = peer
            self.directory.add(peer)
            self._tell_here(peer, now)
            return LoginOutcome.DONE
        if self._live.peers.on_name_taken is OnNameTaken.REJECT or peer.name in self._heirs:
            return LoginOutcome.TAKEN
        self._heirs[peer.name] = peer
        holder.close(CloseReason.TAKEN_OVER, TAKEOVER_DRAIN, now)
        return LoginOutcome.WAITS

    def peer_leaves(self, peer: IPeer, now: float) -> None:
        """From now on nobody can write to it, it hears nothing, and it sends nothing; it still holds its name."""
        self.routing.forget(peer)
        if self._heirs.get(peer.name) is peer:
            del self._heirs[peer.name]
        self._watchers.pop(peer, None)
        if self.directory.names.get(peer.name) is peer:
            self.directory.remove(peer)
            self.cluster.peer_gone(peer)
            self._notice(b"gone", peer, now)

    def peer_ended(self, peer: IPeer, reason: ReturnReason, now: float) -> None:
        """The write side of its connection has finished: what is left goes back, and the name it holds is free."""
        self.peer_leaves(peer, now)
        peer.outbox.close(reason, now)
        if self._holders.get(peer.name) is peer:
            del self._holders[peer.name]
            heir = self._heirs.pop(peer.name, None)
            if heir is not None:
                self._holders[heir.name] = heir
                self.directory.add(heir)
                heir.name_is_free(now)
                self._tell_here(heir, now)

    def _tell_here(self, peer: IPeer, now: float) -> None:
        self.cluster.peer_here(peer)
        self._notice(b"here", peer, now)

    def shut_down(self, now: float) -> None:
        """Time is up: what is still queued goes back to those senders who have taken all of theirs, or is counted."""
        stuck = [holder for holder in self._holders.values() if not holder.outbox.empty]
        for holder in stuck:
            holder.outbox.seal(ReturnReason.SHUTDOWN)
        self.cluster.shut_down(now)
        for holder in stuck:
            holder.outbox.close(ReturnReason.SHUTDOWN, now)

    # Topics and lists

    def join(self, peer: IMember, topic: bytes) -> JoinOutcome:
        """It hears the topic from now on."""
        if not is_topic(topic):
            return JoinOutcome.BAD_TOPIC
        joined = peer.topics or ()
        most = self._live.peers.max_joins
        if most and len(joined) >= most and topic not in joined:
            return JoinOutcome.TOO_MANY
        self.directory.join(peer, topic)
        return JoinOutcome.DONE

    def leave(self, peer: IMember, topic: bytes) -> bool:
        """It hears the topic no more; false if there can be no such topic."""
        self.directory.leave(peer, topic)
        return is_topic(topic)

    def who(self) -> bytes:
        """The answer to `/who`: one object for all who ask, however many of them do not read it."""
        names = self.directory.who()
        if self._who[0] is not names:  # the directory makes a new list after a change, and only then
            self._who = (names, b"".join([b"peer %b\n" % name for name in names]) + b"ok who %d\n" % len(names))
        return self._who[1]

    def heard(self) -> bytes:
        """The answer to `/topics`: one object for all who ask."""
        heard = self.directory.heard()
        if self._heard[0] is not heard:
            lines = b"".join([b"topic %b %d\n" % item for item in heard])
            self._heard = (heard, lines + b"ok topics %d\n" % len(heard))
        return self._heard[1]

    def watch(self, peer: IMember, on: bool) -> None:
        """Be told as peers come and go, or no longer."""
        if on:
            self._watchers[peer] = None
        else:
            self._watchers.pop(peer, None)

    def _notice(self, what: bytes, about: IMember, now: float) -> None:
        if self._watchers:
            line = b"notice %b: %b\n" % (what, about.name)
            batch = Batch(Kind.NOTICE, None, b"/watch", line, 0, now, {b"/watch": 1})
            for watcher in tuple(self._watchers):
                if watcher is not about:
                    watcher.outbox.put(batch)

    # Lines

    def refuse(self, peer: IMember, code: ErrorCode, detail: bytes, now: float) -> None:
        """Answer a line with an error, and count it."""
        self.routing.refuse(peer, code, detail, 1, now)

    def give_back(self, batch: object, reason: ReturnReason, now: float) -> None:
        """See `IReturns`: the only place where it is decided what becomes of a batch that cannot be delivered."""
        assert isinstance(batch, Batch)
        shutdown, size = reason is ReturnReason.SHUTDOWN, len(batch.data)
        match batch.kind:
            case Kind.MIXED:
                for part in taken_apart(batch, self.ledger.passages):
                    self.give_back(part, reason, now)
            case Kind.DIRECT:
                self.ledger.direct.given_up += batch.lines
                self._return(batch, reason, now)
            case Kind.TOPIC:
                self.ledger.topic.given_up += batch.lines
                self.ledger.drop(batch.lines, DropReason.SHUTDOWN if shutdown else DropReason.HEARER_GONE, size)
            case Kind.RETURNED:
                self.ledger.drop(batch.lines, DropReason.SHUTDOWN if shutdown else DropReason.SENDER_GONE, size)

    def _return(self, batch: Batch, reason: ReturnReason, now: float) -> None:
        peer = None if batch.sender is None else self.directory.names.get(batch.sender.name)
        if peer is not None and peer is batch.sender:
            old = direct_prefix(peer.name)
            new = b"returned %b %b: " % (batch.address, reason.value)
            # Every LF but the last is followed by the prefix, and no text has an LF: this finds each line's beginning.
            data = new + batch.data[len(old) :].replace(b"\n" + old, b"\n" + new)
            peer.outbox.put(Batch(Kind.RETURNED, peer, batch.address, data, batch.lines, now, None, reason))
        elif not self.cluster.give_back(batch, reason, now):
            self.ledger.drop(batch.lines, DropReason.SENDER_GONE, len(batch.data))

    # What other nodes bring

    def peer_came_there(self, member: IMember, now: float) -> None:
        """Somebody is on another node: `name@node`."""
        self.directory.add_far(member)
        self._notice(b"here", member, now)

    def peer_left_there(self, member: IMember, now: float) -> None:
        """He is not any more."""
        self.directory.remove_far(member)
        self._notice(b"gone", member, now)

    def arrived(self, batch: Batch, name: bytes) -> IMember | None:
        """Lines to a name on this node; to whom they went, or nobody, and then they go back."""
        self.ledger.direct.accepted += batch.lines
        peer = self.directory.names.get(name)
        if peer is None:
            self.give_back(batch, ReturnReason.NO_SUCH_PEER, batch.at)
        else:
            peer.outbox.put(batch)
        return peer

    def arrived_for_topic(self, batch: Batch) -> tuple[IMember, ...]:
        """Lines to one topic, rendered, for those on this node who hear it; who that is."""
        topic = self.directory.near.get(batch.address)
        hearers = () if topic is None else topic.hearers
        self.ledger.topic.accepted += batch.lines * len(hearers)
        for hearer in hearers:
            hearer.outbox.put(batch)
        return hearers

    def came_back(self, peer: IMember | None, address: bytes, reason: ReturnReason, texts: bytes, now: float) -> int:
        """Texts of a peer of this node come back from another; of one that has left, if there is none.  How many."""
        data, lines = prefixed(texts, b"returned %b %b: " % (address, reason.value))
        self.ledger.direct.accepted += lines
        self.ledger.direct.given_up += lines
        if peer is None or self.directory.names.get(peer.name) is not peer:
            self.ledger.drop(lines, DropReason.SENDER_GONE, len(texts))
        else:
            peer.outbox.put(Batch(Kind.RETURNED, peer, address, data, lines, now, None, reason))
        return lines

    # What others may ask

    def snapshot(self) -> LedgerSnapshot:
        """The ledger, beside what is found by walking the outboxes of all who hold a name and the ways elsewhere."""
        outboxes = [holder.outbox for holder in self._holders.values()]
        queued = sum([outbox.queued() for outbox in outboxes if not outbox.empty])
        return self.ledger.snapshot(queued + self.cluster.queued())
