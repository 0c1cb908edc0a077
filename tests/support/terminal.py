"""What a terminal shows of the bytes that it is sent: as much of a VT100 as a prompt uses."""

from __future__ import annotations

import re

from nettool.ops.tables import columns_of

_PIECE = re.compile(r"\x1b\[(?P<number>\d*)(?P<command>[A-Z])|(?P<character>.)", re.DOTALL)


class Terminal:
    """A screen of so many columns, and rows without an end.  What it does not know is an error."""

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self._wraps = False
        """The last column is written: the next character goes to the next row."""
        self.bells = 0

    def feed(self, data: bytes | bytearray) -> Terminal:
        for piece in _PIECE.finditer(bytes(data).decode()):
            if piece["command"]:
                self._command(piece["command"], int(piece["number"] or "0"))
            else:
                self._character(piece["character"])
        return self

    def _command(self, command: str, number: int) -> None:
        self._wraps = False
        if command == "A":
            self._row = max(self._row - max(number, 1), 0)
        elif command == "B":
            self._row += max(number, 1)
        elif command == "C":
            self._column = min(self._column + max(number, 1), self.columns - 1)
        elif command == "H":
            self._row = self._column = 0
        elif command == "J" and number == 2:
            self._rows = [[]]
        elif command == "J" and number == 0:
            del self._rows[self._row + 1 :]
            if self._row < len(self._rows):
                del self._rows[self._row][self._column :]
        else:
            raise AssertionError(f"a command that is not known: {number}{command}")
        self._grow()

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column, self._wraps = 0, False
        elif character == "\n":
            self._row, self._wraps = self._row + 1, False
        elif character == "\a":
            self.bells += 1
        else:
            assert character.isprintable(), f"a terminal would do something at {character!r}"
            self._print(character)
        self._grow()

    def _print(self, character: str) -> None:
        width = columns_of(character)
        if self._wraps or self._column + width > self.columns:
            self._row, self._column, self._wraps = self._row + 1, 0, False
        self._grow()
        row = self._rows[self._row]
        row += [" "] * (self._column - len(row))
        row[self._column : self._column + width] = [character] + [""] * (width - 1)
        if self._column + width >= self.columns:
            self._column, self._wraps = self.columns - 1, True
        else:
            self._column += width

    def _grow(self) -> None:
        while len(self._rows) <= self._row:
            self._rows.append([])

    @property
    def lines(self) -> list[str]:
        """What is shown, without spaces at the ends of rows, and rows at the end with nothing in them."""
        lines = ["".join(row).rstrip() for row in self._rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column."""
        return self._row, self._column
