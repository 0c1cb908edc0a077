"""
A connection on its way out of a mesh, alive.

In: the queue that has to be sent first, a limit of time.  Out: the connection; or an error, and it stays.
Never: both.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nettool.mesh.connection import Connection
from nettool.mesh.outgoing import Outgoing


class Removal:
    """One call of `Mesh.remove`.

    Invariant: `take` is called when all is sent, or `stays` when it is given up, or neither if `fail` came first.
    """

    def __init__(
        self,
        clock: IReactorTime,
        outgoing: Outgoing,
        take: Callable[[], Connection],
        stays: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._outgoing = outgoing
        self._take = take
        self._stays = stays
        self._timer: IDelayedCall | None = None
        self.deferred: Deferred[Connection] = Deferred(lambda _: self._give_up())

    def begin(self, timeout: float | None) -> None:
        """Wait for the queue to be sent, for at most so many seconds."""
        self._outgoing.when_empty(self._sent)  # first: where nothing is queued, no time at all is enough
        if timeout is not None:
            self._timer = self._clock.callLater(max(timeout, 0), self._time_out, timeout)

    def _sent(self) -> None:
        self._stop()
        self.deferred.callback(self._take())

    def _give_up(self) -> None:
        self._stop()
        self._stays()

    def _time_out(self, timeout: float) -> None:
        self._give_up()
        self.deferred.errback(TimeoutError(f"what is queued was not sent within {timeout:g} s"))

    def fail(self, error: Exception) -> None:
        """The connection has ended, or the mesh is being closed."""
        self._stop()
        self.deferred.errback(error)

    def _stop(self) -> None:
        self._outgoing.forget_when_empty(self._sent)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
