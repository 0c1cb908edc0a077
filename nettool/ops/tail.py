"""
What one peer is sent, for somebody who looks on.

In: the chunks that leave its outbox.  Out: its lines as text, as many as somebody can read.  Never: a line held up,
more than `HELD` bytes kept, a cost where nobody looks on.
"""

from __future__ import annotations

from collections import deque

from twisted.logger import Logger, LogLevel

from nettool.ops.tables import number, printable
from nettool.outbox.batch import CHARGE
from nettool.outbox.queue import Chunk, Outbox

HELD = 64 * 1024
"""Bytes of lines, and charges for their pieces, that wait to be read; lines beyond that are counted and forgotten."""

SHOWN = 2000
"""Bytes of a line that are shown."""


class Tail:
    """The lines that one connection is sent, from `start` on.

    Invariant: each line is either among those that wait, in order, or counted where it would have been.
    """

    _log = Logger()

    def __init__(self, name: str, outbox: Outbox) -> None:
        self.name = name
        self._outbox = outbox
        self._waiting: deque[bytes | int] = deque()
        """Whole lines as they came, without the last LF of each piece, and how many are missing in between."""
        self._held = 0
        self._rest = b""
        """The beginning of a line whose end has not come, as much of it as is shown."""

    def start(self) -> None:
        """Look on."""
        self._outbox.add_onlooker(self._see)

    def stop(self) -> None:
        """Look away."""
        self._outbox.remove_onlooker(self._see)

    @property
    def over(self) -> bool:
        """Whether the connection has ended, so that nothing more will come."""
        return self._outbox.closed is not None

    def take(self, most: int) -> list[str]:
        """The next lines, escaped; at most so many."""
        taken: list[str] = []
        while self._waiting and len(taken) < most:
            piece = self._waiting.popleft()
            if isinstance(piece, int):
                taken.append(f"... {number(piece, 'line')} left out: more than can be shown")
                continue
            self._held -= CHARGE + len(piece)
            lines = piece.split(b"\n", most - len(taken))
            if len(lines) > most - len(taken):
                rest = lines.pop()
                self._waiting.appendleft(rest)
                self._held += CHARGE + len(rest)
            taken += map(_shown, lines)
        return taken

    def _see(self, chunk: Chunk) -> None:
        # What is raised here would end the peer's connection.
        try:
            self._add(bytes(chunk))
        except Exception:
            self._log.failure(
                "a tail of {name} failed", level=LogLevel.error, event="tail-failed", name=printable(self.name)
            )
            self.stop()

    def _add(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest = (self._rest + data[: SHOWN + 1])[: SHOWN + 1]
            return
        room = HELD - self._held - CHARGE
        whole = self._rest + data[:end] if self._rest else data[:end]
        self._rest = data[end : end + SHOWN + 1]
        kept = whole[: whole.rfind(b"\n", 0, max(room, 0)) + 1] if len(whole) > room else whole
        if kept:
            self._waiting.append(kept[:-1])
            self._held += CHARGE + len(kept) - 1
        missing = whole.count(b"\n", len(kept))
        if missing:
            last = self._waiting[-1] if self._waiting else None
            if isinstance(last, int):
                self._waiting[-1] = last + missing
            else:
                self._waiting.append(missing)


def _shown(line: bytes) -> str:
    text = printable(line[:SHOWN].decode("utf-8", "backslashreplace"), keep="")
    return text if len(line) <= SHOWN else text + "..."
