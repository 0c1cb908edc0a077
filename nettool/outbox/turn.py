"""
The end of a turn of the reactor: when what its reads have brought is written.

In: pumps that have something to write, calls that are put off.  Out: each flushed, once; each call made, in order.
Never: a fault of one that keeps the others waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from nettool.interfaces import IFlushed

BUDGET = 0.02
"""Seconds that calls which were put off may take of a turn; the rest of them have theirs after the next reads.

With 20 peers alternating commands and texts, a bystander's ping took 870 ms without this, 30 with it.
"""

CLOSE = 0.000_03
"""Seconds between two small reads that come in one turn; a single pair of peers is never that fast."""


class Turn:
    """The pumps that have something to write, once each for every turn of the reactor.

    Many reads of one turn become one write for each receiver.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pumps: list[IFlushed] = []
        self._calls: list[Callable[[], None]] = []
        self._scheduled = False
        self._last_read = -inf

    def add(self, pump: IFlushed) -> None:
        """Flush this pump at the end of the turn, or with `run`."""
        self._pumps.append(pump)

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn, in order: what must not happen inside the call that brings it about."""
        self._calls.append(call)
        self.schedule()

    def schedule(self) -> None:
        """See to it that the turn has an end."""
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._end)

    def is_quiet(self, now: float) -> bool:
        """Whether what a read brought is best written at once: nothing waits for the turn's end, and it came alone.

        Reads that follow each other closely are of one turn, and of many peers: then it pays to wait for what the
        others bring, since two lines for one receiver are one write.
        """
        since, self._last_read = now - self._last_read, now
        return since > CLOSE and not self._scheduled

    def run(self, now: float | None = None) -> None:
        """Flush every pump that has something, now.  One connection's fault is its own: others wait behind it.

        Whoever has just read the clock gives the time: up to it, what is flushed is counted as having waited.
        """
        if now is None and self._pumps:
            now = self._clock.seconds()
        while self._pumps:
            assert now is not None
            pumps, self._pumps = self._pumps, []
            for pump in pumps:
                try:
                    pump.flush(now)
                except Exception:
                    self._log.failure("the flush for {name!r} failed", event="flush-failed", name=pump.who)

    def end_round(self, now: float) -> bool:
        """Flush what a round of reads has brought; whether nothing is put off until the reactor's own turn ends."""
        self.run(now)
        return not self._scheduled

    def _end(self) -> None:
        self._scheduled = False
        if self._calls:
            self._catch_up()
        self.run()

    def _catch_up(self) -> None:
        """Make the calls that were put off, as far as their time lasts."""
        calls, self._calls = deque(self._calls), []
        began = self._clock.seconds()
        while calls and self._clock.seconds() - began < BUDGET:
            call = calls.popleft()
            try:
                call()
            except Exception:
                name = getattr(call, "__qualname__", type(call).__name__)
                self._log.failure("a call at the end of a turn failed: {call}", event="turn-failed", call=name)
        if calls:
            self._calls = [*calls, *self._calls]
            self.schedule()
