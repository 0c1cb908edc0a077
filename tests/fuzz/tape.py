"""Bytes as choices.

In: any bytes.  Out: texts from the front, numbers from the back.  Never: an error; what is used up gives nothing and 0.

Texts stay contiguous, so that tokens of a dictionary and whole lines can be put into them, and a number that changes
leaves them where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """One input, used up from both ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self._end = len(data)

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._start < self._end

    def number(self, size: int = 1) -> int:
        """What so many bytes make."""
        value = 0
        for _ in range(size):
            value = value << 8 | self._byte()
        return value

    def below(self, limit: int) -> int:
        """From 0 on, below the limit, which is at most 256."""
        return self._byte() % limit

    def choose(self, values: Sequence[T]) -> T:
        """One of these; the first one when nothing is left."""
        return values[self.below(len(values))]

    def text(self, size: int) -> bytes:
        """So many bytes, or as many as there are."""
        start = self._start
        self._start = min(start + size, self._end)
        return self._data[start : self._start]

    def line(self) -> bytes:
        """Up to the next LF, and with it; all that is left if there is none."""
        found = self._data.find(b"\n", self._start, self._end)
        return self.text((found + 1 or self._end) - self._start)

    def rest(self) -> bytes:
        """All that is left."""
        return self.text(self._end - self._start)

    def _byte(self) -> int:
        if not self:
            return 0
        self._end -= 1
        return self._data[self._end]
