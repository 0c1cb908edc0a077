"""
The turn of the reactor, as the mesh sees it: many sends, then one write for each connection.

In: connections that have something to send.  Out: their `flush`, once.  Never: a timer for what a read brings about and
the end of that read can do.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from nettool.interfaces import IFlushed
from nettool.outbox.turn import Turn

SMALL = 4096
"""Bytes of a read after which, if little else happens in this turn, what it brought about is written at once."""


class MeshTurn(Turn):
    """The end of a turn, for all connections of one transport.

    Invariant: whoever was given to `wake` is flushed, at the end of the read that is going on or of the turn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.clock = clock
        self._within_read = False

    def wake(self, pump: IFlushed) -> None:
        """Flush this at the end of the read, or of the turn."""
        self.add(pump)
        if not self._within_read:
            self.schedule()

    def begin_read(self) -> None:
        """What follows is brought about by one read."""
        self._within_read = True

    def end_read(self, size: int) -> None:
        """The read, of so many bytes, has brought about all it does."""
        self._within_read = False
        if self._pumps:
            if size <= SMALL and self.is_quiet(self.clock.seconds()):
                self.run()
            else:
                self.schedule()
