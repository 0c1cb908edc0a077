"""
What another node is still to be told of the peers and topics here.

In: all of them, when a link begins; then those that come and go.  Out: payloads of frames, as many as are asked for.
Never: a word that another one has made old; memory for what came and went before it was told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from nettool.cluster import frames
from nettool.cluster.frames import Kind


class News:
    """What one link has not told yet.

    Invariant: full lists go first, whole; behind them each name and topic is there at most once, and only if what the
    other node knows of it is not so any more.  So it holds no more than the difference between what that node was told
    and what is here.
    """

    def __init__(self) -> None:
        self._lists: deque[Iterator[bytes]] = deque()
        self._changes: dict[tuple[Kind, bytes], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._changes or self._lists)

    def all(self, kind: Kind, words: Iterable[bytes]) -> None:
        """These are all, now; their frames are made when they are taken."""
        self._lists.append(frames.render_list(kind, list(words)))

    def change(self, kind: Kind, word: bytes, there: bool) -> None:
        """It came or went: each in turn, so what comes before the last one was told leaves nothing to tell."""
        if self._changes.pop((kind, word), there) is there:
            self._changes[kind, word] = there

    def take(self, limit: int) -> list[bytes]:
        """Payloads, about `limit` bytes of them."""
        taken: list[bytes] = []
        while limit > 0 and self:
            payload = self._next()
            if payload:
                taken.append(payload)
                limit -= len(payload)
        return taken

    def _next(self) -> bytes:
        if self._lists:
            payload = next(self._lists[0], b"")
            if not payload:
                self._lists.popleft()
            return payload
        kind, word = key = next(iter(self._changes))
        return frames.render_change(kind, word, self._changes.pop(key))

    def clear(self) -> None:
        """Nobody is told any more."""
        self._lists.clear()
        self._changes.clear()
