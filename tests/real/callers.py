"""Many clients of one node in one thread: none of them ever blocks, and each has its own habit of reading.

In: bytes to be sent, a change of habit, an end.  Out: every line that was heard, put down in the caller's account.
Never: a wait without a bound, or a sleep.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from enum import Enum

from tests.real.books import Account
from tests.real.node import KIB, PATIENCE

SIP = 2 * KIB
"""What a slow reader takes at a time."""


class Habit(Enum):
    """How somebody reads."""

    READS = "reads"
    SLOW = "slow"
    STOPPED = "stopped"


class Caller:
    """One client, in a crowd.

    Invariant: `outgoing` is what it has said and the kernel has not taken; it is in its crowd until it has ended.
    """

    def __init__(
        self,
        crowd: "Crowd",
        account: Account,
        address: tuple[str, int] | str,
        receive_buffer: int | None = None,
    ) -> None:
        self.crowd = crowd
        self.account = account
        self.habit = Habit.READS
        self.outgoing = bytearray()
        self.ended = False
        self._half_closes = False
        self._closed_half = False
        self._write_failed = False
        self._unread = b""
        self.stream = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        try:
            self.stream.settimeout(PATIENCE)
            if receive_buffer is not None:
                self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.stream.connect(address)
            if not isinstance(address, str):
                self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.stream.setblocking(False)
        except BaseException:
            self.stream.close()
            raise
        crowd.add(self)

    # --- what it does

    @property
    def may_speak(self) -> bool:
        """Whether something that it says can still count."""
        return not (self.ended or self._half_closes or self.account.deed)

    def say(self, data: bytes) -> None:
        """Send this as soon as it is taken."""
        self.outgoing += data
        self.write()

    def turn_to(self, habit: Habit) -> None:
        """Read like this from now on."""
        self.habit = habit
        if habit is not Habit.READS:
            self.account.always_read = False
        self.crowd.look(self)

    def be_torn_off(self) -> None:
        """The node was killed: what comes of it may end anywhere."""
        self._write_failed = True
        self.turn_to(Habit.READS)

    def quit(self) -> None:
        """Say /quit behind all else."""
        self.account.deed = "quit"
        self.say(b"/quit\n")

    def half_close(self) -> None:
        """End the node's input behind all that was said."""
        self.account.deed = "half-close"
        self._half_closes = True
        self.write()

    def reset(self) -> None:
        """Vanish with a reset."""
        self.account.deed = "reset"
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def vanish(self) -> None:
        """Close, read or not: if something is unread, the kernel makes a reset of it."""
        self.account.deed = "vanish"
        self._end()

    def _end(self) -> None:
        self.ended = True
        self.crowd.remove(self)
        self.stream.close()

    # --- what happens to it

    def write(self) -> None:
        """Send what is taken now."""
        try:
            while self.outgoing:
                sent = self.stream.send(memoryview(self.outgoing)[: 256 * KIB])
                del self.outgoing[:sent]
            if self._half_closes and not self._closed_half:
                self._closed_half = True
                self.stream.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # the node has closed, and this tells of a reset once; what came before is still to be read
            self.outgoing.clear()
            self._write_failed = True
        self.crowd.look(self)

    def read(self, size: int = 256 * KIB) -> None:
        """Take what is there, at most so much."""
        try:
            data = self.stream.recv(size)
        except BlockingIOError:
            return
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT), error
            self.account.cut_off()
            self._end()
            return
        if not data and self._write_failed and not self.account.bye:
            self.account.cut_off()
            self._end()
            return
        if not data:
            assert not self._unread, f"{self.account} was left in the middle of a line: {self._unread[-200:]!r}"
            self.account.end_came()
            self._end()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        self.account.hear(lines)


class Crowd:
    """All callers, and the one place where they are looked after."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._callers: dict[int, tuple[Caller, int]] = {}
        self._slow: dict[Caller, None] = {}

    @property
    def callers(self) -> list[Caller]:
        """Those who have not ended."""
        return [caller for caller, _ in self._callers.values()]

    def add(self, caller: Caller) -> None:
        """One more."""
        self._callers[caller.stream.fileno()] = caller, 0
        self._poll.register(caller.stream.fileno(), 0)
        self.look(caller)

    def remove(self, caller: Caller) -> None:
        """One less."""
        del self._callers[caller.stream.fileno()]
        self._poll.unregister(caller.stream.fileno())
        self._slow.pop(caller, None)

    def look(self, caller: Caller) -> None:
        """What it waits for may have changed."""
        if caller.ended:
            return
        wanted = select.EPOLLIN if caller.habit is Habit.READS else 0
        wanted |= select.EPOLLOUT if caller.outgoing else 0
        number = caller.stream.fileno()
        if self._callers[number][1] != wanted:
            self._callers[number] = caller, wanted
            self._poll.modify(number, wanted)
        if caller.habit is Habit.SLOW:
            self._slow[caller] = None
        else:
            self._slow.pop(caller, None)

    def turn(self, wait: float = 0.0) -> None:
        """Everybody who can does something, once; if nobody can, wait so many seconds for somebody who can."""
        for number, what in self._poll.poll(wait):
            caller = self._callers[number][0] if number in self._callers else None
            if caller is None:
                continue
            if what & select.EPOLLOUT:
                caller.write()
            # A reset is told to those who do not read, too: what it left to be read is gone.
            if not caller.ended and what & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
                caller.read()
        for caller in tuple(self._slow):
            caller.read(SIP)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on until the condition holds, which must happen."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.turn(0.005)
            if time.monotonic() > deadline:
                late = [str(caller.account) for caller in self.callers]
                raise AssertionError(f"did not happen within {PATIENCE:.0f} s: {what}; still here: {late[:40]}")

    def close(self) -> None:
        """End all, whatever they wait for."""
        for caller in self.callers:
            caller.vanish()
        self._poll.close()
