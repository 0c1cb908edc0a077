"""
What is sent on a link, and within which bounds.

In: batches.  Out: their frames; what is remembered of a frame until it is confirmed.  Never: an order; that is the
queue's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from nettool.cluster import frames
from nettool.cluster.frames import MOST_PARTS, Lines
from nettool.cluster.frames import Kind as FrameKind
from nettool.cluster.phases import Mode, PhaseName, Phases
from nettool.errors import DropReason, ReturnReason
from nettool.interfaces import IReturns, ISender
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.lane import Lane
from nettool.outbox.losses import LossReport, LostReturns
from nettool.settings import CHUNK, MIB, DeliverySettings, Live, TopicOverflow
from nettool.wire.blocks import LONG
from nettool.wire.lines import cut
from nettool.wire.replies import direct_prefix, topic_prefix

FACTOR = 8
"""A link's bounds are so many times a peer's: it is many senders' way to many receivers."""

UNCONFIRMED = 4
"""Of its bound, the part that may be sent and not confirmed: a fourth."""

TOLD = 1000
"""Senders that are told how many of their lines could not be given back, on one link, before it takes data again."""

UNBOUNDED = 32 * MIB
"""What takes the place of that bound where `outbox-bytes` is unlimited: nobody reads that fast without confirming."""

LOST_AFTER = 600.0
"""Seconds without a link, or `pending-timeout` if that is longer, after which what was sent and not confirmed is lost:
nobody knows whether it arrived, so it cannot be given back, and that node may never be started again."""


_DIRECT, _ANSWER = Kind.DIRECT, Kind.ANSWER


class LinkBounds:
    """The bounds that are in force for a link now."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._work_out()
        self.away = True
        """There is no link: topic lines are not waited for."""

    @property
    def delivery(self) -> DeliverySettings:
        """See `HasDelivery`."""
        if self._live.delivery is not self._of:
            self._work_out()
        return self._away if self.away else self._scaled

    @property
    def unconfirmed(self) -> int:
        """Bytes that may be sent and not confirmed; asked for each batch."""
        if self._live.delivery is not self._of:
            self._work_out()
        return self._unconfirmed

    def _work_out(self) -> None:
        self._of = delivery = self._live.delivery
        size = FACTOR * delivery.outbox_bytes
        self._scaled = replace(delivery, outbox_bytes=size, topic_overflow=TopicOverflow.DROP_OLDEST)
        self._away = replace(self._scaled, topic_patience=0.0)
        self._unconfirmed = (size or UNBOUNDED) // UNCONFIRMED


@dataclass(slots=True)
class Sent:
    """A frame that was sent and is not confirmed."""

    number: int
    frame: bytes
    lines: int
    parts: Sequence[tuple[bytes, int, int]]
    """For each receiver his name, lines, and bytes, of which his window was charged; none if it is for none in
    particular."""
    size: int
    """Bytes of the batches that it was made of."""
    mode: Mode
    reason: ReturnReason | None
    """Of lines that go back."""
    waited: float
    """Seconds from its routing until it was handed to the transport for the first time; a line's mean."""
    at: float
    """When it was handed to the transport."""


def runs(batches: list[Batch]) -> Iterator[list[Batch]]:
    """The same batches in the same order: those that one frame can take, together."""
    run: list[Batch] = []
    size = 0
    for batch in batches:
        if run:
            first = run[0]
            # Any other kind is a frame of its own, and so is one that is larger than a read.
            joins = batch.kind is first.kind is _DIRECT and batch.sender is first.sender
            if joins and size + len(batch.data) <= CHUNK and len(run) < MOST_PARTS:
                run.append(batch)
                size += len(batch.data)
                continue
            yield run
            run = []
        if batch.kind is _ANSWER:
            yield from ([part] for part in _parts_of(batch))
        else:
            run, size = [batch], len(batch.data)
    if run:
        yield run


def _parts_of(batch: Batch) -> Iterator[Batch]:
    """A report of lost topic lines as several, if it names so many topics that a frame would be too long."""
    if isinstance(batch, LostReturns) or not isinstance(batch, LossReport):
        yield batch  # lost returns are never of so many
        return
    assert batch.sender is not None, "a report of losses has an owner"
    for counts in frames.in_parts(batch.by_topic()):
        part = LossReport(batch.sender, batch.after, batch.at)
        part.count(dict(counts))
        yield part


def sent_of(run: list[Batch], number: int, login: int, now: float) -> Sent:
    """The frame for all of a run, as it is remembered; `login` is the sender's, here or there."""
    batch = run[0]
    lines, size, waited = batch.lines, len(batch.data), 0.0
    parts: list[tuple[bytes, int, int]] = []
    if batch.kind is _DIRECT:
        parts = [(name_of(one), one.lines, len(one.data)) for one in run]
        lines, size = sum([part[1] for part in parts]), sum([part[2] for part in parts])
        waited = sum([one.lines * (now - one.at) for one in run]) / lines
    elif isinstance(batch, LossReport):
        size = 0
    else:
        waited = now - batch.at
    frame = _frame_of_run(run, number, login)
    return Sent(number, frame, lines, parts, size, mode_of(batch), batch.reason, waited, now)


def blank(number: int, now: float) -> Sent:
    """A frame without lines, in the place of one that is lost."""
    return Sent(number, frames.render_counts(FrameKind.LAGGED, {}, number), 0, (), 0, Mode.BROADCAST, None, 0.0, now)


def _frame_of_run(run: list[Batch], number: int, login: int) -> bytes:
    """The payload of a frame for all of a run."""
    first = run[0]
    if len(run) == 1:
        return _frame_of(first, number, login)
    sender = first.sender
    assert sender is not None, "lines are somebody's"
    prefix = direct_prefix(sender.name)
    parts = []
    for batch in run:
        short, _, there = batch.address.partition(b"@")
        parts.append((short, bool(there), _without(batch.data, prefix)))
    return frames.render_names(number, login, _short(sender.name), parts)


def _frame_of(batch: Batch, number: int, login: int) -> bytes:
    """The payload of a batch's frame; `login` is its sender's, here or there."""
    sender = batch.sender
    if isinstance(batch, LostReturns):
        # `sender` is the neighbour: who is lost with an older instance of it is told nothing.
        instance, counts = getattr(sender, "instance", b""), batch.counts or {}
        own = {whose[frames.INSTANCE :]: n for whose, n in counts.items() if whose[: frames.INSTANCE] == instance}
        return frames.render_counts(FrameKind.RETURNS_LOST, own, number)
    if isinstance(batch, LossReport):
        return frames.render_counts(FrameKind.LAGGED, batch.counts or {}, number)
    assert sender is not None, "lines are somebody's"
    short, _, there = batch.address.partition(b"@")
    if batch.kind is Kind.RETURNED:
        data = _without(batch.data, direct_prefix(sender.name))
        lines = Lines(FrameKind.RETURNED, number, login, short, b"", bool(there), batch.reason, data)
    elif batch.kind is Kind.DIRECT:
        data = _without(batch.data, direct_prefix(sender.name))
        lines = Lines(FrameKind.DIRECT, number, login, _short(sender.name), short, bool(there), None, data)
    elif batch.address:
        data = _without(batch.data, topic_prefix(sender.name) + batch.address + b": ")
        lines = Lines(FrameKind.TOPIC, number, login, _short(sender.name), batch.address, False, None, data)
    else:
        data = _without(batch.data, topic_prefix(sender.name))
        lines = Lines(FrameKind.SEVERAL, number, login, _short(sender.name), b"", False, None, data)
    return frames.render_lines(lines)


def _short(name: bytes) -> bytes:
    """A sender's name as it crosses: empty for the node itself, which is `@node1` wherever it is heard."""
    return b"" if name[:1] == b"@" else name


def mode_of(batch: Batch) -> Mode:
    """Which sender's a batch is; `error lagged` in its place among topic lines is of the broadcast sender."""
    topical = batch.kind is Kind.TOPIC or batch.kind is Kind.ANSWER
    return Mode.BROADCAST if topical else Mode.DIRECT


def name_of(batch: Batch) -> bytes:
    """Who a batch is for, if it is for one receiver; empty for topics, and for lines that come back."""
    return batch.address.partition(b"@")[0] if batch.kind is Kind.DIRECT else b""


def sizes_by_name(sent: Iterable[Sent], batches: Iterable[Batch]) -> dict[bytes, int]:
    """Bytes for each receiver, in frames that were sent and in batches that were not."""
    sizes: dict[bytes, int] = {}
    parts = [part for frame in sent for part in frame.parts]
    for name, _, size in parts + [(name_of(batch), 0, len(batch.data)) for batch in batches]:
        if name:
            sizes[name] = sizes.get(name, 0) + size
    return sizes


def _without(data: bytes | bytearray, prefix: bytes) -> bytes:
    """Texts without what stands before each of them: no text has an LF, so every LF but the last is followed by it."""
    if data.find(b"\n") >= LONG:
        skip = len(prefix)
        return b"".join([line[skip:] for line in cut(bytes(data))])
    return bytes(data[len(prefix) :].replace(b"\n" + prefix, b"\n"))


class LinkBacklog(Backlog):
    """What waits for a link, with the lines on their way back of many senders there."""

    __slots__ = ("_bounds",)

    def __init__(self, owner: ISender, bounds: LinkBounds, home: IReturns) -> None:
        super().__init__(owner, bounds, home)
        self._bounds = bounds

    def _make_wait(self, lane: Lane, batch: Batch) -> None:
        # Without a link nobody waits for lines to names: what is too much goes back, but for the last batch.
        if lane is self.topic or not self._bounds.away:
            super()._make_wait(lane, batch)

    def whose(self, batch: Batch) -> bytes:
        """The sender, by his node's instance and his login; nobody, once there are too many to tell."""
        counts = {} if self._lost_returns is None else self._lost_returns.counts or {}
        sender = batch.sender
        whose: bytes = getattr(sender, "instance", b"") + getattr(sender, "login", 0).to_bytes(frames.LOGIN, "big")
        return whose if whose in counts or len(counts) < TOLD else b""

    def forget_marks(self) -> None:
        """Nobody is to be told of topic lines that were dropped: those who heard these topics are gone."""
        self._marks.clear()


class PhasedHome:
    """Where the backlog gives back: the broker, once the phase is over."""

    def __init__(self, phases: Phases, home: IReturns) -> None:
        self._phases = phases
        self._home = home
        self.ledger = self
        """Its own, for what it drops."""
        self.waits = home.waits
        self.direct, self.topic = home.ledger.direct, home.ledger.topic
        self.passages = home.ledger.passages

    def give_back(self, batch: Batch, reason: ReturnReason, now: float) -> None:
        """See `IReturns`."""
        self._phases.of(mode_of(batch), PhaseName.OUTGOING_BUFFER).finished += batch.lines
        self._home.give_back(batch, reason, now)

    def drop(self, copies: int, reason: DropReason, size: int) -> None:
        """See `ILedger`."""
        mode = Mode.BROADCAST if reason is DropReason.LAGGED else Mode.DIRECT
        self._phases.of(mode, PhaseName.OUTGOING_BUFFER).finished += copies
        self._home.ledger.drop(copies, reason, size)
