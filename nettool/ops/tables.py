"""
What an operator reads: tables, numbers, words, with nothing in them that could steer a terminal.

In: values, names and texts of peers among them.  Out: text of printable characters and line ends.
Never: a control or format character that came from outside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

Row = TypeVar("Row")

# What `str.isprintable` must look at: runs, since most text has none and a run of letters is looked at in one call.
_UNSURE = re.compile(r"[^ -~]+")


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with all that is not printable, but for `keep`, as escapes: `\\x1b`, `\\u202e`.

    Printable is what `repr` leaves as it is: no control, format, private or unassigned character, no odd white space.
    """

    def escape(match: re.Match[str]) -> str:
        run = match[0]
        if run.isprintable():
            return run
        return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in run)

    return text if text.isprintable() else _UNSURE.sub(escape, text)


class Report(str):
    """Text that a prompt shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Shown:
    """Something that a prompt shows in as much room as there is."""

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """As text without a line end: at most so many rows, and lines of at most so many columns, if that is said."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.show()


class Table(Shown, Sequence[Row], Generic[Row]):
    """Rows, and how they print: aligned, numbers to the right.

    It is a sequence of the rows themselves: `[peer.name for peer in who() if peer.queued_bytes]`.
    """

    def __init__(
        self, columns: Mapping[str, Callable[[Row], object]], rows: Sequence[Row], nothing: str = "nothing"
    ) -> None:
        """`columns`: what is shown of a row below each heading, if any has one.  `nothing`: what is shown for none."""
        self._columns = columns
        self._rows = list(rows)
        self._nothing = nothing

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Table[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Table[Row]:
        if isinstance(at, slice):
            return Table(self._columns, self._rows[at], self._nothing)
        return self._rows[at]

    def __len__(self) -> int:
        return len(self._rows)

    def show(self, most: int | None = None, width: int | None = None) -> str:
        """See `Shown`."""
        if not self._rows:
            return self._nothing
        shown = self._rows[:most]
        cells = [[_cell(value(row)) for value in self._columns.values()] for row in shown]
        right = [all(_is_number(value(row)) for row in shown) for value in self._columns.values()]
        headings = list(self._columns)
        table = [headings, *cells] if "".join(headings).strip() else cells
        widths = [max(columns_of(row[at]) for row in table) for at in range(len(self._columns))]
        lines = [cut("  ".join(_aligned(row, widths, right)).rstrip(), width) for row in table]
        if len(shown) < len(self._rows):
            lines.append(f"... and {len(self._rows) - len(shown):,} more")
        return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if isinstance(value, int) and _is_number(value):
        return f"{value:,}"
    return printable(str(value), keep="")


def _aligned(row: list[str], widths: list[int], right: list[bool]) -> Iterator[str]:
    for text, width, to_the_right in zip(row, widths, right, strict=True):
        space = " " * (width - columns_of(text))
        yield space + text if to_the_right else text + space


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes; wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int | None) -> str:
    """What fits into so many columns, with `...` at the end if that is not all."""
    if width is None or columns_of(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _columns(character)
        if used > max(width - 3, 0):
            break
        kept += character
    return kept + "..."[: max(width, 0)]


# Numbers as people read them


def size(count: float) -> str:
    """Bytes: `0 B`, `640 B`, `1.5 KiB`, `4.0 MiB`."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024 or unit == "GiB":
            break
    return f"{count:,.1f} {unit}"


def duration(seconds: float) -> str:
    """A length of time: `0.3 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; `for ever`."""
    if seconds == float("inf"):
        return "for ever"
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, per_large, small, per_small = next(unit[:4] for unit in _UNITS if whole < unit[4])
    count, rest = divmod(whole, per_large)
    rest //= per_small
    return f"{count:,} {large} {rest} {small}" if rest else f"{count:,} {large}"


# A unit and its seconds, the one that is told beside it, and from how many seconds on the next one is told instead.
_UNITS = [("min", 60, "s", 1, 3600), ("h", 3600, "min", 60, 86400), ("d", 86400, "h", 3600, float("inf"))]


def number(count: int, thing: str, things: str | None = None) -> str:
    """`1 line`, `1,234 lines`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def listed(words: Sequence[Any]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} and {last}" if most else last
