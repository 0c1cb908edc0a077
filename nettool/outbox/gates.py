"""
Gates: the reasons why a sender is not being read.

In: who fills an outbox.  Out: senders told to wait, and to go on.  Never: time of its own: it is told when.
"""

from __future__ import annotations

from zope.interface import implementer

from nettool.interfaces import IGate, ISender


@implementer(IGate)
class Gate:
    """Senders that wait for one thing: a lane of an outbox, an owner for its own answers, all of them for a drain.

    Invariant: a sender is in `waiting` as long as this gate is among the reasons why it is not read.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[ISender, float] = {}
        """Since when each waits, in seconds of the node's clock."""

    def shut(self, sender: ISender, now: float) -> None:
        """Make one more sender wait; nothing, if it does already."""
        if sender not in self.waiting:
            self.waiting[sender] = now
            sender.wait_for(self)

    def open(self) -> None:
        """Let all of them go on."""
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for sender in waiting:
                sender.go_on_after(self)

    def forget(self, sender: ISender) -> None:
        """See `IGate`."""
        self.waiting.pop(sender, None)
