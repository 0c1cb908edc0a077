"""
One session of an operator's connection: a prompt, or a command.

In: what the client asks for and sends, as its channel brings it.  Out: the console that it asked for, its output as far
as the client takes it, its exit status.  Never: a program, a subsystem, a forwarded port; a second console.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.session import parseRequest_pty_req, parseRequest_window_change
from twisted.logger import Logger

from nettool.ops.console.outflow import Outflow
from nettool.ops.console.prompt import Prompt
from nettool.ops.console.quiet import CONCH
from nettool.ops.console.script import Lines, Script
from nettool.ops.console.sitting import Console, Screen
from nettool.ops.tables import printable

if TYPE_CHECKING:
    from nettool.ops.console.auth import Operator


class ConsoleChannel(SSHChannel):
    """A session channel, and the console behind it once one has been asked for.

    Invariant: conch's own buffer stays empty, since no more is written than the client's window has room for.
    """

    name = b"session"
    avatar: Operator
    conn: Any
    _log = CONCH
    _own = Logger()

    def channelOpen(self, specificData: bytes) -> None:
        """It is open."""
        self._door = door = self.avatar.transport.factory
        door.opened += 1
        door.consoles[self] = None
        self._number = door.opened
        self._screen: Screen | None = None
        self._console: Console | None = None
        self._outflow = Outflow(self._room, self.write)
        self.is_ending = False

    def requestReceived(self, requestType: bytes, data: bytes) -> bool:
        """Something is asked for; whether it is done."""
        request = self._requests.get(requestType)
        if request is None or self.is_ending:
            return False
        try:
            return request(self, data)
        except Exception:  # bytes that are no such request
            self._own.info(
                "manhole: {peer} asks for what cannot be read", event="manhole-refused", peer=self.avatar.transport.peer
            )
            return False

    # What may be asked for

    def _pty(self, data: bytes) -> bool:
        _, (rows, columns, _, _), _ = parseRequest_pty_req(data)
        self._screen = Screen(columns, rows)
        return self._console is None

    def _resized(self, data: bytes) -> bool:
        rows, columns, _, _ = parseRequest_window_change(data)
        if self._screen is None:
            return False
        self._screen.resize(columns, rows)
        if self._console is not None:
            self._console.resized()
        return True

    def _shell(self, data: bytes) -> bool:
        return self._begin(Lines(self, self._door) if self._screen is None else Prompt(self, self._door, self._screen))

    def _exec(self, data: bytes) -> bool:
        source = getNS(data)[0].decode("utf-8")
        return self._begin(Script(self, self._door, self._screen, source))

    def _signal(self, data: bytes) -> bool:
        if self._console is None or getNS(data)[0] != b"INT":
            return False
        self._door.clock.callLater(0, self._console.interrupt)  # when this has been answered
        return True

    def _begin(self, console: Console) -> bool:
        if self._console is not None:
            return False
        self._console = console
        self._door.clock.callLater(0, self._start, console)  # when the client has been told that it has it
        return True

    def _start(self, console: Console) -> None:
        if not self.is_ending:
            console.start()

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        """Something was typed, or piped."""
        if self._console is not None and not self.is_ending:
            self._console.received(data)

    def eofReceived(self) -> None:
        """The client's input is at its end."""
        if self._console is not None and not self.is_ending:
            self._console.input_ended()

    def closed(self) -> None:
        """Both sides have closed it, or the connection is lost."""
        self.is_ending = True
        self._door.consoles.pop(self, None)
        if self._console is not None:
            self._console.gone()
            self._own.info(
                "manhole: console {console}, {key}, has ended",
                event="console-ended",
                console=self._number,
                key=str(self.avatar.key),
            )

    # What goes out

    @property
    def who(self) -> dict[str, object]:
        """The fields by which the log tells whose console it is."""
        return {"console": self._number, "key": str(self.avatar.key)}

    @property
    def may_stay(self) -> bool:
        """Whether the key is still one that may come in."""
        return self._door.authorized.find(self.avatar.key.key.blob()) is not None

    @property
    def behind(self) -> bool:
        """Whether output waits for the client."""
        return self._outflow.behind

    def print(self, data: bytes) -> None:
        """Send output, as the client takes it."""
        self._outflow.write(data)

    def tell(self, text: str) -> None:
        """Say something that the console did not ask for."""
        if self._console is not None and not self.is_ending:
            self._console.tell(printable(text))

    def end(self, status: int) -> None:
        """Close it, with this exit status, when all has been sent."""
        if not self.is_ending:
            self.is_ending = True
            self._outflow.when_empty(lambda: self._end(status))

    def _end(self, status: int) -> None:
        self.conn.sendRequest(self, b"exit-status", struct.pack(">L", status))
        self.conn.sendEOF(self)
        self.loseConnection()

    def flush(self) -> None:
        """The client takes output again."""
        self._outflow.flush()

    def startWriting(self) -> None:
        """conch says so when the client has widened its window."""
        self._outflow.flush()

    def addWindowBytes(self, data: int) -> None:
        """The window is wider by so many bytes."""
        super().addWindowBytes(data)
        self._outflow.flush()

    def _room(self) -> int:
        return self.remoteWindowLeft if self.avatar.transport.takes and not self.localClosed else 0

    _requests: ClassVar[dict[bytes, Callable[[ConsoleChannel, bytes], bool]]] = {
        b"pty-req": _pty,
        b"window-change": _resized,
        b"shell": _shell,
        b"exec": _exec,
        b"signal": _signal,
    }
