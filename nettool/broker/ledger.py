"""
The counts that make accepted = delivered + returned + dropped + queued.

In: what became of copies, from those who saw it.  Out: the counts.  Never: a count that falls, or one that is worked
out from the others; *queued* is not here, it is found by walking the outboxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zope.interface import implementer

from nettool.errors import DropReason, ErrorCode, ReturnReason
from nettool.interfaces import ILedger
from nettool.outbox.passage import Passage


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The counts at one moment, with what was queued then."""

    accepted: int
    delivered: int
    returned: dict[ReturnReason, int]
    dropped: dict[DropReason, int]
    refused: dict[ErrorCode, int]
    queued: int
    forwarded: int = 0
    """Of the delivered and the returned, those that other nodes have taken."""

    @property
    def adds_up(self) -> bool:
        """Whether every copy that was accepted is somewhere, once."""
        ended = self.delivered + sum(self.returned.values()) + sum(self.dropped.values())
        return self.accepted == ended + self.queued

    def __str__(self) -> str:
        return " ".join(f"{word}={count}" for word, count in self._words())

    def _words(self) -> Iterator[tuple[str, int]]:
        yield "accepted", self.accepted
        yield "delivered", self.delivered
        if self.forwarded:
            yield "forwarded", self.forwarded
        for word, counts in (("returned", self.returned), ("dropped", self.dropped)):
            yield word, sum(counts.values())
            for reason, count in counts.items():
                yield f"{word}[{reason.value.decode()}]", count
        yield "queued", self.queued
        yield "refused", sum(self.refused.values())
        for code, count in self.refused.items():
            yield f"refused[{code.value.decode()}]", count


@implementer(ILedger)
class Ledger:
    """Counts of copies, one for each line and receiver.

    Invariant: at every moment outside a call of the broker, accepted = delivered + returned + dropped + queued.
    """

    __slots__ = (
        "direct",
        "dropped",
        "dropped_bytes",
        "forwarded",
        "mixed",
        "passages",
        "refused",
        "returned",
        "returned_bytes",
        "topic",
    )

    def __init__(self) -> None:
        self.direct, self.topic, self.mixed = Passage(), Passage(), Passage()
        self.passages = (self.direct, self.topic, self.mixed)
        """By `Kind`.  What is accepted is counted here by routing, what is delivered by outboxes, batch by batch."""
        self.forwarded = 0
        self.returned: dict[ReturnReason, int] = {}
        self.returned_bytes: dict[ReturnReason, int] = {}
        self.dropped: dict[DropReason, int] = {}
        self.dropped_bytes: dict[DropReason, int] = {}
        self.refused: dict[ErrorCode, int] = {}

    @property
    def accepted(self) -> int:
        """Copies that were put into outboxes."""
        return self.direct.accepted + self.topic.accepted + self.mixed.accepted

    def forward(self, copies: int, topical: bool, size: int, seconds: float) -> None:
        """See `ILedger`: to this node they are delivered."""
        passage = self.topic if topical else self.direct
        passage.delivered += copies
        passage.bytes += size
        passage.seconds += copies * max(seconds, 0.0)
        self.forwarded += copies

    def forward_back(self, copies: int, reason: ReturnReason, size: int) -> None:
        """See `ILedger`: they are on their way back to their sender, who is on another node."""
        self.give_back(copies, reason, size)
        self.forwarded += copies

    @property
    def delivered(self) -> int:
        """Copies that were handed to their receiver's transport."""
        return self.direct.delivered + self.topic.delivered + self.mixed.delivered

    def give_back(self, copies: int, reason: ReturnReason, size: int) -> None:
        """See `ILedger`."""
        self.returned[reason] = self.returned.get(reason, 0) + copies
        self.returned_bytes[reason] = self.returned_bytes.get(reason, 0) + size

    def drop(self, copies: int, reason: DropReason, size: int) -> None:
        """See `ILedger`."""
        if copies:
            self.dropped[reason] = self.dropped.get(reason, 0) + copies
            self.dropped_bytes[reason] = self.dropped_bytes.get(reason, 0) + size

    def refuse(self, code: ErrorCode, lines: int = 1) -> None:
        """See `ILedger`."""
        self.refused[code] = self.refused.get(code, 0) + lines

    def snapshot(self, queued: int) -> LedgerSnapshot:
        """The counts now, beside what was found queued."""
        return LedgerSnapshot(
            self.accepted,
            self.delivered,
            dict(self.returned),
            dict(self.dropped),
            dict(self.refused),
            queued,
            self.forwarded,
        )
