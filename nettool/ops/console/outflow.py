"""
What a console still has to print.

In: bytes, as they are printed.  Out: pieces, as the client takes them.  Never: more than `HELD` bytes kept for a
terminal that is slow, or gone.
"""

from __future__ import annotations

from collections.abc import Callable

HELD = 5 * 1024 * 1024
"""Bytes that wait for a slow terminal: what one command may print, in UTF-8, and some more.

What is printed beyond that is cut, and a note says how much it was.
"""

PIECE = 16 * 1024
"""Bytes sent at a time: a pause that this brings about comes before the next piece."""


class Outflow:
    """Output of one console, in order.

    Invariant: nothing waits while the client takes anything; what was cut is told in its place.
    """

    def __init__(self, takes: Callable[[], int], send: Callable[[bytes], None], newline: bytes = b"\n") -> None:
        """`takes`: how many bytes the client takes now.  `send`: send so many at most."""
        self._takes = takes
        self._send = send
        self._newline = newline
        self._waiting = bytearray()
        self._cut = 0
        self._then: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        """Print; whatever does not fit is cut."""
        room = HELD - len(self._waiting)
        if self._cut or len(data) > room:
            kept = 0 if self._cut else room
            self._waiting += data[:kept]
            self._cut += len(data) - kept
        else:
            self._waiting += data
        self.flush()

    def flush(self) -> None:
        """Send as much as the client takes."""
        while self._waiting or self._cut:
            if not self._waiting:
                self._waiting += b"%b[%d bytes cut: this terminal is too slow]%b" % (
                    self._newline,
                    self._cut,
                    self._newline,
                )
                self._cut = 0
            size = min(PIECE, self._takes(), len(self._waiting))
            if size <= 0:
                return
            piece = bytes(self._waiting[:size])
            del self._waiting[:size]
            self._send(piece)
        then, self._then = self._then, None
        if then is not None:
            then()

    def when_empty(self, then: Callable[[], None]) -> None:
        """Call this, once, when all has been sent: at once, if it has."""
        self._then = then
        self.flush()

    @property
    def behind(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)
