"""
The contracts between rooms.

In: nothing.  Out: interfaces, each with what its implementer promises.  Never: an implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from nettool.errors import DropReason, ErrorCode, ReturnReason


class IGate(Interface):
    """A reason why some senders are not being read."""

    def forget(sender: ISender) -> None:
        """The sender has left: it waits for nothing any more."""


class ISender(Interface):
    """Whoever has lines routed, and can be made to wait."""

    name: bytes = Attribute("Its name; empty before it has one.")

    def wait_for(gate: IGate) -> None:
        """Do not read on before this gate, and every other, is open."""

    def go_on_after(gate: IGate) -> None:
        """This gate is open.  Reading goes on later, never inside this call."""


class IPump(Interface):
    """What moves an outbox's lines to a transport."""

    def wake() -> None:
        """There is something to move, and there was not before."""

    def flush() -> None:
        """Move it now, as far as the transport takes it."""

    def watch() -> None:
        """The outbox waits for time to pass: see to it that its `tick` is called at its `deadline`."""


class IReturns(Interface):
    """Where an outbox gives back what it cannot keep: the broker."""

    ledger: ILedger = Attribute("Where the outbox counts what it hands over and what it drops.")

    def give_back(batch: object, reason: ReturnReason, now: float) -> None:
        """Take back a batch of any kind: its lines go to their sender, or are counted."""


class ILedger(Interface):
    """Counts of copies.  Each copy that is accepted ends in exactly one of the others, once."""

    def deliver(copies: int) -> None:
        """They were handed to their receiver's transport."""

    def forward(copies: int) -> None:
        """Another node has taken them."""

    def give_back(copies: int, reason: ReturnReason) -> None:
        """They were handed to their sender's transport."""

    def drop(copies: int, reason: DropReason) -> None:
        """They will not arrive anywhere."""

    def refuse(code: ErrorCode, lines: int = 1) -> None:
        """They were answered with an `error` and never accepted."""


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
