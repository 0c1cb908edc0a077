"""One sender and its hearers, who may lose lines or be closed: what each of them gets until all is over.

In: a plan of one sender and the hearers of one topic, all of whom read.  Out: bytes got by each, and who was closed.
Never: an end that depends on how much comes: it is told by pings, the sender's and then each hearer's.
"""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass

from bench.connections import RunFailed
from bench.dialects import Dialect
from bench.load import CHUNK, DISCARD, RECEIVE, STALL_SECONDS, Block
from bench.machine import Stopwatch
from bench.plan import Plan


@dataclass
class Reader:
    """A hearer that reads, until the answer to its ping, which is asked for when everything has been sent."""

    name: bytes
    opened: socket.socket
    got: int = 0
    asked: bool = False
    tail: bytes = b""
    ended: bool = False
    closed: bool = False

    def take(self, buffer: bytearray, pong: bytes) -> bool:
        """Take what is there; whether that was the last.  A reader that the server closes loses what was to come."""
        try:
            # Only after the ping does anybody look at what comes.
            count = self.opened.recv_into(buffer, RECEIVE, 0 if self.asked else DISCARD)
        except OSError:
            count = 0
        self.got += count
        if count and not self.asked:
            return False
        self.tail = (self.tail + buffer[max(0, count - len(pong)) : count])[-len(pong) :]
        self.closed = not count
        self.ended = self.closed or self.tail == pong
        if self.tail == pong:
            self.got -= len(pong)
        return self.ended

    def ask(self, ping: bytes) -> None:
        """Everything has been routed: what comes before the answer is all."""
        self.asked = True
        if not self.ended:
            try:
                self.opened.send(ping)
            except OSError:
                pass  # closed, which its next read says


@dataclass
class Sender:
    """Sends everything, then a ping; its answer says that the server has routed all of it."""

    opened: socket.socket
    sends: memoryview
    block_bytes: int
    unsent: int
    ping: bytes

    def send(self) -> bool:
        """Send what the kernel takes now; whether that was the ping."""
        if not self.unsent:
            self.opened.sendall(self.ping)
            return True
        at = -self.unsent % self.block_bytes
        self.unsent -= self.opened.send(self.sends[at : at + min(CHUNK, self.unsent)])
        return False


def send_and_read(
    plan: Plan, dialect: Dialect, block: Block, repeats: int, sockets: dict[bytes, socket.socket], watch: Stopwatch
) -> list[Reader]:
    """Send the block so often, timed by the watch until the last hearer has the answer to its ping."""
    first, *others = plan.peers
    sends = memoryview(block.sends[first.name])
    size = len(sends) // 2
    sender = Sender(sockets[first.name], sends, size, size * repeats, dialect.ping)
    readers = {sockets[peer.name].fileno(): Reader(peer.name, sockets[peer.name]) for peer in others}
    with select.epoll() as poll:
        for opened in sockets.values():
            opened.setblocking(False)
        for fd in readers:
            poll.register(fd, select.EPOLLIN)
        poll.register(sender.opened, select.EPOLLIN | select.EPOLLOUT)
        try:
            with watch:
                _until_all_answered(poll, sender, readers, dialect)
        except OSError as error:
            raise RunFailed(f"the sender lost its connection: {error}") from None
    due = block.due[others[0].name] * repeats
    for reader in readers.values():
        if reader.got > due:
            raise RunFailed(f"{reader.name.decode()} got {reader.got - due} bytes too much")
    return list(readers.values())


def _until_all_answered(poll: select.epoll, sender: Sender, readers: dict[int, Reader], dialect: Dialect) -> None:
    """The timed part."""
    left = len(readers)
    buffer = bytearray(RECEIVE)
    while left:
        events = poll.poll(STALL_SECONDS)
        if not events:
            raise RunFailed(f"nothing moved for {STALL_SECONDS:.0f} s, {sender.unsent} bytes unsent")
        for fd, event in events:
            if fd in readers:
                if readers[fd].take(buffer, dialect.pong):
                    poll.unregister(fd)
                    left -= 1
            elif event & ~select.EPOLLOUT:
                _hear(sender, dialect.pong)
                for reader in readers.values():
                    reader.ask(dialect.ping)
            elif sender.send():
                poll.modify(fd, select.EPOLLIN)


def _hear(sender: Sender, pong: bytes) -> None:
    """The sender hears nothing but the answer to its ping."""
    said = sender.opened.recv(65536)
    if said != pong:
        raise RunFailed(f"the sender heard {said[:200]!r}")
