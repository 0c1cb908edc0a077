"""
The signals of the node's process.

In: what TERM, INT, HUP, USR1 and USR2 are to bring about.  Out: that, in a turn of the reactor.
Never: work within a signal's handler; the process's end by a signal, once the node runs.

The handlers are ours, since a process that twistd or twist runs ends by the signal that stopped it, where a drained
node ends with status 0; and since HUP and USR2, and USR1 without a log file of twistd's, kill it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

ENDS = (signal.SIGTERM, signal.SIGINT)


class Signals(Service):
    """What each signal brings about: TERM and INT the node's end, the others a call.

    Invariant: the calls of one signal never overlap.  One that comes while its call has not ended makes it be called
    once more; several such are one, as they are for the kernel.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, *, drain: Callable[[], object], abort: Callable[[], object], **calls: Callable[[], object]
    ) -> None:
        """`drain` is called by the first TERM or INT, `abort` by every other; `calls` by their signals, `HUP=` and so
        on: each may return a Deferred, and what it raises is logged."""
        self.setName("signals")
        self._reactor = reactor
        self._drain = drain
        self._abort = abort
        self._calls = {signal.Signals[f"SIG{name}"]: call for name, call in calls.items()}
        self._stopping = False
        self._runs = False
        self._under_way: dict[signal.Signals, bool] = {}
        """Signals whose call has not ended, and whether they came again."""
        self._early: set[signal.Signals] = set()

    def hold(self) -> None:
        """Keep the process from being killed by HUP, USR1 and USR2 from now on: they have to wait for the reactor.

        Whoever has taken one already keeps it: twistd's own log file USR1, its `--debug` USR2.
        """
        for number in self._calls:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN):
                signal.signal(number, self._came)

    def startService(self) -> None:
        """Install them; TERM and INT once the reactor has installed its own: until then they end the process."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        self.hold()
        for number in ENDS:
            signal.signal(number, self._came)
        self._runs = True
        early, self._early = self._early, set()
        for number in sorted(early):
            self._act(number)

    def _came(self, number: int, frame: object) -> None:
        which = signal.Signals(number)
        if self._runs:
            self._reactor.callFromThread(self._act, which)
        else:
            self._early.add(which)

    def _act(self, number: signal.Signals) -> None:
        if number in ENDS:
            self._end()
        elif number in self._under_way:
            self._under_way[number] = True
        else:
            self._under_way[number] = False
            maybeDeferred(self._calls[number]).addErrback(self._failed, number).addBoth(partial(self._done, number))

    def _end(self) -> None:
        if self._stopping:
            self._abort()
        else:
            self._stopping = True
            self._drain()

    def _failed(self, failure: Failure, number: signal.Signals) -> None:
        self._log.failure(
            "what {signal} asks for failed", failure, LogLevel.error, event="signal-failed", signal=number.name
        )

    def _done(self, number: signal.Signals, result: object) -> None:
        if self._under_way.pop(number):
            self._act(number)
