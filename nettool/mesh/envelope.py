"""
The values that go in and out of a mesh.

In: nothing.  Out: immutable values.  Never: behaviour.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple


class Envelope(NamedTuple):
    """Bytes, and the id of the connection that they came from or go to.

    A tuple, since many of them are made at once, and that is fastest: `tuple.__new__` from `map`, 90 ns each.
    """

    id: Hashable
    payload: bytes


@dataclass(frozen=True, slots=True)
class Added:
    """A connection is in the mesh."""

    id: Hashable


@dataclass(frozen=True, slots=True)
class Removed:
    """A connection was handed back by `remove`, alive; nothing of it was lost."""

    id: Hashable


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection has ended.  Its id is free; what it brought before is still received, with this id."""

    id: Hashable
    reason: BaseException
    """Why; its text is for people."""
    unsent: list[Envelope] = field(default_factory=list)
    """What was taken for it and not sent, in order: the other end has not had any of it as a whole.

    A plain socket tells exactly what the kernel took.  Over TLS the last one or two may have been sent after all.
    """


Event = Added | Removed | Disconnected


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """One connection at one moment."""

    queued_out: int
    """Envelopes that its transport has not been given."""
    queued_out_bytes: int
    queued_in: int
    """Envelopes that were read and not received."""
    queued_in_bytes: int
    sent: int
    """Envelopes that its transport was given, since it was added."""
    received: int
    """Envelopes that were put into the incoming queue, since it was added."""
    paused_since: float | None
    """Since when it is not being read, as the incoming queue is full; seconds of the reactor's clock."""
    blocked_since: float | None
    """Since when its transport takes nothing; seconds of the reactor's clock."""
