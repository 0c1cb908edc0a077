"""
Pings on a WebSocket, and the end of one that answers none.

In: a clock.  Out: pings, or word that the other end is dead.  Never: a ping counted while nobody could have seen it, or
while its answer could not have been read.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nettool.mesh.websocket import PING_EVERY, UNANSWERED, WebSocket


class Heartbeat:
    """A ping every `PING_EVERY` seconds; `UNANSWERED` of them without an answer, and the other end is dead.

    Between two pings whose answers could not be read, since the connection was paused, or that could not be sent, since
    it was blocked, nothing is concluded.
    """

    def __init__(
        self,
        clock: IReactorTime,
        socket: WebSocket,
        say: Callable[[bytes], None],
        hears: Callable[[], bool],
        dead: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._socket = socket
        self._say = say
        self._hears = hears
        self._dead = dead
        self._timer: IDelayedCall | None = clock.callLater(PING_EVERY, self._beat)

    def stop(self) -> None:
        """No more of it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _beat(self) -> None:
        if not self._hears():
            self._socket.unanswered = 0
        elif self._socket.unanswered >= UNANSWERED:
            self._timer = None
            self._dead()
            return
        else:
            self._say(self._socket.ping())
        self._timer = self._clock.callLater(PING_EVERY, self._beat)
