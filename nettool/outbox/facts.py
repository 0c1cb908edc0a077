"""
What an operator is told of an outbox: copied, plain data.

In: an outbox's own account of itself.  Out: frozen values that keep nothing alive.  Never: a change of anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import CHARGE, Batch
from nettool.outbox.gates import Gate
from nettool.outbox.lane import Lane
from nettool.settings import DeliverySettings


class LaneName(StrEnum):
    """The kinds of lines that are bounded apart, and what a peer's own answers make him wait for."""

    DIRECT = "direct"
    """Lines to the name, with answers and lines given back."""
    TOPIC = "topic"
    """Topic lines, with notices."""
    OWN = "own"
    """The peer's own answers: he alone waits for them."""


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """One lane of a blocked outbox."""

    lane: LaneName
    held_bytes: int
    """Data, and a charge for each batch: what the bound counts."""
    full_for: float | None
    """Seconds since it became full; nothing if it is not."""
    patience_over: bool
    """Whether its senders are read again although it is full: its lines are given back, or push out the oldest."""
    patience_left: float | None
    """Seconds until that is so; infinity for never; nothing if it is not full, or patience is over."""


@dataclass(frozen=True, slots=True)
class Filler:
    """What one sender has in an outbox."""

    name: bytes
    lines: int
    """Texts; answers and notices are not counted here."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiter:
    """A sender that is not read because of an outbox."""

    name: bytes
    lane: LaneName
    seconds: float


@dataclass(frozen=True, slots=True)
class OutboxSnapshot:
    """What is queued for one peer at one moment, who fills it, and who waits because of it."""

    lines: int
    """Texts; answers and notices are not counted here."""
    held_bytes: int
    """Data, and a charge for each batch."""
    oldest: float
    """Age of the oldest batch, in seconds; 0 if there is none."""
    fillers: tuple[Filler, ...]
    """Those who have lines in it, the largest first."""
    waiting: tuple[Waiter, ...]
    """Those who are not read because of it, who waits longest first."""
    full_for: float
    """Seconds since a lane became full; 0 if none is."""
    lanes: tuple[LaneSnapshot, ...]
    """Nothing while the transport takes data."""


EMPTY = OutboxSnapshot(0, 0, 0.0, (), (), 0.0, ())
"""Of most outboxes, at most moments."""


def snapshot_of(
    batches: Sequence[Batch], backlog: Backlog | None, delivery: DeliverySettings, now: float
) -> OutboxSnapshot:
    """Of an outbox that holds these batches, and has this backlog, if any."""
    return OutboxSnapshot(
        lines=sum(batch.lines for batch in batches),
        held_bytes=held_by(batches),
        oldest=oldest_in(batches, now),
        fillers=fillers_of(batches),
        waiting=() if backlog is None else waiting_at(backlog, now),
        full_for=0.0 if backlog is None else full_for(backlog.full_since, now),
        lanes=() if backlog is None else lanes_of(backlog, delivery.direct_patience, delivery.topic_patience, now),
    )


def fillers_of(batches: Iterable[Batch]) -> tuple[Filler, ...]:
    """Who has how much in these, the largest first."""
    found: dict[bytes, list[int]] = {}
    for batch in batches:
        if batch.sender is not None and batch.data:
            sums = found.setdefault(batch.sender.name, [0, 0])
            sums[0] += batch.lines
            sums[1] += len(batch.data)
    return tuple(
        Filler(name, lines, size) for name, (lines, size) in sorted(found.items(), key=lambda item: -item[1][1])
    )


def held_by(batches: Iterable[Batch]) -> int:
    """Bytes of data, and a charge for each batch."""
    return sum(CHARGE + len(batch.data) for batch in batches)


def oldest_in(batches: Iterable[Batch], now: float) -> float:
    """Age in seconds of the oldest."""
    return max((now - batch.at for batch in batches), default=0.0)


def lanes_of(backlog: Backlog, direct_patience: float, topic_patience: float, now: float) -> tuple[LaneSnapshot, ...]:
    """Both lanes of a backlog."""
    return (
        lane_of(LaneName.DIRECT, backlog.direct, direct_patience, now),
        lane_of(LaneName.TOPIC, backlog.topic, topic_patience, now),
    )


def lane_of(name: LaneName, lane: Lane, patience: float, now: float) -> LaneSnapshot:
    """One lane, of a backlog or alone."""
    expires = lane.expires(patience)
    full_for = None if lane.full_since is None else max(now - lane.full_since, 0.0)
    left = None if full_for is None or lane.spent else max(expires - now, 0.0)
    return LaneSnapshot(name, lane.held, full_for, lane.spent, left)


def gates_of(backlog: Backlog) -> tuple[tuple[LaneName, Gate], ...]:
    """The gates at which somebody may wait, each with what it is for."""
    return (
        (LaneName.DIRECT, backlog.direct.gate),
        (LaneName.TOPIC, backlog.topic.gate),
        (LaneName.OWN, backlog.own_gate),
    )


def waiting_at(backlog: Backlog, now: float) -> tuple[Waiter, ...]:
    """Who waits because of a backlog, and for how long, who waits longest first."""
    waiters = [
        Waiter(sender.name, lane, max(now - since, 0.0))
        for lane, gate in gates_of(backlog)
        for sender, since in gate.waiting.items()
    ]
    return tuple(sorted(waiters, key=lambda waiter: -waiter.seconds))


def full_for(full_since: float, now: float) -> float:
    """Seconds since an outbox became full; 0 if it is not, which is written as infinity."""
    return 0.0 if full_since == inf else max(now - full_since, 0.0)
