"""
What waits in an outbox while its transport takes nothing.

In: batches.  Out: batches in the order they came, with `error lagged` in the place of topic lines that were dropped.
Never: more held than the bounds of `nettool.settings.Delivery`, by more than one read of each sender; a sender held
longer than its patience.

Two lanes, one order.  Batches to names are numbered as they come; a topic batch remembers how many of them came before
it (`after`).  So the oldest of each lane is at hand, for taking and for dropping, and the order between them is known.
"""

from __future__ import annotations

from collections import Counter, deque
from math import inf

from nettool.errors import DropReason, ReturnReason
from nettool.interfaces import IReturns, ISender
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.gates import Gate
from nettool.outbox.lane import Lane
from nettool.outbox.losses import LossReport, LostReturns
from nettool.outbox.passage import taken_apart
from nettool.settings import CHUNK, RETURNS_FACTOR, HasDelivery, TopicOverflow
from nettool.wire.lines import count

MERGED = 16 * 1024
"""Bytes up to which small batches of one sender and address become one: one charge for many single lines."""

MERGED_WITHIN = 1.0
"""Seconds within which they came: what waits for a node that is away is given back by its age."""
MARKED = 1024
"""Topics that `error lagged` lines in one backlog may name apart from their newest place, so that marks stay small."""


class Backlog:
    """The two lanes of a blocked outbox."""

    __slots__ = (
        "_after",
        "_directs",
        "_directs_put",
        "_home",
        "_live",
        "_lost_returns",
        "_marks",
        "_owner",
        "_part",
        "_topics",
        "direct",
        "lagged",
        "own_gate",
        "too_slow",
        "topic",
    )

    def __init__(self, owner: ISender, live: HasDelivery, home: IReturns) -> None:
        self._owner = owner
        self._live = live
        self._home = home
        self.direct = Lane(home.waits.direct)
        self.topic = Lane(home.waits.topic)
        self.own_gate = Gate(home.waits.own)
        """Shut for the owner when its own answers fill the lane to names; nobody's patience limits that."""
        self.lagged = 0
        """Topic lines that were dropped for newer ones."""
        self.too_slow = False
        """The hearer took a topic too slowly, and `topic-overflow` says that it is to be disconnected."""
        self._directs: deque[Batch] = deque()
        self._directs_put = 0
        self._topics: deque[Batch] = deque()
        self._after: deque[int] = deque()
        """For each of `_topics`, how many batches to names came before it."""
        self._marks: deque[LossReport] = deque()
        """Where topic lines were dropped: all before the first of `_topics`; none has a line to a name inside it."""
        self._lost_returns: LostReturns | None = None
        self._part: Batch | None = None
        """A batch larger than a chunk that is on its way: it counts in its lane until it has gone."""

    def __bool__(self) -> bool:
        return bool(self._directs or self._topics or self._marks or self._part)

    # What comes in

    def put(self, batch: Batch) -> None:
        """Keep a batch, give it back, or drop something for it, as the lane's state demands."""
        match batch.kind:
            case Kind.MIXED:
                for part in taken_apart(batch, self._home.ledger.passages):
                    self.put(part)
            case Kind.TOPIC | Kind.NOTICE:
                self._put_topic(batch)
            case Kind.DIRECT if self.direct.spent:
                self._home.give_back(batch, ReturnReason.QUEUE_FULL, batch.at)
            case Kind.RETURNED:
                self._put_returned(batch)
            case _:
                self._put_direct(batch)

    def adopt(self, part: Batch, left: int) -> None:
        """What is left of a batch larger than a chunk, which was on its way before there was a backlog, counts too."""
        if self._part is None:
            self._part = part
            lane = self._lane_of(part)
            lane.held += CHARGE + left
            self._make_wait(lane, part)

    def _put_returned(self, batch: Batch) -> None:
        """Keep as many of its lines as there is room for; the others are lost, and that is told."""
        bound = RETURNS_FACTOR * self._live.delivery.outbox_bytes
        room = bound - self.direct.held - CHARGE
        if not bound or len(batch.data) <= room:
            self._put_direct(batch)
            return
        end = batch.data.rfind(b"\n", 0, max(room, 0)) + 1
        kept = count(batch.data, 0, end)
        if kept:
            data = batch.data[:end]
            self._put_direct(Batch(batch.kind, batch.sender, batch.address, data, kept, batch.at, None, batch.reason))
        self._home.ledger.drop(batch.lines - kept, DropReason.RETURN_OVERFLOW, len(batch.data) - end)
        self.tell_lost(batch.lines - kept, batch.at, self.whose(batch))

    def whose(self, batch: Batch) -> bytes:
        """By what lost returns are counted: nothing, since all are the owner's."""
        return b""

    def tell_lost(self, lines: int, now: float, whose: bytes = b"") -> None:
        """Tell of so many lines that could not be given back, with those that are not told yet."""
        if self._lost_returns is None:
            self._lost_returns = LostReturns(self._owner, self._directs_put, now)
            self._directs.append(self._lost_returns)
            self._directs_put += 1
            self.direct.keep(self._lost_returns)
            self._make_wait(self.direct, self._lost_returns)
        self._lost_returns.count({whose: lines})

    def _put_direct(self, batch: Batch) -> None:
        lane, merged = self.direct, None
        if self._directs and not self._topic_came_last():
            merged = _merge(self._directs[-1], batch)
        if merged:
            self._directs[-1] = merged
            lane.add(batch)
        else:
            self._directs.append(batch)
            self._directs_put += 1
            lane.keep(batch)
        self._make_wait(lane, batch)

    def _topic_came_last(self) -> bool:
        """Whether something merged into the last batch to a name would overtake a topic line, or a mark."""
        last = self._after[-1] if self._after else self._marks[-1].after if self._marks else -1
        return last == self._directs_put

    def _put_topic(self, batch: Batch) -> None:
        lane, after = self.topic, self._directs_put
        if batch.kind is Kind.NOTICE and lane.full_since is not None and not lane.spent:
            self._lose_notice(batch, after)
            return
        merged = None
        if self._topics and self._after[-1] == after:
            merged = _merge(self._topics[-1], batch)
        if merged:
            self._topics[-1] = merged
            lane.add(batch)
        else:
            self._topics.append(batch)
            self._after.append(after)
            lane.keep(batch)
        self._make_wait(lane, batch)
        if lane.spent:
            self._drop_oldest()

    def _lose_notice(self, batch: Batch, after: int) -> None:
        """Nobody can be made to wait for a notice, so it is not patience that bounds them: they are lost at the end."""
        last = self._topics[-1] if self._topics else None
        if not isinstance(last, LossReport) or last.after != after:
            last = LossReport(self._owner, after, batch.at)
            self._topics.append(last)
            self._after.append(after)
            self.topic.keep(last)
        last.count(batch.by_topic())

    def _make_wait(self, lane: Lane, batch: Batch) -> None:
        """Begin an episode if this batch filled the lane; during one, make the batch's sender wait."""
        bound = self._live.delivery.outbox_bytes
        if lane.full_since is None:
            if not bound or lane.held < bound:
                return
            lane.full_since = batch.at
            lane.wait.filled += 1
            on_its_way = [self._part] if self._part is not None and self._lane_of(self._part) is lane else []
            for filler in on_its_way + self._batches(lane):
                self._shut(lane, filler, batch.at)
            self.tick(batch.at)
        else:
            self._shut(lane, batch, batch.at)
            # A round of reads may last longer than the patience, and no timer runs within it.
            if batch.at >= self.deadline():
                self.tick(batch.at)

    def _shut(self, lane: Lane, batch: Batch, now: float) -> None:
        if batch.kind in _OWN:
            # Among topic lines only losses are told: nobody waits for them, and nothing there would let the owner go.
            if lane is self.direct:
                self.own_gate.shut(self._owner, now)
        elif not lane.spent and batch.sender is not None:
            lane.gate.shut(batch.sender, now)

    # What time does

    def deadline(self) -> float:
        """When `tick` is to be called, in seconds of the node's clock; infinity for never."""
        delivery = self._live.delivery
        return min(self.direct.expires(delivery.direct_patience), self.topic.expires(delivery.topic_patience))

    def tick(self, now: float) -> None:
        """End the patience of lanes whose time it is."""
        delivery = self._live.delivery
        for lane, patience in ((self.direct, delivery.direct_patience), (self.topic, delivery.topic_patience)):
            if lane.expires(patience) <= now:
                lane.spent = True
                lane.gate.open(now)
                if lane is self.topic:
                    self._drop_oldest()

    def lose_patience(self, now: float) -> None:
        """Topic lines are waited for no longer: they come from where nobody can be made to wait."""
        if self.topic.full_since is not None and not self.topic.spent:
            self.topic.spent = True
            self.topic.gate.open(now)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        delivery = self._live.delivery
        if delivery.topic_overflow is TopicOverflow.DISCONNECT:
            self.too_slow = True
            return
        while 0 < delivery.outbox_bytes < self.topic.held and self._topics:
            batch, after = self._topics.popleft(), self._after.popleft()
            self.topic.leave(batch, _charged(batch))
            self._home.ledger.drop(batch.lines, DropReason.LAGGED, len(batch.data))
            if batch.kind is Kind.TOPIC:
                self._home.ledger.topic.given_up += batch.lines
            self.lagged += batch.lines
            self._mark_at(after).count(batch.by_topic())

    def _mark_at(self, after: int) -> LossReport:
        marks = self._marks
        if not marks or (marks[-1].after != after and sum(len(mark.counts or ()) for mark in marks) < MARKED):
            marks.append(LossReport(self._owner, after))
        return marks[-1]

    # What goes out

    def take(self) -> list[Batch]:
        """The oldest batches, at most `CHUNK` bytes of them or one that is larger; none if there are none."""
        taken: list[Batch] = []
        size = 0
        while size < CHUNK:
            queue = self._oldest()
            if queue is None:
                break
            batch = queue[0]
            if isinstance(batch, LossReport):
                batch.render()
            if taken and size + len(batch.data) > CHUNK:
                break
            taken.append(queue.popleft())
            size += len(batch.data)
            if queue is self._marks:
                if len(batch.data) > CHUNK:  # a thousand long topics; it was not charged before
                    self._part = batch
                    self.direct.held += CHARGE + len(batch.data)
                continue
            lane = self.topic if queue is self._topics else self.direct
            if lane is self.topic:
                self._after.popleft()
            if batch is self._lost_returns:
                self._lost_returns = None
            lane.leave(batch, _charged(batch))
            if len(batch.data) > CHUNK:
                self._part = batch
                lane.held += CHARGE + len(batch.data)
        return taken

    def part_went(self, size: int, done: bool) -> None:
        """So many bytes of the batch that was larger than a chunk have gone; `done` with its last ones."""
        assert self._part is not None, "a part that is on its way before there is a backlog is adopted"
        self._lane_of(self._part).held -= size + (CHARGE if done else 0)
        if done:
            self._part = None

    def _oldest(self) -> deque[Batch] | deque[LossReport] | None:
        """The queue that has the next batch at its head."""
        directs_taken = self._directs_put - len(self._directs)
        if self._marks and self._marks[0].after <= directs_taken:
            return self._marks
        if self._topics and self._after[0] <= directs_taken:
            return self._topics
        return self._directs or None

    def made_room(self, now: float) -> None:
        """The transport took something: end the episodes of lanes that are under their low-water mark."""
        low_water = self._live.delivery.low_water
        for lane in (self.direct, self.topic):
            if lane.full_since is not None and (lane.held < low_water or not low_water):
                lane.end_episode(now)
                if lane is self.direct:
                    self.own_gate.open(now)

    @property
    def oldest_since(self) -> tuple[float, float]:
        """When the oldest batch of each lane was routed; infinity where there is none."""
        return (self._directs[0].at if self._directs else inf, self._topics[0].at if self._topics else inf)

    def shed(self, lane: Lane) -> Batch:
        """Take the oldest batch out of a lane that has one: it will not be sent."""
        if lane is self.topic:
            self._after.popleft()
        batch = (self._topics if lane is self.topic else self._directs).popleft()
        if batch is self._lost_returns:
            self._lost_returns = None
        lane.leave(batch, _charged(batch))
        return batch

    def close(self, now: float) -> None:
        """Forget everything; every sender that waits goes on."""
        for queue in (self._directs, self._topics, self._after, self._marks):
            queue.clear()
        self._part = None
        self.let_go(now)

    def let_go(self, now: float) -> None:
        """Every sender that waits goes on, whatever is in it."""
        self.direct.end_episode(now)
        self.topic.end_episode(now)
        self.own_gate.open(now)

    # What an operator sees

    @property
    def holds_anybody(self) -> bool:
        """Whether a sender, or the owner, waits for it."""
        return bool(self.direct.gate.waiting or self.topic.gate.waiting or self.own_gate.waiting)

    @property
    def oldest_at(self) -> float:
        """When the oldest of what is in it came; infinity if there is nothing."""
        return min(self.oldest_since)

    @property
    def full_since(self) -> float:
        """Since when an episode is going on, the older one if there are two; infinity if there is none."""
        return min((lane.full_since for lane in (self.direct, self.topic) if lane.full_since is not None), default=inf)

    @property
    def full(self) -> bool:
        """Whether an episode is going on."""
        return self.full_since < inf

    def batches(self) -> list[Batch]:
        """What is in it: lines to names first, then topic lines."""
        return [*self._batches(self.direct), *self._batches(self.topic)]

    def _lane_of(self, batch: Batch) -> Lane:
        return self.topic if batch.kind is Kind.TOPIC or batch.kind is Kind.NOTICE else self.direct

    def _batches(self, lane: Lane) -> list[Batch]:
        return list(self._directs if lane is self.direct else self._topics)


_OWN = frozenset((Kind.ANSWER, Kind.RETURNED))


def _merge(last: Batch, batch: Batch) -> Batch | None:
    """Both as one, if they are small and of one sender and address; the older one's time is kept."""
    if (
        isinstance(last, LossReport)
        or last.sender is not batch.sender
        or last.address != batch.address
        or last.kind is not batch.kind
        or last.reason is not batch.reason
        or len(last.data) + len(batch.data) > MERGED
        or batch.at - last.at > MERGED_WITHIN
        or not (batch.address or batch.kind is Kind.ANSWER)
    ):
        return None
    # Only a merged batch has a bytearray, and only this backlog has a merged batch.
    data = last.data if isinstance(last.data, bytearray) else bytearray(last.data)
    data += batch.data
    counts = None
    if batch.kind is Kind.NOTICE:
        counts = dict(Counter(last.by_topic()) + Counter(batch.by_topic()))
    return Batch(last.kind, last.sender, last.address, data, last.lines + batch.lines, last.at, counts, last.reason)


def _charged(batch: Batch) -> int:
    """Bytes of its data that a batch takes of its lane's bound; none of a `LossReport`, whose data comes late."""
    return 0 if isinstance(batch, LossReport) else len(batch.data)
