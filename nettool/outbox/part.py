"""
A batch that is larger than a chunk, on its way.

In: the batch.  Out: its chunks, with the lines that each completes; what is left of it.  Never: a count by walking all
of it where walking the shorter side will do.
"""

from __future__ import annotations

from nettool.outbox.batch import Batch
from nettool.settings import CHUNK
from nettool.wire.lines import count


class Part:
    """A batch larger than a chunk, on its way.

    Invariant: all before `position` was handed over; `lines` are the ends of lines behind it.
    """

    __slots__ = ("_position", "batch", "lines")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._position = 0
        self.lines = batch.lines

    @property
    def done(self) -> bool:
        """Whether all of it has been handed over."""
        return self._position == len(self.batch.data)

    @property
    def left(self) -> int:
        """Bytes that have not been handed over."""
        return len(self.batch.data) - self._position

    def next(self) -> tuple[memoryview, int]:
        """The next chunk, and how many lines it completes."""
        data, start = self.batch.data, self._position
        end = min(start + CHUNK, len(data))
        self._position = end
        before = self.lines
        if end == len(data):
            self.lines = 0
        elif before:  # counting the shorter side: the longer one costs as much as everything else here
            left = len(data) - end
            self.lines = count(data, end) if left < CHUNK else before - count(data, start, end)
        return memoryview(data)[start:end], before - self.lines

    def rest(self) -> Batch:
        """What is left of it, from the beginning of the first unfinished line on."""
        batch = self.batch
        start = batch.data.rfind(b"\n", 0, self._position) + 1
        return Batch(
            batch.kind,
            batch.sender,
            batch.address,
            batch.data[start:],
            self.lines,
            batch.at,
            None,
            batch.reason,
        )
