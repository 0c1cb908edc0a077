"""
Those on other nodes: whom lines go to, and who they come from.

In: batches for one receiver there; word of what he has not taken.  Out: batches for the queue to his node, his senders
made to wait.  Never: a line held back for him: a closed window makes senders wait, not lines.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from zope.interface import implementer

from nettool.broker.directory import IMember
from nettool.errors import ReturnReason
from nettool.interfaces import IGate, ISender
from nettool.outbox import facts
from nettool.outbox.batch import Batch
from nettool.outbox.facts import LaneName, OutboxSnapshot, Waiter
from nettool.outbox.lane import Lane

if TYPE_CHECKING:
    from nettool.cluster.neighbour import Neighbour


KEPT = 16
"""Senders that a receiver may be remembered to have had, beside twice those who have something under way to him."""


@implementer(IMember)
class FarPeer:
    """A receiver on another node, who is his own outbox.

    His window is a lane: what is under way to him fills it, and it is full at `remote-window`.

    Invariant: `ahead` are the bytes for him that are in the queue to his node, confirmed ones not; without a link
    there is no window, and nobody waits for him.
    """

    __slots__ = (
        "_kept",
        "_neighbour",
        "_put",
        "_senders",
        "ahead",
        "lane",
        "listed",
        "name",
        "short",
        "there",
        "topics",
    )

    def __init__(self, short: bytes, neighbour: Neighbour) -> None:
        self.short = short
        self.name = short + b"@" + neighbour.name
        self.topics: set[bytes] | None = None
        self.listed = False
        """His node says that he is there."""
        self.ahead = 0
        self.there = 0
        """Bytes that wait there in his outbox, as his node last told."""
        self.lane: Lane | None = None
        """Nothing while nothing is under way."""
        self._put = 0
        """Bytes that were ever put for him."""
        self._senders: dict[ISender, int] = {}
        """For each who wrote, `_put` behind his last batch; who wrote nothing that is under way is forgotten later."""
        self._kept = KEPT
        """So many of them, and it is seen who is to be forgotten."""
        self._neighbour = neighbour

    @property
    def outbox(self) -> FarPeer:
        """Where the broker puts batches for him."""
        return self

    blocked = False
    """Nobody needs to count the lines of a batch by topic for him: he hears none by name."""

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`: he sends nothing here."""

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""

    # Lines

    def put(self, batch: Batch) -> None:
        """Send it to him, or give it back if his senders have waited for long enough."""
        neighbour = self._neighbour
        if neighbour.link is None:
            neighbour.queue.put(batch)
            return
        lane = self.lane
        if lane is not None and lane.spent:
            neighbour.give_back(batch, ReturnReason.QUEUE_FULL, batch.at)
        elif neighbour.queue.put(batch):
            if lane is None:
                lane = self.lane = Lane(neighbour.broker.waits.direct)
                neighbour.under_way[self.short] = self
            self.ahead += len(batch.data)
            self._put += len(batch.data)
            if batch.sender is not None:
                self._senders[batch.sender] = self._put
                if len(self._senders) > self._kept:
                    self._forget_others()
            self._weigh(lane, batch)

    def _writing(self) -> list[ISender]:
        """Who wrote what is under way: of all that was put, the last bytes, since what comes first goes first."""
        gone = self._put - self.ahead - self.there
        return [sender for sender, behind in self._senders.items() if behind > gone]

    def _forget_others(self) -> None:
        self._senders = {sender: self._senders[sender] for sender in self._writing()}
        self._kept = 2 * len(self._senders) + KEPT

    def _weigh(self, lane: Lane, batch: Batch) -> None:
        """Make his senders wait if this fills his window."""
        lane.held = self.ahead + self.there
        if lane.full_since is None:
            if lane.held < self._neighbour.window:
                return
            lane.full_since = batch.at
            lane.wait.filled += 1
            for sender in self._writing():
                lane.gate.shut(sender, batch.at)
            self._neighbour.window_closed(self)
        elif batch.sender is not None and not lane.spent:
            lane.gate.shut(batch.sender, batch.at)

    def went(self, size: int) -> None:
        """So many bytes for him are not in the queue to his node any more: confirmed, or given back."""
        self.ahead = max(0, self.ahead - size)  # what was put before this link is not in it
        self._look()

    def waits_there(self, size: int) -> None:
        """So many bytes wait there in his outbox."""
        self.there = size
        self._look()

    def _look(self) -> None:
        lane = self.lane
        if lane is None:
            return
        lane.held = self.ahead + self.there
        if lane.full_since is not None and lane.held < max(self._neighbour.window // 2, 1):
            lane.end_episode(self._neighbour.linked.seconds())
            self._neighbour.window_opened(self)
        if not lane.held:
            self.forget_window()

    def forget_window(self) -> None:
        """Nothing is under way: nobody waits, and nothing is kept of it."""
        lane, self.lane = self.lane, None
        self.ahead = self.there = 0
        self._senders.clear()
        self._kept = KEPT
        self._neighbour.under_way.pop(self.short, None)
        if lane is not None:
            lane.end_episode(self._neighbour.linked.seconds())
            self._neighbour.window_opened(self)

    def begin_window(self, ahead: int) -> None:
        """A new link, with so many bytes for him to be sent on it: it starts with what is left of a whole window."""
        self.ahead, self.there = ahead, 0
        self.lane = Lane(self._neighbour.broker.waits.direct)
        self._neighbour.under_way[self.short] = self

    # Time

    def expires(self) -> float:
        """When his senders have waited for long enough; infinity if none waits."""
        return inf if self.lane is None else self.lane.expires(self._neighbour.direct_patience)

    def tick(self, now: float) -> None:
        """End the patience, if it is time."""
        if self.lane is not None and self.expires() <= now:
            self.lane.spent = True
            self.lane.gate.open(now)

    # What others may ask

    @property
    def full_since(self) -> float:
        """Since when his window is closed; infinity if it is not."""
        return inf if self.lane is None or self.lane.full_since is None else self.lane.full_since

    @property
    def writers(self) -> tuple[bytes, ...]:
        """Who wrote what is under way."""
        return tuple(sender.name for sender in self._writing())

    def snapshot(self, now: float) -> OutboxSnapshot:
        """What is under way to him, and who waits because of him; costs time in proportion to what is queued there."""
        sent, batches = self._neighbour.queue.of_name(self.short)
        lane, since, patience = self.lane, self.full_since, self._neighbour.direct_patience
        waiting = {} if lane is None else lane.gate.waiting
        return OutboxSnapshot(
            lines=sent + sum(batch.lines for batch in batches),
            held_bytes=self.ahead + self.there,
            oldest=facts.oldest_in(batches, now),
            fillers=facts.fillers_of(batches),
            waiting=tuple(Waiter(sender.name, LaneName.DIRECT, now - then) for sender, then in waiting.items()),
            full_for=facts.full_for(since, now),
            lanes=() if lane is None else (facts.lane_of(LaneName.DIRECT, lane, patience, now),),
        )


class _Nothing:
    """The outbox of somebody who is told nothing here."""

    owner_waits = False
    blocked = False

    def put(self, batch: Batch) -> None:
        """What is refused of another node's lines has been counted: it is that node's fault, and its own to tell."""


def far_sender(sender: object) -> FarSender | None:
    """A sender, if he is on another node."""
    return sender if isinstance(sender, FarSender) else None


@implementer(IMember)
class FarSender:
    """A sender on another node, as those see him who are here: `name@node`; `@node` for that node itself.

    He cannot be made to wait here: his node makes him wait, for what it is told.
    """

    __slots__ = ("instance", "login", "name", "neighbour", "short", "topics")

    outbox = _Nothing()

    def __init__(self, short: bytes, login: int, neighbour: Neighbour) -> None:
        self.short = short
        self.login = login
        self.name = short + b"@" + neighbour.name
        self.topics: set[bytes] | None = None
        self.neighbour = neighbour
        self.instance = neighbour.instance
        """Of his node: another instance of it does not know him."""

    def wait_for(self, gate: IGate, now: float) -> None:
        """See `ISender`."""

    def go_on_after(self, gate: IGate) -> None:
        """See `ISender`."""
