"""An outbox in a place where all is seen: who waits, what was given back, what the transport was handed.

In: batches.  Out: what became of them, as plain lists.  Never: a broker.
"""

from __future__ import annotations

from zope.interface import implementer

from nettool.broker.ledger import Ledger
from nettool.errors import ReturnReason
from nettool.interfaces import IGate, IPump, IReturns, ISender
from nettool.outbox.backlog import Backlog
from nettool.outbox.batch import CHARGE, Batch, Kind
from nettool.outbox.gates import Waits
from nettool.outbox.queue import Outbox
from nettool.settings import DeliverySettings, Live, Settings, TopicOverflow

BOUND = 4096


@implementer(ISender)
class Sender:
    """Somebody who writes, and who may have to wait."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.gates: list[IGate] = []

    def wait_for(self, gate: IGate, now: float) -> None:
        assert gate not in self.gates
        self.gates.append(gate)

    def go_on_after(self, gate: IGate) -> None:
        self.gates.remove(gate)

    @property
    def waits(self) -> bool:
        return bool(self.gates)


@implementer(IPump, IReturns)
class Place:
    """An outbox, with the pump and the broker that it needs around it.  Its transport takes nothing at first."""

    def __init__(
        self,
        outbox_bytes: int = BOUND,
        direct_patience: float = 5.0,
        topic_patience: float = 0.1,
        topic_overflow: TopicOverflow = TopicOverflow.DROP_OLDEST,
    ) -> None:
        self.live = Live(
            Settings(delivery=DeliverySettings(outbox_bytes, direct_patience, topic_patience, topic_overflow))
        )
        self.ledger = Ledger()
        self.waits = Waits()
        self.owner = Sender(b"owner")
        self.back: list[tuple[Batch, ReturnReason, float]] = []
        self.woken = self.flushed = self.watched = 0
        self.outbox = Outbox(self.owner, self.live, self)
        self.outbox.pump = self
        self.now = 100.0

    def give_back(self, batch: object, reason: ReturnReason, now: float) -> None:
        assert isinstance(batch, Batch)
        self.back.append((batch, reason, now))

    def wake(self) -> None:
        self.woken += 1

    def flush(self, now: float) -> None:
        self.flushed += 1

    def watch(self) -> None:
        self.watched += 1

    @property
    def backlog(self) -> Backlog:
        """What waits, where something does."""
        assert self.outbox.backlog is not None
        return self.outbox.backlog

    # What comes in

    def direct(self, sender: Sender, *texts: bytes, address: bytes = b"owner") -> Batch:
        """Texts to the owner's name."""
        data = b"".join(b"from " + sender.name + b": " + text + b"\n" for text in texts)
        return self._put(Batch(Kind.DIRECT, sender, address, data, len(texts), self.now))

    def topic(self, sender: Sender, *texts: bytes, topic: bytes = b"#t") -> Batch:
        """Texts to a topic that the owner hears."""
        data = b"".join(b"from " + sender.name + b" to " + topic + b": " + text + b"\n" for text in texts)
        return self._put(Batch(Kind.TOPIC, sender, topic, data, len(texts), self.now))

    def answer(self, text: bytes) -> Batch:
        """An answer to the owner."""
        return self._put(Batch(Kind.ANSWER, self.owner, b"", text + b"\n", 0, self.now))

    def returned(self, *texts: bytes, address: bytes = b"bob") -> Batch:
        """Texts of the owner's, given back."""
        data = b"".join(b"returned " + address + b" queue-full: " + text + b"\n" for text in texts)
        reason = ReturnReason.QUEUE_FULL
        return self._put(Batch(Kind.RETURNED, self.owner, address, data, len(texts), self.now, None, reason))

    def notice(self, name: bytes) -> Batch:
        """A peer came."""
        return self._put(
            Batch(Kind.NOTICE, None, b"/watch", b"notice here: " + name + b"\n", 0, self.now, {b"/watch": 1})
        )

    def _put(self, batch: Batch) -> Batch:
        self.outbox.put(batch)
        return batch

    # What goes out

    def take(self, chunks: int = 1) -> bytes:
        """The transport takes so many chunks and then, if there is more, nothing again."""
        self.outbox.unblock()
        taken = b""
        for _ in range(chunks):
            chunk = self.outbox.take(self.now)
            if chunk is None:
                break
            taken += chunk
        self.outbox.block()
        self.outbox.made_room(self.now)
        return taken

    def take_all(self) -> list[bytes]:
        """The transport takes everything; as lines."""
        taken = b""
        while not self.outbox.empty:
            taken += self.take()
        return taken.split(b"\n")[:-1]

    def time_passes(self, seconds: float) -> None:
        """The pump's timer, if it is time."""
        self.now += seconds
        if self.outbox.backlog is not None:
            self.outbox.backlog.tick(self.now)


def filling(of: int) -> bytes:
    """A text that takes, as a batch of its own from somebody with a short name, at least so many bytes of a bound."""
    return b"." * max(0, of - CHARGE)
