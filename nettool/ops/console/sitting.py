"""
What prompt and script have in common: an operator's commands, one after the other.

In: source.  Out: text for the client, a line in the log for each command.  Never: a command that is not in the log, or
of a key that may no longer come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nettool.ops.console.commands import Commands
from nettool.ops.console.interpreter import Interpreter
from nettool.ops.tables import printable
from nettool.ops.tail import Tail

if TYPE_CHECKING:
    from nettool.ops.console.channel import ConsoleChannel
    from nettool.ops.console.door import Door

LOOK = 0.1
"""Seconds between two looks at what a tail has brought."""

LINES = 200
"""Lines of a tail that are shown at each look."""


class Screen:
    """A terminal's size, as its client tells it."""

    def __init__(self, columns: int, rows: int) -> None:
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """It has changed; a client that does not know says 0."""
        self.columns = min(max(columns or 80, 10), 1000)
        self.rows = min(max(rows or 24, 2), 1000)


class Console:
    """Commands of one operator.

    Invariant: each command is in the log before it runs; nothing is printed once the client is gone.
    """

    _log = Logger()
    width: int | None = None
    most_rows: int | None = None

    def __init__(self, channel: ConsoleChannel, door: Door, screen: Screen | None) -> None:
        self._channel = channel
        self._screen = screen
        self._commands = Commands(door.node, door.levers)
        self._interpreter = Interpreter(self._commands.namespace(), self, self._commands.help)
        self._tail: Tail | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = door.clock
        self._is_gone = False

    def start(self) -> None:
        """The client waits for output."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """Input."""
        raise NotImplementedError

    def input_ended(self) -> None:
        """No more input."""

    def resized(self) -> None:
        """The screen has another size."""

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._stop_tail("")

    def tell(self, text: str) -> None:
        """Say something that no command asked for."""
        self.write(f"[{text}]\n")

    def gone(self) -> None:
        """The client is gone."""
        self._is_gone = True
        self._stop_tail("")

    # As the paper of an interpreter

    def write(self, text: str) -> None:
        """Show printable text."""
        if not self._is_gone:
            data = text.encode("utf-8", "backslashreplace")
            self._channel.print(data if self._screen is None else data.replace(b"\n", b"\r\n"))

    def follow(self, tail: Tail) -> None:
        """Show what a tail brings, until Ctrl-C, or its connection's end."""
        self._stop_tail("")
        self._tail = tail
        tail.start()
        self._looking.start(LOOK, now=False)

    def leave(self, status: int) -> None:
        """The operator goes."""
        self._channel.end(status)
        self._stop_tail("")

    def settled(self) -> None:
        """A result that was waited for has come."""

    # Commands

    def _run(self, source: str) -> None:
        who = self._channel.who
        self._log.info(
            "manhole: console {console}, {key}: {command}",
            event="console-command",
            console=who["console"],
            key=who["key"],
            command=ascii(source),
        )
        if not self._channel.may_stay:
            self.write("this key may not come in any more: nothing was done\n")
            self.leave(1)
            return
        self._interpreter.run(source)

    # Tails

    def _look(self) -> None:
        tail = self._tail
        if tail is None or self._channel.behind:
            return  # what comes meanwhile is counted
        over = tail.over
        lines = tail.take(LINES)
        if lines:
            self.write("\n".join(lines) + "\n")
        elif over:
            self._stop_tail(f"[{printable(tail.name, keep='')} has gone]\n")

    def _stop_tail(self, why: str) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.stop()
            if self._looking.running:
                self._looking.stop()
            if why:
                self.write(why)
            self._tail_stopped()

    def _tail_stopped(self) -> None:
        """Nothing is followed any more."""

    @property
    def _pending(self) -> dict[int, Any]:
        return self._interpreter.pending
