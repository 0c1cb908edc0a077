"""
Lines that tell a peer what it has lost.

In: losses, as they happen.  Out: `error lagged` and `error returns-lost`, rendered when they are taken, in the place of
what was lost.  Never: a line for each loss.
"""

from __future__ import annotations

from nettool.errors import ErrorCode
from nettool.interfaces import ISender
from nettool.outbox.batch import Batch, Kind


class LossReport(Batch):
    """An error line that counts losses until it is taken, and is rendered then.

    Its counts and its place are its own: it is in one backlog only.
    """

    __slots__ = ("after",)

    code = ErrorCode.LAGGED

    def __init__(self, owner: ISender, after: int, now: float = 0.0) -> None:
        super().__init__(Kind.ANSWER, owner, b"", b"", 0, now, {})
        self.after = after
        """How many batches to names came before it."""

    def count(self, losses: dict[bytes, int]) -> None:
        """Add these to what it tells."""
        assert self.counts is not None
        for what, lines in losses.items():
            self.counts[what] = self.counts.get(what, 0) + lines

    def render(self) -> None:
        """Make its data from what it has counted up to now."""
        assert self.counts is not None
        lines = (b"error %b: %b%d\n" % (self.code.value, self.detail(what), n) for what, n in self.counts.items())
        self.data = b"".join(lines)

    def detail(self, what: bytes) -> bytes:
        """What stands before the count."""
        return what + b" "


class LostReturns(LossReport):
    """Lines that could not even be given back."""

    __slots__ = ()

    code = ErrorCode.RETURNS_LOST

    def detail(self, what: bytes) -> bytes:
        """Nothing: there is one count."""
        return b""
