"""
What is known of a node, at a bounded cost.

In: a node, and functions that look at it.  Out: what they saw.  Never: more than a tenth of the time for looking,
however many ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from twisted.internet.interfaces import IReactorTime

from nettool.service import NodeService

T = TypeVar("T")

REST = 9
"""Times as long as a look took it is not repeated.  That is 10 ms for a hundred peers, and half a second for 10,000."""


@dataclass(frozen=True, slots=True)
class _Seen:
    what: Any
    at: float
    until: float


class Facts:
    """What was seen, kept until it may be looked at again."""

    def __init__(self, node: NodeService, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._seen: dict[Callable[[NodeService], Any], _Seen] = {}

    def of(self, look: Callable[[NodeService], T]) -> T:
        """What this function says of the node, or said a moment ago."""
        now = self._clock.seconds()
        seen = self._seen.get(look)
        if seen is None or not seen.at <= now < seen.until:  # the clock may have been put back
            what = look(self._node)
            end = self._clock.seconds()
            self._seen[look] = seen = _Seen(what, now, end + REST * (end - now))
        return cast(T, seen.what)
