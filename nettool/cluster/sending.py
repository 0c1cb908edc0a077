"""
What is sent on a link, and within which bounds.

In: batches.  Out: their frames; what is remembered of a frame until it is confirmed.  Never: an order; that is the
queue's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nettool.cluster import frames
from nettool.cluster.frames import Kind as FrameKind
from nettool.cluster.frames import Lines
from nettool.cluster.phases import Mode, PhaseName, Phases
from nettool.errors import DropReason, ReturnReason
from nettool.interfaces import IReturns
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import Batch, Kind
from nettool.outbox.losses import LossReport, LostReturns
from nettool.settings import MIB, DeliverySettings, Live, TopicOverflow
from nettool.wire.replies import direct_prefix, topic_prefix

FACTOR = 8
"""A link's bounds are so many times a peer's: it is many senders' way to many receivers."""

UNCONFIRMED = 4
"""Of its bound, the part that may be sent and not confirmed: a fourth."""

TOLD = 1000
"""Senders that are told how many of their lines could not be given back, on one link, before it takes data again."""

UNBOUNDED = 32 * MIB
"""What takes the place of that bound where `outbox-bytes` is unlimited: nobody reads that fast without confirming."""


class LinkBounds:
    """The bounds that are in force for a link now."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._of: DeliverySettings | None = None
        self._scaled = live.delivery
        self._away = live.delivery
        self.away = True
        """There is no link: topic lines are not waited for."""

    @property
    def delivery(self) -> DeliverySettings:
        """See `HasDelivery`."""
        delivery = self._live.delivery
        if delivery is not self._of:
            self._of = delivery
            size = FACTOR * delivery.outbox_bytes
            self._scaled = replace(delivery, outbox_bytes=size, topic_overflow=TopicOverflow.DROP_OLDEST)
            self._away = replace(self._scaled, topic_patience=0.0)
        return self._away if self.away else self._scaled

    @property
    def unconfirmed(self) -> int:
        """Bytes that may be sent and not confirmed."""
        return (self.delivery.outbox_bytes or UNBOUNDED) // UNCONFIRMED


@dataclass(slots=True)
class Sent:
    """A frame that was sent and is not confirmed."""

    number: int
    frame: bytes
    lines: int
    name: bytes
    """Of the receiver; empty for frames that are for none in particular."""
    size: int
    """Bytes of the batch, of which his window was charged."""
    mode: Mode
    reason: ReturnReason | None
    """Of lines that go back."""
    waited: float
    """Seconds from its routing until it was handed to the transport for the first time."""
    at: float
    """When it was handed to the transport."""


def frame_of(batch: Batch, number: int, login: int) -> bytes:
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


def _without(data: bytes | bytearray, prefix: bytes) -> bytes:
    """Texts without what stands before each of them: no text has an LF, so every LF but the last is followed by it."""
    return bytes(data[len(prefix) :].replace(b"\n" + prefix, b"\n"))


class LinkBacklog(Backlog):
    """What waits for a link, with the lines on their way back of many senders there."""

    __slots__ = ()

    def whose(self, batch: Batch) -> bytes:
        """The sender, by his node's instance and his login; nobody, once there are too many to tell."""
        counts = {} if self._lost_returns is None else self._lost_returns.counts or {}
        sender = batch.sender
        whose: bytes = getattr(sender, "instance", b"") + getattr(sender, "login", 0).to_bytes(frames.LOGIN, "big")
        return whose if whose in counts or len(counts) < TOLD else b""


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
