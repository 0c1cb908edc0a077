"""
Commands without a prompt: `ssh host 'who()'`, and what is piped into `ssh -T host`.

In: source, whole or as lines come.  Out: what it prints; exit status 1 if something was raised, else 0, when the last
result has come.  Never: an echo, a prompt, an escape sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nettool.ops.console.sitting import Console, Screen

if TYPE_CHECKING:
    from nettool.ops.console.channel import ConsoleChannel
    from nettool.ops.console.door import Door

LONGEST = 1024 * 1024
"""Bytes of a statement that is piped in."""

INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""


class Script(Console):
    """One piece of source, and its end."""

    def __init__(self, channel: ConsoleChannel, door: Door, screen: Screen | None, source: str) -> None:
        super().__init__(channel, door, screen)
        self._source = source
        self._all_run = False

    def start(self) -> None:
        """Run it."""
        self._run(self._source)
        self._all_run = True
        self._end_if_done()

    def received(self, data: bytes) -> None:
        """Nothing reads what is typed, but for Ctrl-C on a terminal, which its client sends as it is."""
        if self._screen is not None and b"\x03" in data:
            self.interrupt()

    def interrupt(self) -> None:
        """Do not wait for what has not come."""
        self.leave(INTERRUPTED)

    def settled(self) -> None:
        """Perhaps it was the last."""
        self._end_if_done()

    def _tail_stopped(self) -> None:
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._all_run and not self._pending and self._tail is None and not self._is_gone:
            self.leave(1 if self._interpreter.failed else 0)


class Lines(Script):
    """Statements that are piped in, each run as soon as it is whole."""

    def __init__(self, channel: ConsoleChannel, door: Door) -> None:
        super().__init__(channel, door, None, "")
        self._bytes = b""
        self._statement = ""

    def start(self) -> None:
        """Wait for input."""

    def received(self, data: bytes) -> None:
        """More of it."""
        *lines, self._bytes = (self._bytes + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._bytes) + len(self._statement) > LONGEST:
            self.write(f"a statement has at most {LONGEST} bytes\n")
            self.leave(1)

    def input_ended(self) -> None:
        """What is there is all."""
        self._line(self._bytes)
        if self._statement.strip():
            self._run(self._statement)
        self._all_run = True
        self._end_if_done()

    def _line(self, line: bytes) -> None:
        self._statement += line.decode("utf-8", "replace").rstrip("\r") + "\n"
        if not self._statement.strip():
            self._statement = ""
        elif not self._interpreter.wants_more(self._statement.removesuffix("\n")):
            statement, self._statement = self._statement, ""
            self._run(statement)
