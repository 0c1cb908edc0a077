"""
The prompt: a line that is typed, drawn as it changes, run when it is a statement.

In: keys.  Out: the line on the terminal, and what commands print above it.  Never: output that breaks what is being
typed.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from twisted.conch.insults.insults import ServerProtocol

from nettool import __version__
from nettool.ops.console.completion import common_beginning, suggestions
from nettool.ops.console.editor import LONGEST, Drawing, Editor
from nettool.ops.console.sitting import Console, Screen
from nettool.ops.tables import columns_of, number, printable

if TYPE_CHECKING:
    from nettool.ops.console.channel import ConsoleChannel
    from nettool.ops.console.door import Door

FIRST, MORE = ">>> ", "... "

MOST_LINES = 1000
"""Lines of one statement."""

BELL = b"\a"


def _editing(change: Callable[[Editor], None]) -> Callable[[Prompt], None]:
    return lambda prompt: change(prompt.editor)


def _key(name: str) -> bytes:
    """What `ServerProtocol` calls a key."""
    key: bytes = getattr(ServerProtocol, name)
    return key


_ALT = _key("ALT")


class Prompt(Console):
    """A prompt on a terminal.

    Invariant: while `_is_drawn`, the line that is typed is the last thing on the terminal.
    """

    most_rows = 100

    def __init__(self, channel: ConsoleChannel, door: Door, screen: Screen) -> None:
        super().__init__(channel, door, screen)
        self._terminal = screen
        self.editor = Editor()
        self._drawing = Drawing()
        self._is_drawn = False
        self._at_line_start = True
        self._statement: list[str] = []
        self._node = printable(door.node.live.node.name.decode(), keep="")
        self._typed = bytearray()
        """Characters, in bytes, that are not in the line yet."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._keyboard = ServerProtocol()
        """conch's, which knows what sequences the keys of terminals send; it calls `keystrokeReceived`."""
        self._keyboard.terminalProtocol = self

    @property
    def width(self) -> int | None:  # type: ignore[override]
        """Columns of the terminal."""
        return self._terminal.columns

    def start(self) -> None:
        """Say what this is, and wait for a line."""
        self.write(f"nettool {__version__}, {self._node}. help() tells what there is; Ctrl-D leaves.\n")
        self._draw()

    def resized(self) -> None:
        """Draw for the new width."""
        if self._is_drawn:
            self._draw()

    def write(self, text: str) -> None:
        """Show text above the line that is typed."""
        if not text:
            return
        was_drawn = self._is_drawn
        self._erase()
        super().write(text)
        self._at_line_start = text.endswith("\n")
        if was_drawn:
            self._draw()

    # What is typed

    def received(self, data: bytes) -> None:
        """Keys.  All that came together is drawn once."""
        self._keyboard.dataReceived(data)
        self._insert_typed()
        if self._tail is None:
            self._draw()

    def input_ended(self) -> None:
        """The client has no more keys."""
        self.leave(0)

    def keystrokeReceived(self, key: object, modifier: object) -> None:
        """One key, as `ServerProtocol` tells it: a byte, or the name of a key."""
        if self._channel.is_ending:
            return
        if self._tail is not None:
            if key in (b"\x03", b"\x04", b"q"):
                self.interrupt()
        elif isinstance(key, bytes) and len(key) == 1 and modifier is None and (key >= b" " and key != b"\x7f"):
            self._typed += key
        else:
            self._insert_typed()
            do = self._keys.get((key, modifier))
            if do is not None:
                do(self)

    def unhandledControlSequence(self, sequence: bytes) -> None:
        """A key that `ServerProtocol` does not know."""
        self._insert_typed()
        do = self._sequences.get(sequence)
        if do is not None:
            do(self)

    def _insert_typed(self) -> None:
        """Take all characters since the last other key at once: what is pasted is long."""
        typed, self._typed = bytes(self._typed), bytearray()
        if typed:
            self._insert(self._decoder.decode(typed))

    def _insert(self, text: str) -> None:
        if text and not self.editor.insert(text):
            self._channel.print(BELL)

    def _enter(self) -> None:
        self._draw()
        self._leave_line()
        line = self.editor.take()
        self._statement.append(line)
        source = "\n".join(self._statement)
        if len(self._statement) > MOST_LINES or len(source) > 4 * LONGEST:
            self._statement = []
            self.write(f"a statement has at most {number(MOST_LINES, 'line')}\n")
        elif not source.strip():
            self._statement = []
        elif not self._interpreter.wants_more(source):
            self._statement = []
            self._run(source)

    def interrupt(self) -> None:
        """Ctrl-C: of a tail, of what is typed."""
        if self._tail is not None:
            super().interrupt()
            return
        self._draw()
        self._channel.print(b"^C")
        self._leave_line()
        self.editor.clear()
        self._statement = []

    def _end_of_input(self) -> None:
        if self.editor.text or self._statement:
            self.editor.delete()
        else:
            self._leave_line()
            self.leave(0)

    def _clear_screen(self) -> None:
        self._channel.print(b"\x1b[H\x1b[2J")
        self._drawing.row = 0

    def _complete(self) -> None:
        editor = self.editor
        before = editor.text[: editor.cursor]
        if not before.strip():
            self._insert(" " * (4 - len(before) % 4))
            return
        stem, words = suggestions(before, self._interpreter.namespace, self._commands.addresses)
        beginning = common_beginning(words) if words else stem
        if beginning != stem:
            self._insert(beginning[len(stem) :])
        elif len(words) > 1:
            self.write(_in_columns([printable(word, keep="") for word in words], self._terminal.columns) + "\n")
        else:
            self._channel.print(BELL)

    # What is drawn

    def _draw(self) -> None:
        if self._channel.is_ending or self._is_gone:
            return
        if not self._is_drawn and not self._at_line_start:
            super().write("\n")
            self._at_line_start = True
        self._channel.print(self._drawing.show(self._ps, self.editor, self._terminal.columns))
        self._is_drawn = True

    def _erase(self) -> None:
        if self._is_drawn:
            self._channel.print(self._drawing.erase())
            self._is_drawn = False

    def _leave_line(self) -> None:
        """Let the line stay as it is; what follows stands below it."""
        if self._is_drawn:
            self._channel.print(self._drawing.leave(self._ps, self.editor, self._terminal.columns))
            self._is_drawn = False
            self._at_line_start = True

    @property
    def _ps(self) -> str:
        return MORE if self._statement else FIRST

    def _tail_stopped(self) -> None:
        self._draw()

    # What keys do

    _keys: ClassVar[dict[tuple[object, object], Callable[[Prompt], None]]] = {
        (b"\r", None): _enter,
        (b"\n", None): _enter,
        (b"\t", None): _complete,
        (b"\x03", None): interrupt,
        (b"\x04", None): _end_of_input,
        (b"\x0c", None): _clear_screen,
        (b"\x01", None): _editing(Editor.home),
        (_key("HOME"), None): _editing(Editor.home),
        (b"\x05", None): _editing(Editor.end),
        (_key("END"), None): _editing(Editor.end),
        (b"\x02", None): _editing(Editor.left),
        (_key("LEFT_ARROW"), None): _editing(Editor.left),
        (b"\x06", None): _editing(Editor.right),
        (_key("RIGHT_ARROW"), None): _editing(Editor.right),
        (b"b", _ALT): _editing(Editor.word_left),
        (b"f", _ALT): _editing(Editor.word_right),
        (b"\x7f", None): _editing(Editor.backspace),
        (b"\x08", None): _editing(Editor.backspace),
        (_key("DELETE"), None): _editing(Editor.delete),
        (b"\x0b", None): _editing(Editor.delete_to_end),
        (b"\x15", None): _editing(Editor.delete_to_start),
        (b"\x17", None): _editing(Editor.delete_word),
        (b"\x7f", _ALT): _editing(Editor.delete_word),
        (b"\x10", None): _editing(Editor.previous),
        (_key("UP_ARROW"), None): _editing(Editor.previous),
        (b"\x0e", None): _editing(Editor.next),
        (_key("DOWN_ARROW"), None): _editing(Editor.next),
    }

    _sequences: ClassVar[dict[bytes, Callable[[Prompt], None]]] = {
        b"\x1b[1;5D": _editing(Editor.word_left),
        b"\x1b[1;5C": _editing(Editor.word_right),
    }


def _in_columns(words: list[str], width: int) -> str:
    widest = max(map(columns_of, words)) + 2
    a_row = max(width // widest, 1)
    rows = [words[at : at + a_row] for at in range(0, len(words), a_row)]
    return "\n".join("".join(word + " " * (widest - columns_of(word)) for word in row).rstrip() for row in rows)
