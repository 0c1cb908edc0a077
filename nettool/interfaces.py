"""
The contracts between rooms.

In: nothing.  Out: interfaces, each with what its implementer promises.  Never: an implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from nettool.errors import DropReason, ErrorCode, ReturnReason


class IGate(Interface):
    """A reason why some senders are not being read."""

    def forget(sender: ISender, now: float) -> None:
        """The sender has left: it waits for nothing any more."""


class ISender(Interface):
    """Whoever has lines routed, and can be made to wait."""

    name: bytes = Attribute("Its name; empty before it has one.")

    def wait_for(gate: IGate, now: float) -> None:
        """Do not read on before this gate, and every other, is open."""

    def go_on_after(gate: IGate) -> None:
        """This gate is open.  Reading goes on later, never inside this call."""


class IFlushed(Interface):
    """What has something to write at the end of a turn."""

    who: str = Attribute("Whose it is, for a log: a peer's name, or nothing.")

    def wake() -> None:
        """There is something to move to the transport, and there was not before."""

    def flush(now: float) -> None:
        """Move it now, as far as the transport takes it."""


class IPump(IFlushed):
    """What moves an outbox's lines to a transport."""

    transfer: Any = Attribute("The `Transfer` of what the transport was handed and has not taken yet; or nothing.")

    def watch() -> None:
        """The outbox waits for time to pass: see to it that its `tick` is called at its `deadline`."""

    def stalls_at() -> float:
        """When its connection is given up if its transport takes nothing until then; infinity for never."""


class IReturns(Interface):
    """Where an outbox gives back what it cannot keep: the broker."""

    ledger: ILedger = Attribute("Where the outbox counts what it hands over and what it drops.")
    waits: IWaits = Attribute("Where the outbox counts who is made to wait.")

    def give_back(batch: object, reason: ReturnReason, now: float) -> None:
        """Take back a batch of any kind: its lines go to their sender, or are counted."""


class ILedger(Interface):
    """Counts of copies.  Each copy that is accepted ends in exactly one of the others, once."""

    direct: Any = Attribute("The `Passage` of batches to names.")
    topic: Any = Attribute("The `Passage` of batches to topics.")
    passages: Sequence[Any] = Attribute("These, and that of mixed batches: by the number of their `Kind`.")

    def forward(copies: int, topical: bool, size: int, seconds: float) -> None:
        """Another node has taken them, as so many bytes, so long after they were routed."""

    def forward_back(copies: int, reason: ReturnReason, size: int) -> None:
        """The node of their sender has taken back as many."""

    def give_back(copies: int, reason: ReturnReason, size: int) -> None:
        """They were handed to their sender's transport, as so many bytes."""

    def drop(copies: int, reason: DropReason, size: int) -> None:
        """They will not arrive anywhere."""

    def refuse(code: ErrorCode, lines: int = 1) -> None:
        """They were answered with an `error` and never accepted."""


class IWaits(Interface):
    """Counts of lanes that became full, and of senders that are made to wait; each an object with counts."""

    direct: Any = Attribute("Because of lines to names.")
    topic: Any = Attribute("Because of topic lines.")
    own: Any = Attribute("Because of the sender's own answers.")


class IShell(Interface):
    """What a session asks of the connection around it."""

    def stop_reading() -> None:
        """Bring no more input until `read_on`."""

    def read_on() -> None:
        """Soon, and not within this call: have `Session.go_on` called, then bring input again if it wants any."""

    def has_time(since: float) -> bool:
        """Whether what began then may go on, or has kept the others waiting for long enough."""

    def logged_in() -> None:
        """The peer has its name."""

    def end_within(seconds: float) -> None:
        """The last line is in the outbox: flush it, linger and close; abort if the flush takes longer than this."""

    def abort() -> None:
        """End the connection at once."""


class IOwnTransport(Interface):
    """A transport of nettool's own, which can close its writing side alone, and tells what Twisted's do not.

    It is asked of the transport's class: wrappers, such as TLS, claim all interfaces of what they wrap.
    """

    held: int = Attribute("Bytes that were written and that the other end has not taken.")
