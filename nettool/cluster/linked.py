"""
This node among others: the cluster of linked nodes.

In: what the broker tells and asks (`ICluster`); which nodes there are; time.  Out: neighbours, each with its link.
Never: a transport, a reactor; a node that nobody configured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import inf

from twisted.logger import Logger
from zope.interface import implementer

from nettool.broker.broker import Broker
from nettool.broker.cluster import ICluster
from nettool.broker.directory import IMember
from nettool.cluster.ends import ADVICE, EXPECTED, LastEnd
from nettool.cluster.far import far_sender
from nettool.cluster.frames import Hello
from nettool.cluster.frames import Kind as Word
from nettool.cluster.judges import Judge, trust_nobody
from nettool.cluster.link import Link
from nettool.cluster.neighbour import Neighbour
from nettool.cluster.phases import Phases
from nettool.cluster.presence import Presence
from nettool.cluster.shell import IAlarm, ILinkShell
from nettool.errors import DropReason, LinkEnd, ReturnReason
from nettool.interfaces import ISender
from nettool.outbox.batch import Batch, Kind
from nettool.settings import Live
from nettool.wire.names import is_far_name

STRANGERS = 100
"""Connections that others have made and that have not said who they are: each may take 5 s and 4 KiB, and TLS."""


@implementer(ICluster)
class Linked:
    """All other nodes that this one knows.

    Invariant: `neighbours` are those that are configured; a login has one number, for as long as the peer is here.
    """

    _log = Logger()

    def __init__(
        self,
        broker: Broker,
        live: Live,
        seconds: Callable[[], float],
        alarm: IAlarm,
        instance: bytes,
        judge: Judge = trust_nobody,
    ) -> None:
        self.broker = broker
        self.live = live
        self.seconds = seconds
        self.alarm = alarm
        self.instance = instance
        self.judge = judge
        self.neighbours: dict[bytes, Neighbour] = {}
        self.connections: dict[Link, None] = {}
        """All that have not ended, links or not."""
        self.presence = Presence(broker.directory)
        self.logins: dict[ISender, int] = {}
        self.ends: Counter[LinkEnd] = Counter()
        """Why connections have ended, or could not be made."""
        self.gone = Gone()
        self.watch_links: Callable[[Neighbour], None] = lambda neighbour: None
        """Called when a link has come up or gone down."""
        self._by_login: dict[int, IMember] = {}
        self._login = 0
        self._over = False

    @property
    def name(self) -> bytes:
        """This node's."""
        return self.live.node.name

    # Which nodes there are

    def add(self, name: bytes) -> Neighbour:
        """There is such a node; the same one, if it is known already."""
        neighbour = self.neighbours.get(name)
        if neighbour is None:
            neighbour = self.neighbours[name] = Neighbour(name, self, self.seconds())
        return neighbour

    def remove(self, name: bytes) -> None:
        """There is no such node any more: its link ends, and what waits for it goes back."""
        neighbour = self.neighbours.pop(name, None)
        if neighbour is not None:
            neighbour.remove(LinkEnd.REMOVED, self.seconds())
            self.gone.add(neighbour)

    # Connections

    def connected(self, shell: ILinkShell, meant: bytes | None = None) -> Link:
        """A connection was made: to a node that was meant, or by somebody who has to say who he is."""
        strangers = [link for link in self.connections if link.meant is None and link.neighbour is None]
        if meant is None and len(strangers) >= STRANGERS:
            # The oldest: a node takes milliseconds to say who it is, and who is slow on purpose keeps out nobody.
            why = f"{STRANGERS} others have connected since, and not said who they are"
            strangers[0].end(LinkEnd.CROWDED_OUT, why, self.seconds(), tell=False)
        return Link(self, shell, self.seconds(), meant)

    def hello_to(self, name: bytes) -> Hello:
        """What this node says of itself to that one."""
        neighbour = self.neighbours.get(name)
        took = None
        if neighbour is not None and neighbour.instance and neighbour.in_step:
            took = (neighbour.instance, neighbour.arrivals.taken)
        return Hello(self.name, self.instance, took)

    def linked(self, neighbour: Neighbour) -> None:
        """There is a link to it."""
        assert neighbour.link is not None
        neighbour.unreachable_by = ""
        self._log.info("linked to {node} at {peer}", event="linked", node=neighbour.link.who, peer=neighbour.link.where)
        self.watch_links(neighbour)

    def link_ended(self, link: Link, was_open: bool, reason: LinkEnd, detail: str) -> None:
        """A connection has ended, whether or not it was the link."""
        self.ends[reason] += 1
        if reason is LinkEnd.ALREADY_LINKED:
            return
        where, why, ended = link.where, reason.value, "the link" if was_open else "a connection"
        told = _escaped(detail)
        neighbour = link.neighbour or self.neighbours.get(link.meant or b"")
        if neighbour is not None and neighbour.link in (None, link):
            neighbour.last_end = LastEnd(reason, told, self.seconds())
        if reason in EXPECTED:
            self._log.info(
                "{ended} with {node} at {peer} ended: {why}: {detail}",
                event="link-closed",
                ended=ended,
                node=link.who,
                peer=where,
                why=why,
                detail=told,
            )
        else:
            self._log.warn(
                "{ended} with {node} at {peer} ended: {why}: {detail} ({advice})",
                event="link-ended",
                ended=ended,
                node=link.who,
                peer=where,
                why=why,
                detail=told,
                advice=ADVICE[reason],
            )

    def not_reached(self, neighbour: Neighbour, where: str, faults: str) -> None:
        """No address of a node brought a link, and these are the faults of those that could not be connected to.

        Told once, until something else is wrong, or there was a link; without faults it is told where links end.
        """
        reason = LinkEnd.UNREACHABLE
        if faults:
            self.ends[reason] += 1
            neighbour.last_end = LastEnd(reason, faults, self.seconds())
        if faults and faults != neighbour.unreachable_by:
            self._log.warn(
                "{node} cannot be reached at {peer}: {error} ({advice})",
                event="node-unreachable",
                node=neighbour.text,
                peer=where,
                error=faults,
                advice=ADVICE[reason],
            )
        neighbour.unreachable_by = faults

    # ICluster

    def peer_here(self, peer: IMember) -> None:
        """See `ICluster`."""
        self._login += 1
        self.logins[peer] = self._login
        self._by_login[self._login] = peer
        self._tell(Word.PEERS, peer.name, True)

    def peer_gone(self, peer: IMember) -> None:
        """See `ICluster`."""
        login = self.logins.pop(peer, 0)
        self._by_login.pop(login, None)
        self._tell(Word.PEERS, peer.name, False)

    def topic_heard(self, topic: bytes, heard: bool) -> None:
        """See `ICluster`."""
        self._tell(Word.TOPICS, topic, heard)

    def _tell(self, kind: Word, word: bytes, there: bool) -> None:
        for neighbour in self.neighbours.values():
            if neighbour.link is not None:
                neighbour.link.outlet.tell(kind, word, there)

    def find(self, address: bytes) -> IMember | None:
        """See `ICluster`."""
        name, _, node = address.partition(b"@")
        neighbour = self.neighbours.get(node)
        if neighbour is None or not is_far_name(name):
            return None
        return neighbour.far(name)

    def nodes_with(self, name: bytes) -> Sequence[bytes]:
        """See `ICluster`."""
        return sorted(neighbour.name for neighbour in self.presence.nodes_with(name))

    def give_back(self, batch: Batch, reason: ReturnReason, now: float) -> bool:
        """See `ICluster`."""
        sender = far_sender(batch.sender)
        if sender is None:
            return False
        if self._over:
            self.broker.ledger.drop(batch.lines, DropReason.SHUTDOWN, len(batch.data))
        elif sender.instance != sender.neighbour.instance or sender.neighbour.name not in self.neighbours:
            self.broker.ledger.drop(batch.lines, DropReason.SENDER_GONE, len(batch.data))
        else:
            sender.neighbour.queue.put(
                Batch(Kind.RETURNED, sender, batch.address, batch.data, batch.lines, now, None, reason)
            )
        return True

    def shut_down(self, now: float) -> None:
        """See `ICluster`."""
        self._over = True
        for neighbour in self.neighbours.values():
            neighbour.queue.give_up(ReturnReason.SHUTDOWN, DropReason.SHUTDOWN)
        for link in tuple(self.connections):
            link.end(LinkEnd.SHUTDOWN, "the node is stopped", now)

    def queued(self) -> int:
        """See `ICluster`."""
        return sum(neighbour.queue.queued() for neighbour in self.neighbours.values())

    # Time

    def peer_of(self, login: int) -> IMember | None:
        """Who has this login, if he is still here."""
        return self._by_login.get(login)

    def tick(self, now: float) -> float:
        """Time has passed; when this is to be called again."""
        for link in tuple(self.connections):
            link.tick(now)
        for neighbour in tuple(self.neighbours.values()):
            neighbour.tick(now)
        dues = [link.due() for link in self.connections]
        for neighbour in self.neighbours.values():
            dues.append(neighbour.due())
            if neighbour.link is not None:
                dues.append(neighbour.arrivals.due())
        return min(dues, default=inf)

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way to another node."""
        return all(neighbour.queue.quiet for neighbour in self.neighbours.values())


def _escaped(detail: str) -> str:
    """Of what another node says only what is printable and ASCII as it is; backslashes too, since names in it may be
    escaped already."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in detail)


class Gone:
    """What was counted of nodes that are not known any more, so that no count of all becomes less."""

    def __init__(self) -> None:
        self.phases = Phases()
        self.resent = 0
        self.duplicates = 0

    def add(self, neighbour: Neighbour) -> None:
        """Keep what this one had counted."""
        self.phases.add(neighbour.queue.phases)
        self.resent += neighbour.queue.resent
        self.duplicates += neighbour.arrivals.duplicates
