"""
Another node, whatever becomes of its links.

In: connections that have said hello; the end of the link; what that node says of its peers and topics.
Out: the one link; peers and topics of that node, for the broker.  Never: a link that is ended by the end of another.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from zope.interface import implementer

from nettool.broker.broker import Broker
from nettool.broker.directory import IMember
from nettool.cluster.arrivals import Arrivals
from nettool.cluster.ends import LastEnd
from nettool.cluster.far import FarPeer
from nettool.cluster.frames import FIRST, LAST, BadFrame, Hello, Kind
from nettool.cluster.judges import escaped
from nettool.cluster.link import Link
from nettool.cluster.queue import LinkQueue
from nettool.errors import DropReason, LinkEnd, ReturnReason
from nettool.interfaces import IGate
from nettool.outbox.batch import Batch
from nettool.settings import Live
from nettool.wire.names import is_far_name, is_far_topic

if TYPE_CHECKING:
    from nettool.cluster.linked import Linked

MOST_PEERS = 250_000
"""Names that one node may list: what they take here is bounded, too."""

MOST_TOPICS = 250_000
"""Topics that one node may hear."""


@implementer(IMember)
class Neighbour:
    """Another node.  To the broker it is one hearer of all topics that somebody there hears.

    Invariant: `link` is open, and the only one that is; without one, `down_since` says since when, and links that ended
    before they had brought its peers are left out of that: what waits, or stays listed, has an end all the same.
    """

    _log = Logger()

    def __init__(self, name: bytes, linked: Linked, now: float) -> None:
        self.name = name
        self.linked = linked
        self.live: Live = linked.live
        self.broker: Broker = linked.broker
        self.topics: set[bytes] | None = set()
        self.link: Link | None = None
        self.down_since = now
        self._ended_at = -inf
        """When the last link did."""
        self.last_end: LastEnd | None = None
        """Of its last link, or of what should have become one."""
        self.unreachable_by = ""
        """Why no connection can be made, as it was told last; empty once there was a link."""
        self.instance = b""
        """Of the last link; empty before the first."""
        self.in_step = True
        """Whether the two may go on behind what was taken: not if they have found that they do not agree on it."""
        self.queue = self._new_queue()
        self.outbox: Any = self.queue
        """Where the broker puts batches for topics."""
        self.arrivals = Arrivals(self)
        self.peers: dict[bytes, FarPeer] = {}
        """Those it has listed, by name there."""
        self.under_way: dict[bytes, FarPeer] = {}
        """Those to whom something is under way, listed or not."""
        self._full: dict[FarPeer, None] = {}
        """Those whose window is closed."""
        self._rival: Link | None = None
        """A connection that takes the link's place, if that does not answer."""
        self._listing: dict[Kind, set[bytes]] = {}
        """Full lists that have not come to their end."""
        self._listed = False
        """Whether the link has brought all of its peers: one that has not does not count as having been there."""
        self._read_until = -inf
        """What was sent on the link before this time has been read there."""
        self._told_of: set[Kind] = set()
        """Of what the link has brought too many, as the log was told."""

    def _new_queue(self) -> LinkQueue:
        queue = LinkQueue(self, self.live, self.broker, self.linked.seconds)
        queue.logins = self.linked.logins
        queue.when_gone(self._went)
        queue.waits = lambda: self.linked.alarm.by(self.due())
        queue.returns_to = lambda sender: getattr(sender, "instance", b"") == self.instance
        return queue

    @property
    def text(self) -> str:
        """Its name, for a log: escaped, since it may come from outside."""
        return escaped(self.name)

    # As a member: it hears, and sends nothing itself

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`: what comes back through it makes nobody wait."""

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""

    # Which connection is the link

    def decide(self, link: Link, now: float) -> None:
        """This node decides: take the connection, refuse it, or see first whether the link is alive."""
        current, hello = self.link, link.hello
        assert hello is not None
        if current is None:
            if self._is_too_old(link, hello):
                link.answer_already_linked(now)
            else:
                self._take(link, now)
        elif hello.instance > self.instance:
            current.end(LinkEnd.REPLACED, "the node was started again", now)
            self._take(link, now)
        elif self._rival is not None:
            link.answer_already_linked(now)
        else:
            self._rival = link
            current.must_answer(now)

    def _is_too_old(self, link: Link, hello: Hello) -> bool:
        """Whether it was made before the last link ended, and its hellos say less: by them both ends would forget what
        is not confirmed.  The next connection knows better."""
        return link.since <= self._ended_at and not link.goes_on and hello.instance == self.instance

    def _take(self, link: Link, now: float) -> None:
        link.take(now)
        try:
            self.adopt(link, now)
        except BadFrame as fault:  # here: this may be called at the end of another link, whose fault it is not
            link.end(LinkEnd.BAD_FRAME, str(fault), now)

    def answered(self, link: Link, now: float) -> None:
        """The link is alive."""
        rival, self._rival = self._rival, None
        if link is not self.link:
            return
        if rival is not None:
            rival.answer_already_linked(now)
        # It has read all that was sent before a ping that it answers, however slow the network is, and confirms it with
        # that answer: so at the next one nothing of it is left, unless it confirms nothing.
        if link.since <= self.unconfirmed_since < self._read_until:
            self._listed = False
            link.end(LinkEnd.TOO_SLOW, "it answers, and does not confirm what was sent to it", now)
        self._read_until = link.pinged_at

    @property
    def unconfirmed_since(self) -> float:
        """When the oldest frame that is not confirmed was sent; infinity if all are."""
        sent = self.queue.sent
        return sent[0].at if sent else inf

    def adopt(self, link: Link, now: float) -> None:
        """This connection is the link: `BadFrame` if it says what cannot be."""
        hello = link.hello
        assert hello is not None
        if self.link is not None:
            self.link.end(LinkEnd.REPLACED, "another connection is the link", now)
        goes_on = self._go_on(link, hello)
        self._listing.clear()
        self._told_of.clear()
        self._listed, self._read_until = False, -inf
        self.link = link
        for name, size in self.queue.sizes_by_name().items():
            self.far(name).begin_window(size)
        link.opened(now)
        link.outlet.tell_all(Kind.PEERS, self.broker.directory.names)
        link.outlet.tell_all(Kind.TOPICS, self.broker.directory.near)
        # Who decides cannot know yet whether its word arrives.  If it does not, the other node knows nothing of this
        # link: lines sent on it would count as lost when the next one begins afresh.
        link.outlet.join(self.queue, waits=not goes_on and self.linked.name > self.name)
        self.linked.presence.node_changed(self)
        self.linked.linked(self)

    def _go_on(self, link: Link, hello: Hello) -> bool:
        """Go on behind what was taken, or begin anew: whether it goes on."""
        goes_on = link.goes_on and self.instance == hello.instance
        self.instance, self.in_step = hello.instance, False
        if goes_on and hello.took is not None:
            self.arrivals.link_begins()
            self.queue.resume(hello.took[1])
        else:
            self.arrivals.start_afresh()
            self.queue.start_afresh()
        self.in_step = True
        return goes_on

    def link_ended(self, link: Link, now: float) -> None:
        """A connection to that node has ended; nothing, unless it is the link."""
        if link is self._rival:
            self._rival = None
        if link is not self.link:
            return
        self.link = None
        self._ended_at = now
        if self._listed:
            self.down_since = now
        for far in tuple(self.under_way.values()):
            far.forget_window()
        self._full.clear()
        self.linked.presence.node_changed(self)
        self.linked.alarm.by(self.due())
        rival, self._rival = self._rival, None
        if rival is not None:
            self.decide(rival, now)
        if self.link is None:
            self.linked.watch_links(self)

    def remove(self, reason: LinkEnd, now: float) -> None:
        """It is no node any more that this one knows: no connection with it, nor one that is being made, goes on."""
        self._rival = None
        for link in tuple(self.linked.connections):
            if link.neighbour is self or link.meant == self.name:
                link.end(reason, "it is not configured here any more", now)
        self.queue.give_up(ReturnReason.NODE_UNREACHABLE, DropReason.LINK_LOST)
        self._all_leave(now)

    # Receivers there

    def far(self, name: bytes) -> FarPeer:
        """Somebody on that node, whether or not it has listed him."""
        return self.peers.get(name) or self.under_way.get(name) or FarPeer(name, self)

    def give_back(self, batch: Batch, reason: ReturnReason, now: float) -> None:
        """A batch for that node goes back to who wrote it."""
        self.broker.give_back(batch, reason, now)

    def _went(self, name: bytes, size: int) -> None:
        far = self.under_way.get(name)
        if far is not None:
            far.went(size)

    def waits_there(self, sizes: dict[bytes, int]) -> None:
        """So much waits there in their outboxes."""
        for name, size in sizes.items():
            far = self.under_way.get(name)
            if far is None and size and name in self.peers:
                far = self.peers[name]
                far.begin_window(0)
            if far is not None:
                far.waits_there(size)

    @property
    def window(self) -> int:
        """Bytes that may be under way to each of them."""
        return self.live.links.remote_window

    @property
    def direct_patience(self) -> float:
        """Seconds that senders wait for a closed window."""
        return self.live.delivery.direct_patience

    def window_closed(self, far: FarPeer) -> None:
        """His senders wait."""
        self._full[far] = None
        far.tick(self.linked.seconds())
        self.linked.alarm.by(far.expires())

    @property
    def closed_windows(self) -> list[FarPeer]:
        """Those there whose senders wait, or whose lines are given back."""
        return list(self._full)

    def window_opened(self, far: FarPeer) -> None:
        """They do not any more."""
        self._full.pop(far, None)

    # What it says of its peers and topics

    def peers_changed(self, flags: int, changes: list[tuple[bytes, bool]], now: float) -> None:
        """Its peers: all of them, or those that came or went."""
        for name, _ in changes:
            if not is_far_name(name):
                raise BadFrame("a peer with a name that cannot be one")
        full = self._collect(Kind.PEERS, flags, changes, MOST_PEERS)
        if full is not None:
            self._listed = True
            changes = [(name, False) for name in self.peers.keys() - full] + [(name, True) for name in sorted(full)]
        elif flags or Kind.PEERS in self._listing:
            return
        for name, there in changes:
            if there and name not in self.peers:
                if len(self.peers) < MOST_PEERS:
                    self._comes(name, now)
                else:
                    self._too_many(Kind.PEERS, MOST_PEERS)
            elif not there and name in self.peers:
                self._leaves(name, now)

    def topics_changed(self, flags: int, changes: list[tuple[bytes, bool]]) -> None:
        """Topics that somebody hears there: all of them, or those that changed."""
        for topic, _ in changes:
            if not is_far_topic(topic):
                raise BadFrame("a topic that cannot be one")
        assert self.topics is not None
        full = self._collect(Kind.TOPICS, flags, changes, MOST_TOPICS)
        if full is not None:
            changes = [(topic, False) for topic in self.topics - full] + [(topic, True) for topic in full]
        elif flags or Kind.TOPICS in self._listing:
            return
        for topic, heard in changes:
            if not heard:
                self.broker.directory.leave_far(self, topic)
            elif topic in self.topics or len(self.topics) < MOST_TOPICS:
                self.broker.directory.join_far(self, topic)
            else:
                self._too_many(Kind.TOPICS, MOST_TOPICS)

    def _collect(self, kind: Kind, flags: int, changes: list[tuple[bytes, bool]], most: int) -> set[bytes] | None:
        """Add to a full list; all of it, once it is whole."""
        if flags & FIRST:
            self._listing[kind] = set()
        listing = self._listing.get(kind)
        if listing is None:
            if flags & LAST:
                raise BadFrame("the end of a list that did not begin")
            return None
        words = [word for word, there in changes if there]
        if len(listing) + len(words) > most:
            self._too_many(kind, most)
            words = words[: most - len(listing)]
        listing.update(words)
        return self._listing.pop(kind) if flags & LAST else None

    def _too_many(self, kind: Kind, most: int) -> None:
        """What is beyond the limit is unknown here, and told once for each link: to end it would help nobody."""
        if kind in self._told_of:
            return
        self._told_of.add(kind)
        self._log.error(
            "{node} has more than {most} {what}: those beyond are not known here, so their lines do not come or go "
            "(see who joins so many topics there, or let other nodes take some of its peers)",
            event="too-many-there",
            node=self.text,
            most=most,
            what=kind.name.lower(),
        )

    def _comes(self, name: bytes, now: float) -> None:
        far = self.far(name)
        far.listed = True
        self.peers[name] = far
        self.broker.peer_came_there(far, now)
        self.linked.presence.came(name, self, far)

    def _leaves(self, name: bytes, now: float) -> None:
        far = self.peers.pop(name)
        far.listed = False
        self.linked.presence.left(name, self)
        self.broker.peer_left_there(far, now)

    def _all_leave(self, now: float) -> None:
        for name in tuple(self.peers):
            self._leaves(name, now)
        for topic in tuple(self.topics or ()):
            self.broker.directory.leave_far(self, topic)

    # Time

    def due(self) -> float:
        """When `tick` is to be called."""
        if self.link is None:
            links = self.live.links
            grace = self.down_since + links.presence_grace if self.peers or self.topics else inf
            return min(grace, self.queue.due(self.down_since, links.pending_timeout))
        return min((far.expires() for far in self._full), default=inf)

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.link is not None:
            for far in tuple(self._full):
                far.tick(now)
            arrivals = self.arrivals
            if arrivals.due() <= now:
                arrivals.pay(self.link.outlet.say, now)
            return
        links = self.live.links
        if now >= self.down_since + links.presence_grace:
            self._all_leave(now)
        self.queue.expire(now, self.down_since, links.pending_timeout)
