"""
What is in an outbox, as operators are told.

In: an outbox's account of itself.  Out: frozen values; names are text.  Never: a look at the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nettool.outbox.facts import OutboxSnapshot


def text(name: bytes) -> str:
    """A name as text; names are valid UTF-8, and what could not be is escaped."""
    return name.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Filler:
    """A sender who has something in an outbox."""

    name: str
    lines: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sender who is not read because of an outbox."""

    name: str
    lane: str
    """For what: direct lines, topic lines, or its own answers."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Lane:
    """Lines to the name, or topic lines, that wait in an outbox whose transport takes nothing now."""

    lane: str
    """direct or topic."""
    held_bytes: int
    full_for: float | None
    """Nothing if it is not full."""
    patience: float
    """What its senders wait for at most; infinity for ever."""
    patience_over: bool
    """Whether they are read again although it is full: new lines are given back, or push out the oldest."""
    patience_left: float | None
    """Until that is so; infinity for never; nothing if it is not full, or patience is over."""


def lanes_of(queued: OutboxSnapshot, patience: Mapping[str, float]) -> tuple[Lane, ...]:
    """Its lanes, each with the patience that senders have for it."""
    return tuple(
        Lane(
            lane.lane.value,
            lane.held_bytes,
            lane.full_for,
            patience[lane.lane.value],
            lane.patience_over,
            lane.patience_left,
        )
        for lane in queued.lanes
    )


def fillers_of(queued: OutboxSnapshot) -> tuple[Filler, ...]:
    """Who has how much in it, the largest first."""
    return tuple(Filler(text(filler.name), filler.lines, filler.bytes) for filler in queued.fillers)


def waiting_of(queued: OutboxSnapshot) -> tuple[Waiting, ...]:
    """Who is not read because of it, who waits longest first."""
    waiters = sorted(queued.waiting, key=lambda waiter: -waiter.seconds)
    return tuple(Waiting(text(waiter.name), waiter.lane.value, waiter.seconds) for waiter in waiters)
