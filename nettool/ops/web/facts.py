"""
What is known of a node, at a bounded cost.

In: a node, and functions that look at it.  Out: what they saw.  Never: more than a tenth of the time for looking,
however many ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.interfaces import IReactorTime

from nettool.ops.web.lists import EVERYTHING, Part
from nettool.service import NodeService

T = TypeVar("T")

REST = 9
"""Times as long as a look took it is not repeated.  That is 10 ms for a hundred peers, and half a second for 10,000."""


class Rows(Protocol):
    """A look at a list, of which only the rows that are asked for are made."""

    def __call__(
        self, node: NodeService, order: str = "", limit: int | None = None, offset: int = 0, /
    ) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class _Seen:
    what: Any
    at: float
    until: float

    def counts(self, now: float) -> bool:
        """Whether it need not be looked again; the clock may have been put back."""
        return self.at <= now < self.until


@dataclass(frozen=True, slots=True)
class _SeenRows:
    part: Part
    rows: Sequence[Any]
    total: int


class Facts:
    """What was seen, kept until it may be looked at again."""

    def __init__(self, node: NodeService, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._seen: dict[Callable[..., Any], _Seen] = {}

    def of(self, look: Callable[[NodeService], T]) -> T:
        """What this function says of the node, or said a moment ago."""
        now = self._clock.seconds()
        seen = self._seen.get(look)
        if seen is None or not seen.counts(now):
            seen = self._look(look, lambda: look(self._node), now, 0.0)
        return cast(T, seen.what)

    def part_of(self, look: Rows, count: Callable[[NodeService], int], part: Part) -> tuple[Sequence[Any], int]:
        """A part of a list, and how many rows it has.

        Only that part is made.  If another one is asked for before it may be looked again, all rows are made, and every
        part is taken from these for as long as both looks cost.
        """
        now = self._clock.seconds()
        seen = self._seen.get(look)
        if seen is None or not seen.counts(now):
            seen = self._look_at_part(look, count, part, now, 0.0)
        elif seen.what.part not in (part, EVERYTHING):
            spent = (seen.until - seen.at) / (REST + 1)
            seen = self._look_at_part(look, count, EVERYTHING, now, spent)
        found: _SeenRows = seen.what
        return (found.rows if found.part == part else part.of(found.rows)), found.total

    def _look_at_part(
        self, look: Rows, count: Callable[[NodeService], int], part: Part, now: float, spent: float
    ) -> _Seen:
        def see() -> _SeenRows:
            return _SeenRows(part, look(self._node, part.order, part.limit, part.offset), count(self._node))

        return self._look(look, see, now, spent)

    def _look(self, key: Callable[..., Any], see: Callable[[], Any], now: float, spent: float) -> _Seen:
        """Look; `spent` are seconds of an earlier look that are still to be made up for."""
        what = see()
        end = self._clock.seconds()
        self._seen[key] = seen = _Seen(what, now, end + REST * (end - now + spent))
        return seen
