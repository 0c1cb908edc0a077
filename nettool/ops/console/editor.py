"""
One line that is being typed, and how it is drawn.

In: what keys do.  Out: the text, and the bytes that show it on a terminal.  Never: a control character in the text; a
terminal, a channel, a time.
"""

from __future__ import annotations

import re

from nettool.ops.tables import columns_of

LONGEST = 64 * 1024
"""Characters of a line; what is typed or pasted beyond that is not taken."""

REMEMBERED = 1000
"""Lines of the history."""

_WORD = re.compile(r"\w+\W*")


class Editor:
    """The text, the cursor in it, and the lines before it.

    Invariant: 0 <= `cursor` <= len(`text`); all of `text` is printable.
    """

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._history: list[str] = []
        self._at = 0
        """Which line of the history is shown; its length, for the one that is being typed."""
        self._typed = ""
        """That one, while another is shown."""

    def insert(self, text: str) -> bool:
        """Put it where the cursor is, as much as there is room for; whether that was all."""
        text = "".join(character for character in text if character.isprintable())
        fits = text[: LONGEST - len(self.text)]
        self.text = self.text[: self.cursor] + fits + self.text[self.cursor :]
        self.cursor += len(fits)
        return len(fits) == len(text)

    def take(self) -> str:
        """The line, which goes into the history; the next one begins."""
        line = self.text
        if line.strip() and (not self._history or self._history[-1] != line):
            self._history.append(line)
            del self._history[:-REMEMBERED]
        self.clear()
        return line

    def clear(self) -> None:
        """Begin anew."""
        self.text, self.cursor = "", 0
        self._at, self._typed = len(self._history), ""

    # Moving

    def left(self) -> None:
        """One character back."""
        self.cursor = max(self.cursor - 1, 0)

    def right(self) -> None:
        """One character on."""
        self.cursor = min(self.cursor + 1, len(self.text))

    def home(self) -> None:
        """To the beginning."""
        self.cursor = 0

    def end(self) -> None:
        """To the end."""
        self.cursor = len(self.text)

    def word_left(self) -> None:
        """To the beginning of the word before."""
        starts = [match.start() for match in _WORD.finditer(self.text) if match.start() < self.cursor]
        self.cursor = starts[-1] if starts else 0

    def word_right(self) -> None:
        """To the end of the next word."""
        match = re.compile(r"\W*\w*").match(self.text, self.cursor)
        self.cursor = match.end() if match else len(self.text)

    # Deleting

    def backspace(self) -> None:
        """The character before."""
        if self.cursor:
            self._delete(self.cursor - 1, self.cursor)

    def delete(self) -> None:
        """The character under the cursor."""
        self._delete(self.cursor, self.cursor + 1)

    def delete_to_end(self) -> None:
        """All behind the cursor."""
        self._delete(self.cursor, len(self.text))

    def delete_to_start(self) -> None:
        """All before it."""
        self._delete(0, self.cursor)

    def delete_word(self) -> None:
        """The word before."""
        end = self.cursor
        self.word_left()
        self._delete(self.cursor, end)

    def _delete(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    # The history

    def previous(self) -> None:
        """The line before the one that is shown."""
        if self._at == len(self._history):
            self._typed = self.text
        self._show(self._at - 1)

    def next(self) -> None:
        """The line after it; behind the last one, what was being typed."""
        self._show(self._at + 1)

    def _show(self, at: int) -> None:
        if 0 <= at <= len(self._history):
            self._at = at
            self.text = self._typed if at == len(self._history) else self._history[at]
            self.cursor = len(self.text)


class Drawing:
    """What is on the terminal of a line: enough to take it away again.

    Invariant: nothing of it but `row`, the row of the cursor counted from the line's first, is remembered.
    """

    def __init__(self) -> None:
        self.row = 0

    def show(self, prompt: str, editor: Editor, width: int) -> bytes:
        """Draw the line anew, over what was drawn before."""
        shown = prompt + editor.text
        before = columns_of(prompt + editor.text[: editor.cursor])
        rows, row = columns_of(shown) // width, before // width
        drawn = self.erase() + shown.encode()
        if columns_of(shown) % width == 0:
            drawn += b" \r"  # a terminal goes to the next row only when there is something to be written there
        drawn += b"\r" + _up(rows - row)
        if before % width:
            drawn += b"\x1b[%dC" % (before % width)
        self.row = row
        return drawn

    def erase(self) -> bytes:
        """Take away what was drawn; the cursor is where the line began."""
        drawn = b"\r" + _up(self.row) + b"\x1b[J"
        self.row = 0
        return drawn

    def leave(self, prompt: str, editor: Editor, width: int) -> bytes:
        """Let it stay, and go to the row below it."""
        below = columns_of(prompt + editor.text) // width - self.row
        self.row = 0
        return (b"\x1b[%dB" % below if below > 0 else b"") + b"\r\n"


def _up(rows: int) -> bytes:
    return b"\x1b[%dA" % rows if rows > 0 else b""
