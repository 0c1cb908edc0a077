"""The cutter against one that is said in a few plain lines: any stream, cut anywhere, with limits that change.

In: bytes as a tape.  Out: an exception where they differ.  Never: more than a look at what the cutter says.
"""

from __future__ import annotations

from copy import copy

from nettool.wire.lines import TOO_LONG, Cutter, count, cut
from tests.fuzz.tape import Tape

LIMITS = [1, 2, 5, 8, 64, 300, 65536]
SIZES = [0, 1, 2, 3, 5, 9, 17, 65, 66, 130, 1000, 70000]
TOKENS = [b"\r\n", b"\n\n", b"\r\r\n", b"\n\r\n", b"x" * 8, b"x" * 64, b"x" * 65]


class PlainCutter:
    """What the protocol says of lines, one at a time."""

    def __init__(self, max_line: int) -> None:
        self.max_line = max_line
        self.rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Lines without their end, `TOO_LONG` in the place of one that is."""
        *ended, last = data.split(b"\n")
        lines: list[bytes | None] = []
        for part in ended:
            line = bytes(self.rest) + part
            if self._skipping:
                self._skipping = False
            else:
                lines.append(line.removesuffix(b"\r") if self._fits(line) else TOO_LONG)
            self.rest.clear()
        if last and not self._skipping:
            self.rest += last
            if not self._fits(self.rest):
                self.rest.clear()
                self._skipping = True
                lines.append(TOO_LONG)
        return lines

    def _fits(self, line: bytes | bytearray) -> bool:
        return len(line) - line.endswith(b"\r") <= self.max_line


def lines_of(pieces: list[bytes | None]) -> list[bytes | None]:
    """Lines without their LF; each piece is a block of whole lines, or `TOO_LONG`."""
    lines: list[bytes | None] = []
    for piece in pieces:
        if piece is TOO_LONG:
            lines.append(TOO_LONG)
            continue
        assert type(piece) is bytes, "a block is of bytes"
        assert piece.endswith(b"\n"), "a block ends with a line's end"
        some = piece.split(b"\n")[:-1]
        assert cut(piece) == [line + b"\n" for line in some]
        assert count(piece) == len(some)
        lines += some
    return lines


def check(data: bytes) -> None:
    """One stream, in pieces, with a limit that may change between them."""
    tape = Tape(data)
    limit = tape.choose(LIMITS)
    cutter, plain = Cutter(limit), PlainCutter(limit)
    stream, found = [], []
    changed = False
    while tape:
        size = tape.choose(SIZES)
        if tape.below(16) == 15:
            cutter.max_line = plain.max_line = tape.choose(LIMITS)
            changed = True
        part = tape.text(size)
        lines = lines_of(cutter.feed(part))
        assert lines == plain.feed(part), "a line is told as soon as it is whole, or too long"
        held = copy(cutter).finish()
        assert held == plain.rest, "what is held is what has come since the last line"
        assert not part or len(held) <= cutter.max_line + 1, "no more is held than a line and a CR"
        stream.append(part)
        found += lines
    if not changed:
        whole = PlainCutter(limit)
        assert found == whole.feed(b"".join(stream)), "where it was cut makes no difference"
        assert cutter.finish() == whole.rest
        assert cutter.finish() == b"", "what is left is told once"
