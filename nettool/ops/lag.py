"""
How late the reactor is.

In: a reactor.  Out: the longest time for which it was late of late.  Never: a look at what made it late.

A node does all its work in one thread: while it is late, everybody waits.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service

INTERVAL = 0.1
"""Seconds between two looks: what takes longer is seen wherever it begins; ten calls a second cost nothing."""

LOOKS = 300
"""After so many looks, 30 s, what was seen before becomes the time before, and the time before that is forgotten."""


class ReactorLag(Service):
    """Asks to be called every `INTERVAL`, and notes how late that happens.

    Invariant: there is one timer while it runs, and none else.  Asking it changes nothing: who asks is not alone.
    """

    def __init__(self, reactor: Any) -> None:
        self.setName("lag")
        self._reactor = reactor
        self._timer: Any = None
        self._due = 0.0
        self._looks = 0
        self._longest = 0.0
        self._longest_before = 0.0

    def startService(self) -> None:
        """Look from now on."""
        super().startService()
        self._wait()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def longest(self) -> float:
        """Seconds: the longest lateness of the last 30 to 60 s, and of a call that is due now."""
        return max(self._longest, self._longest_before, self._late())

    def _late(self) -> float:
        return 0.0 if self._timer is None else max(self._reactor.seconds() - self._due, 0.0)

    def _wait(self) -> None:
        self._due = self._reactor.seconds() + INTERVAL
        self._timer = self._reactor.callLater(INTERVAL, self._look)

    def _look(self) -> None:
        self._longest = max(self._longest, self._late())
        self._looks += 1
        if self._looks == LOOKS:
            self._looks, self._longest_before, self._longest = 0, self._longest, 0.0
        self._wait()
