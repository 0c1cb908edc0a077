"""
How long lines for other nodes take, and where.

In: beginnings and ends of phases, a batch at a time, in lines: batches may become one while they wait.
Out: counts.  Never: a label that somebody else chooses.

A batch for another node goes through *outgoing buffer* (from routing to the transport) and *outgoing transfer* (from
the transport to the other node's word that it is routed); what comes in goes through *incoming buffer* (from reading to
routing).  However a phase ends, by a line that was sent, given back or dropped, it ends once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Label(IntEnum):
    """A name from a fixed set.  Numbers, since these are looked up for each batch, and an `Enum` hashes in Python."""

    @property
    def label(self) -> str:
        """As metrics and pages have it."""
        return self.name.lower().replace("_", "-")


class Mode(Label):
    """Which of the two senders a batch is of."""

    DIRECT = 0
    """Lines to one name, and those that come back."""
    BROADCAST = 1
    """Lines to topics, and word of those that were lost."""


class PhaseName(Label):
    """The phases, in their order."""

    OUTGOING_BUFFER = 0
    OUTGOING_TRANSFER = 1
    INCOMING_BUFFER = 2


@dataclass(slots=True)
class Phase:
    """One phase of one mode, in lines.  Invariant: started = finished + in flight."""

    started: int = 0
    finished: int = 0
    size: int = 0
    """Bytes of those that have finished by going on to the next phase."""
    seconds: float = 0.0
    """Of the same lines, added up: divided by `finished`, a line's mean."""

    @property
    def in_flight(self) -> int:
        """Lines that are in it now."""
        return self.started - self.finished

    def finish(self, lines: int, size: int, seconds: float) -> None:
        """So many lines less, each of which was in it for so long."""
        self.finished += lines
        self.size += size
        self.seconds += lines * seconds


@dataclass(slots=True)
class Phases:
    """All phases of both modes."""

    by_mode: dict[Mode, dict[PhaseName, Phase]] = field(
        default_factory=lambda: {mode: {name: Phase() for name in PhaseName} for mode in Mode}
    )

    def of(self, mode: Mode, name: PhaseName) -> Phase:
        """One of them."""
        return self.by_mode[mode][name]

    def add(self, others: Phases) -> None:
        """Count those of another node with these."""
        for mode, phases in others.by_mode.items():
            for name, phase in phases.items():
                mine = self.of(mode, name)
                mine.started += phase.started
                mine.finished += phase.finished
                mine.size += phase.size
                mine.seconds += phase.seconds
