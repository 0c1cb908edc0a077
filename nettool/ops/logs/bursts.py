"""
Bursts: the first few of a kind pass, the rest of a while are counted.

In: kinds of events as they happen, and the time.  Out: whether one may pass; what was held back, when the while is
over.  Never: more than `KINDS` kinds in memory, or an error held back because of warnings.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf
from typing import Any

BURST = 5
"""Events of one kind that pass in one period: enough to see whether they concern one peer or many."""

PERIOD = 10.0
"""Seconds from a kind's first event until what was held back is told, and counting begins anew."""

KINDS = 512
"""Kinds that are told apart at a time; of those below error, half as many.  What is beyond shares one for its level."""


@dataclass(slots=True)
class Burst:
    """What happened of one kind since it began."""

    began: float
    passed: int = 0
    held: int = 0
    sample: Any = None
    """Whatever the first one that was held back left behind, to tell of it."""
    mixed: bool = False
    """Whether it stands for all kinds that were too many to be told apart."""


class Bursts:
    """What passes, and what is counted.

    Invariant: every event of a kind is passed, or in `held` of a burst that `over` or `all` will hand out.
    """

    def __init__(self, burst: int = BURST, period: float = PERIOD, kinds: int = KINDS) -> None:
        self._burst = burst
        self._period = period
        self._kinds = kinds
        self._bursts: dict[Hashable, Burst] = {}  # in the order in which they began, and so in which they end
        self._holding = 0

    def admits(self, kind: Hashable, level: str, severe: bool, sample: Any, now: float) -> bool:
        """Whether this one passes; if not it is counted.  `severe`: from error up."""
        burst = self._bursts.get(kind)
        if burst is None:
            if len(self._bursts) >= (self._kinds if severe else self._kinds // 2):
                kind = _Others(level)
            burst = self._bursts.setdefault(kind, Burst(now, mixed=isinstance(kind, _Others)))
        if burst.passed < self._burst:
            burst.passed += 1
            return True
        if not burst.held:
            burst.sample = sample
            self._holding += 1
        burst.held += 1
        return False

    def over(self, now: float) -> list[Burst]:
        """Those whose time is over and that held something back; all whose time is over are forgotten."""
        told = []
        while self._bursts:
            kind = next(iter(self._bursts))
            burst = self._bursts[kind]
            if 0 <= now - burst.began < self._period:  # a clock that was set back ends it too
                break
            del self._bursts[kind]
            if burst.held:
                self._holding -= 1
                told.append(burst)
        return told

    def all(self) -> list[Burst]:
        """Those that held something back, before their time is over; all are forgotten."""
        told = [burst for burst in self._bursts.values() if burst.held]
        self._bursts.clear()
        self._holding = 0
        return told

    def next_end(self) -> float:
        """When `over` has to be asked next; infinity if nothing is held back."""
        if not self._holding:
            return inf
        return next(iter(self._bursts.values())).began + self._period


@dataclass(frozen=True, slots=True)
class _Others:
    """The kind of whatever is beyond the number of kinds."""

    level: str
