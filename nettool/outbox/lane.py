"""
One kind of lines in a backlog, bounded by itself.

In: batches that come and go, as they are counted.  Out: how full it is, since when, and until when its senders wait.
Never: the batches themselves, or a clock.
"""

from __future__ import annotations

from math import inf

from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.gates import Gate, Wait


class Lane:
    """One kind of lines, with its bound, its patience and its episode.

    Invariant: `held` is the data and charges of what is in it, but of a part on its way `lines` knows
    nothing; `full_since` is set exactly during an episode.
    """

    __slots__ = ("full_since", "gate", "held", "lines", "returned", "spent", "wait")

    def __init__(self, wait: Wait) -> None:
        self.held = 0
        self.lines = 0
        """Copies of texts."""
        self.returned = 0
        """Those of them that are given back to the owner."""
        self.wait = wait
        self.gate = Gate(wait)
        self.full_since: float | None = None
        self.spent = False
        """Patience is over, and the episode is not."""

    def expires(self, patience: float) -> float:
        """When its senders are to be read again, whatever happens; infinity if that is not foreseen."""
        return inf if self.full_since is None or self.spent else self.full_since + patience

    def keep(self, batch: Batch) -> None:
        """One more batch."""
        self.held += CHARGE
        self.add(batch)

    def add(self, batch: Batch) -> None:
        """What is in a batch, which has become part of another one."""
        self.held += len(batch.data)
        self.lines += batch.lines
        if batch.kind is _RETURNED:
            self.returned += batch.lines

    def leave(self, batch: Batch, size: int) -> None:
        """One batch less, whose data took so many bytes of the bound."""
        self.held -= CHARGE + size
        self.lines -= batch.lines
        if batch.kind is _RETURNED:
            self.returned -= batch.lines

    def end_episode(self, now: float) -> None:
        """The transport has made room."""
        self.full_since = None
        self.spent = False
        self.gate.open(now)


_RETURNED = Kind.RETURNED
