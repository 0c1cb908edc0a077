"""
Gates: the reasons why a sender is not being read.

In: who fills an outbox.  Out: senders told to wait, and to go on; how often, and for how long.  Never: time of its own:
it is told when.
"""

from __future__ import annotations

from zope.interface import implementer

from nettool.interfaces import IGate, ISender, IWaits


class Wait:
    """How often senders were made to wait for one kind of thing, and for how long.

    Invariant: nothing in it falls; of those who wait now only `pauses` knows.
    """

    __slots__ = ("filled", "paused", "pauses")

    def __init__(self) -> None:
        self.filled = 0
        """Times that a lane of an outbox became full."""
        self.pauses = 0
        """Times that a sender was made to wait; for each gate that made it."""
        self.paused = 0.0
        """Seconds, of those who wait no more."""


@implementer(IWaits)
class Waits:
    """All of a node's, by what senders wait for."""

    def __init__(self) -> None:
        self.direct = Wait()
        self.topic = Wait()
        self.own = Wait()
        self.drain = Wait()


@implementer(IGate)
class Gate:
    """Senders that wait for one thing: a lane of an outbox, an owner for its own answers, all of them for a drain.

    Invariant: a sender is in `waiting` as long as this gate is among the reasons why it is not read.
    """

    __slots__ = ("_wait", "waiting")

    def __init__(self, wait: Wait) -> None:
        """`wait` counts who waits here, with others like it."""
        self._wait = wait
        self.waiting: dict[ISender, float] = {}
        """Since when each waits, in seconds of the node's clock."""

    def shut(self, sender: ISender, now: float) -> None:
        """Make one more sender wait; nothing, if it does already."""
        if sender not in self.waiting:
            self.waiting[sender] = now
            self._wait.pauses += 1
            sender.wait_for(self, now)

    def open(self, now: float) -> None:
        """Let all of them go on."""
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for sender, since in waiting.items():
                self._waited(since, now)
                sender.go_on_after(self)

    def forget(self, sender: ISender, now: float) -> None:
        """See `IGate`."""
        since = self.waiting.pop(sender, None)
        if since is not None:
            self._waited(since, now)

    def _waited(self, since: float, now: float) -> None:
        self._wait.paused += max(now - since, 0.0)  # a clock may be set back
