"""
Connections that were made and that nobody has taken yet.

In: connections, their handshake done.  Out: each to one `accept`, in order.  Never: more than `WAITING` of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from nettool.mesh.connection import Connection
from nettool.mesh.errors import MeshClosed
from nettool.mesh.interfaces import IListener

WAITING = 1024
"""Connections that may wait for `accept`; what comes then is refused."""


@implementer(IListener)
class Listener:
    """See `IListener`.

    Invariant: somebody waits for `accept` only while no connection waits to be accepted.
    """

    def __init__(self, clock: IReactorTime, endpoint: str, stop: Callable[[], object]) -> None:
        """`stop` ends the listening."""
        self.endpoint = endpoint
        self._clock = clock
        self._stop = stop
        self._made: deque[Connection] = deque()
        self._waiting: deque[Deferred[Connection]] = deque()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether what comes now has to be refused."""
        return self._closed or len(self._made) >= WAITING

    def made(self, connection: Connection) -> None:
        """A connection is ready."""
        if self._waiting:
            self._waiting.popleft().callback(connection)
        elif self.full:
            connection.abort()
        else:
            self._made.append(connection)

    def accept(self, timeout: float | None = None) -> Deferred[Connection]:
        """See `IListener`."""
        if self._made:
            return succeed(self._made.popleft())
        if self._closed:
            return fail(MeshClosed("the listener is closed"))
        accepted: Deferred[Connection] = Deferred(self._waiting.remove)
        if timeout is not None:
            timer = self._clock.callLater(max(timeout, 0), self._time_out, accepted, timeout)
            accepted.addBoth(partial(_stop_timer, timer))
        self._waiting.append(accepted)
        return accepted

    def _time_out(self, accepted: Deferred[Connection], timeout: float) -> None:
        self._waiting.remove(accepted)
        accepted.errback(TimeoutError(f"nobody connected within {timeout:g} s"))

    async def _iterate(self) -> AsyncIterator[Connection]:
        while True:
            try:
                connection = await self.accept()
            except MeshClosed:
                return
            yield connection

    def __aiter__(self) -> AsyncIterator[Connection]:
        """Each connection that nobody else accepts, until the listener is closed."""
        return self._iterate()

    def close(self) -> Deferred[None]:
        """See `IListener`."""
        if self._closed:
            return succeed(None)
        self._closed = True
        made, self._made = self._made, deque()
        waiting, self._waiting = self._waiting, deque()
        closing: list[Deferred[Any]] = [maybeDeferred(self._stop), *(connection.close() for connection in made)]
        for accepted in waiting:
            accepted.errback(MeshClosed("the listener is closed"))
        return gatherResults(closing).addCallback(lambda _: None)


def _stop_timer(timer: IDelayedCall, result: object) -> object:
    if timer.active():
        timer.cancel()
    return result
