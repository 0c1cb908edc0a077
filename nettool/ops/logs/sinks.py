"""
Where the lines of a log go.

In: whole lines.  Out: the same, in order, on a terminal, a pipe, a file or to syslog; a count of those that were lost.
Never: an exception because of a full disk or a reader that has gone; a wait for a reader that does not read.

A pipe whose reader is stuck would hold up the node, and all its peers, for as long: so a descriptor is asked first
whether it takes anything, and what it does not take waits in memory, within a bound.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections import deque
from typing import IO, Any, Protocol

from twisted.python.logfile import LogFile

HOLD = 1024 * 1024
"""Bytes that wait for a reader that is slower than the log; beyond them lines are lost, and counted."""

PIECE = 4096
"""Bytes written at a time to what is no file: a pipe that takes anything takes so much without waiting (PIPE_BUF)."""


class Sink(Protocol):
    """Where lines go."""

    is_terminal: bool
    lost: int
    """Lines that could not be written and that nobody was told of."""

    def write(self, line: str, level: str) -> bool:
        """Write a line, which has no end yet; whether it was taken.  Never raises `OSError`."""

    def go_on(self, patience: float = 0.0) -> bool:
        """Write what waits, as far as that is possible within so many seconds; whether nothing waits any more."""

    def rotate(self) -> str:
        """Begin a new file: its path; empty where there is none.  `OSError` if it cannot be: then all is as before."""


class Descriptor:
    """A file descriptor that may be slow, full or gone.

    Invariant: lines are whole and in order, but for one that a full disk has cut off: it is ended before the next.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.is_terminal = os.isatty(number)
        self.lost = 0
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._begun = False
        """Part of the line that waits first is written."""
        self._torn = False
        """The last that was written is a part of a line whose rest is lost."""
        self._look()

    def _look(self) -> None:
        self._is_file = stat.S_ISREG(os.fstat(self._number).st_mode)
        self._poll = select.poll()
        self._poll.register(self._number, select.POLLOUT)

    def write(self, line: str, level: str) -> bool:
        """See `Sink`."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._held + len(data) > HOLD:
            self.lost += 1
            return False
        lost = self.lost
        self._waiting.append(data)
        self._held += len(data)
        self.go_on()
        return self.lost == lost

    def go_on(self, patience: float = 0.0) -> bool:
        """See `Sink`."""
        until = time.monotonic() + patience
        while self._waiting:
            if not self._is_file and not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return False
            try:
                self._write_piece()
            except BlockingIOError:
                return False
            except OSError:
                self._drop()
        return True

    def _write_piece(self) -> None:
        data = self._waiting[0]
        mend = b"\n" if self._torn else b""
        written = os.write(self._number, mend + (data if self._is_file else data[: PIECE - 1])) - len(mend)
        self._torn = False
        self._held -= written
        if written < len(data):
            self._waiting[0] = data[written:]
            self._begun |= written > 0
        else:
            self._waiting.popleft()
            self._begun = False

    def _drop(self) -> None:
        self._held -= len(self._waiting.popleft())
        self._torn |= self._begun
        self._begun = False
        self.lost += 1

    def rotate(self) -> str:
        """There is no file."""
        return ""


class File(Descriptor):
    """A log file, which others may move away: then `rotate` begins a new one under the old name.

    It is never rotated by itself, unlike twistd's, which would rename files under the hands of logrotate.
    """

    def __init__(self, path: str) -> None:
        """`OSError` if it cannot be opened."""
        self.path = os.path.abspath(path)
        super().__init__(os.open(self.path, _APPENDS, 0o666))

    def rotate(self) -> str:
        """See `Sink`.  A file that nobody has moved becomes `.1`, as twistd names them, and the older ones move on."""
        if not self._is_file:  # /dev/stdout, a named pipe
            return ""
        ours = os.fstat(self._number)
        if _same(ours, self.path):
            file = LogFile.fromFullPath(self.path, rotateLength=None)
            try:
                file.rotate()
            finally:
                if not file.closed:
                    file.close()
        new = _open_like(self.path, stat.S_IMODE(ours.st_mode))
        os.dup2(new, self._number, inheritable=False)
        os.close(new)
        self._torn = False
        self._look()
        return self.path


PRIORITIES = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
"""What levels are to syslog."""


class Journal(Descriptor):
    """systemd's journal, behind standard output: it reads the priority of a line at its start (SyslogLevelPrefix=)."""

    def write(self, line: str, level: str) -> bool:
        """See `Sink`."""
        prefix = f"<{PRIORITIES[level]}>"
        return super().write(prefix + line.replace("\n", "\n" + prefix), level)


class Syslog:
    """The system's log."""

    is_terminal = False
    lost = 0

    def __init__(self, prefix: str) -> None:
        import syslog

        self._syslog: Any = syslog
        syslog.openlog(prefix)

    def write(self, line: str, level: str) -> bool:
        """See `Sink`."""
        for each in line.split("\n"):
            self._syslog.syslog(PRIORITIES[level], each)
        return True

    def go_on(self, patience: float = 0.0) -> bool:
        """Nothing waits here."""
        return True

    def rotate(self) -> str:
        """There is no file."""
        return ""


def sink_of(stream: IO[str]) -> Sink:
    """Where a stream of Python's goes; standard error if it has no descriptor."""
    try:
        stream.flush()
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        number = 2
    about = os.fstat(number)
    is_journal = os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"
    return Journal(number) if is_journal else Descriptor(number)


_APPENDS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def _open_like(path: str, mode: int) -> int:
    """Open it, or make it with this mode, whatever the umask: those who could read the old one can read the new one."""
    try:
        new = os.open(path, _APPENDS | os.O_EXCL, mode)
    except FileExistsError:  # logrotate has made it, as its configuration says
        return os.open(path, _APPENDS)
    os.fchmod(new, mode)
    return new


def _same(ours: os.stat_result, path: str) -> bool:
    """Whether this is still the file of that name."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
