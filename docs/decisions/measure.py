"""
The cheap measurements that these pages cite.

    python docs/decisions/measure.py

prints medians, by processor time, of a few seconds in all.  They vary by a third from minute to minute on a shared
machine: what counts is how those of one table compare.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineOnlyReceiver, LineReceiver

from nettool.broker.broker import Broker
from nettool.outbox.batch import Batch, Kind
from nettool.peers.session import Session
from nettool.settings import READ, Live, Settings
from nettool.wire.lines import Cutter

TEXT = b"thirty-two bytes of text, plain.\n"


def nanoseconds_a_line(work: Callable[[], object], lines: int, rounds: int) -> float:
    """The median of so many rounds of about 20 ms."""
    work()
    started = process_time()
    work()
    times = max(1, int(0.02 / (process_time() - started)))
    taken = []
    for _ in range(rounds):
        started = process_time()
        for _ in range(times):
            work()
        taken.append((process_time() - started) / times)
    return median(taken) / lines * 1e9


# 1: cutting one read into lines


def receiver(kind: type[Any]) -> Callable[[bytes], object]:
    """Twisted's, with a `lineReceived` that does nothing."""

    class Nothing(kind):  # type: ignore[misc]
        """Does nothing with a line."""

        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            """See `LineReceiver`."""

    protocol = Nothing()
    protocol.makeConnection(StringTransport())
    return protocol.dataReceived  # type: ignore[no-any-return]


def each_by_re(data: bytes) -> None:
    """A regular expression, and nothing done with a line."""
    for _ in re.finditer(rb"([^\n]*)\n", data):
        pass


def each_by_split(data: bytes) -> None:
    """`bytes.split`, and nothing done with a line."""
    for _ in data.split(b"\n"):
        pass


def cutters(rounds: int) -> dict[str, float]:
    """Nanoseconds a line of 38 bytes, to have each in hand; of `Cutter`, to have the block.

    64 KiB is what Twisted reads at a time by itself: `LineReceiver` copies the rest of the read for each line.
    """
    line = b"bob: " + TEXT
    data = line * (65536 // len(line))
    ways: dict[str, Callable[[bytes], object]] = {
        "Cutter": Cutter(65536).feed,
        "bytes.split": each_by_split,
        "re.finditer": each_by_re,
        "LineOnlyReceiver": receiver(LineOnlyReceiver),
        "LineReceiver": receiver(LineReceiver),
    }
    return {name: nanoseconds_a_line(lambda w=way: w(data), 65536 // len(line), rounds) for name, way in ways.items()}


# 4: batches, and what one is charged in a backlog


class Taker:
    """A pump to a transport that takes everything, and a shell that does nothing."""

    def wake(self) -> None:
        """See `IPump`."""

    watch = stop_reading = read_on = logged_in = abort = wake

    def has_time(self, since: float) -> bool:
        """See `IShell`."""
        return True

    def connect(self, broker: Broker, live: Live, name: bytes) -> Session:
        """A session that has logged in."""
        session = Session(broker, live, self)  # type: ignore[arg-type]
        session.outbox.pump = self  # type: ignore[assignment]
        session.outbox.unblock()
        session.received(name + b"\n", 0.0)
        session.outbox.take(0.0)
        self.outbox = session.outbox
        return session

    def flush(self, now: float) -> None:
        """See `IPump`."""
        while self.outbox.take(0.0) is not None:
            pass


def street(hearers: int) -> tuple[Session, list[Taker]]:
    """A sender, and so many hearers of `#t`, the last of them called bob."""
    live = Live(Settings())
    broker = Broker(live)
    takers = [Taker() for _ in range(hearers + 1)]
    sender, *others = [
        taker.connect(broker, live, b"peer%d" % number if number < hearers else b"bob")
        for number, taker in enumerate(takers)
    ]
    for session in others:
        session.received(b"/join #t\n", 0.0)
    return sender, takers


def batches(rounds: int) -> dict[str, float]:
    """Nanoseconds a line, from its bytes to the receiver's chunk, by what comes in one read."""
    found = {}
    for name, lines, hearers, address in (
        ("a line a read, to bob", 1, 1, b"bob: "),
        ("10 lines a read, to bob", 10, 1, b"bob: "),
        ("160 KiB a read, to bob", READ // 38, 1, b"bob: "),
        ("160 KiB a read, to a topic with 10", READ // 37, 10, b"#t: "),
    ):
        sender, takers = street(hearers)
        data = (address + TEXT) * lines

        def work(sender: Session = sender, takers: list[Taker] = takers, data: bytes = data) -> None:
            sender.received(data, 0.0)
            for taker in takers:
                taker.flush(0.0)

        found[name] = nanoseconds_a_line(work, lines, rounds)
    return found


def charge() -> dict[str, float]:
    """Bytes that a queued batch of one line takes beside its data."""
    live = Live(Settings())
    sender = Session(Broker(live), live, Taker())  # type: ignore[arg-type]
    queue: list[Batch] = []
    tracemalloc.start()
    for number in range(100_000):
        queue.append(Batch(Kind.DIRECT, sender, b"bob", b"from alice: %031d\n" % number, 1, number * 0.1))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"a batch, beside its data": taken / len(queue) - len(queue[0].data)}


def main() -> None:
    """All of them."""
    for table in (cutters(15), batches(15), charge()):
        for name, figure in table.items():
            print(f"{name:36} {figure:8.1f}")
        print()


if __name__ == "__main__":
    main()
