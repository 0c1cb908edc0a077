"""
What has passed through the outboxes of a node, and how long that took.

In: what happened to batches, from those who saw it.  Out: counts that only grow.  Never: a clock; a count for each
line.

A batch is counted by its mode: texts to a name (direct), to topics (broadcast), or both in one order (mixed).  The way
of its lines to the kernel has two phases.  *Outgoing buffer*: from the read that brought them until they are handed to
the transport.  *Outgoing transfer*: from there until the transport says that it has taken all.  A socket that takes a
chunk whole has no transfer to wait for, so that only chunks that had to wait are counted there.

All is measured once for each batch, or chunk, and counted in copies of lines: batches become one in a backlog, or
several, and lines do not.  A count of batches beside it would cost 25 ns for each, which is half a per cent of a line
that comes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nettool.outbox.batch import Batch, Kind, tell_apart


class Passage:
    """Lines of one mode.

    Invariant: accepted + from_mixed = delivered + given_up + told_apart + those in outboxes now; of those that were
    delivered, held = taken + lost + those in transports now.
    """

    __slots__ = (
        "accepted",
        "bytes",
        "delivered",
        "from_mixed",
        "given_up",
        "held",
        "lost",
        "seconds",
        "taken",
        "told_apart",
        "transfer_seconds",
        "untaken_bytes",
    )

    def __init__(self) -> None:
        self.accepted = 0
        """Copies that were put into outboxes."""
        self.from_mixed = 0
        """Copies that were mixed ones first: a backlog takes mixed batches apart."""
        self.delivered = 0
        """Copies that were handed to their receiver's transport."""
        self.bytes = 0
        """Their bytes, as they were handed over."""
        self.seconds = 0.0
        """Their time in outboxes, from the read that brought them: the sum over all copies.  Up to a millisecond in an
        open outbox is none, and batches of one turn have waited since its middle."""
        self.given_up = 0
        """Copies that went back, or were dropped."""
        self.told_apart = 0
        """Copies that have gone on as direct or broadcast ones; of mixed ones only."""
        self.held = 0
        """Copies that a transport did not take at once."""
        self.taken = 0
        """Those of them that it has taken since."""
        self.lost = 0
        """Those of them whose connection ended first: nobody knows how many of them have arrived."""
        self.untaken_bytes = 0
        """Bytes of those that are held now, and of the lost ones."""
        self.transfer_seconds = 0.0
        """The time of those that were taken, from when they were handed over: the sum over all copies."""


def taken_apart(batch: Batch, passages: Sequence[Passage]) -> list[Batch]:
    """The batches to one name or to topics that a mixed one is made of: it goes on as those."""
    parts = tell_apart(batch)
    passages[Kind.MIXED].told_apart += batch.lines
    for part in parts:
        passages[part.kind].from_mixed += part.lines
    return parts


class Transfer:
    """A chunk in a transport that did not take it at once.

    Invariant: once made, either `taken` or `lost` is called, once.
    """

    __slots__ = ("_passages", "bytes", "counts", "since")

    def __init__(
        self, size: int, counts: Mapping[Kind, tuple[int, int]], passages: Sequence[Passage], since: float
    ) -> None:
        self.bytes = size
        """Of the whole chunk, answers included."""
        self.counts = counts
        """Copies and their bytes, by kind."""
        self.since = since
        self._passages = passages
        for kind, (lines, data) in counts.items():
            passages[kind].held += lines
            passages[kind].untaken_bytes += data

    def taken(self, now: float) -> None:
        """The transport has taken all of it."""
        seconds = max(now - self.since, 0.0)
        for kind, (lines, data) in self.counts.items():
            passage = self._passages[kind]
            passage.taken += lines
            passage.untaken_bytes -= data
            passage.transfer_seconds += lines * seconds

    def lost(self) -> None:
        """The connection has ended first."""
        for kind, (lines, _) in self.counts.items():
            self._passages[kind].lost += lines
