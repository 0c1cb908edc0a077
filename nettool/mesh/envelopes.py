"""
Many envelopes at once: what `recv_many` brings, and `send_many` takes.

In: what reads have brought, each with the id of its connection; or envelopes.  Out: a list of envelopes, for whoever
looks at them; their payloads by connection, for whoever sends them on.  Never: an envelope made that nobody looks at.

To make an envelope, and to take it apart again, is more than half of what passing it on costs otherwise.  So a hub that
passes on what it has received, whole, pays nothing for any single one.
"""

from __future__ import annotations

from collections import UserList
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any, Self

from nettool.mesh.envelope import Envelope

Run = tuple[Hashable, list[bytes]]
"""Payloads of one connection, in order, and its id.  Nobody changes such a list."""

_new: Any = tuple.__new__
_id_of = itemgetter(0)
_payload_of = itemgetter(1)


def made(run: Run) -> Iterator[Envelope]:
    """The envelopes of these payloads."""
    id, payloads = run
    return map(_new, repeat(Envelope), zip(repeat(id), payloads, strict=False))


class Envelopes(UserList[Envelope]):
    """Envelopes in order; a list in all that it does, but for `isinstance(_, list)`.

    Invariant: while `runs` is not None, nobody has looked at single envelopes, and it has all there are.
    """

    def __init__(self, envelopes: Iterable[Envelope] = ()) -> None:
        self.runs: list[Run] | None = None
        self._made = list(envelopes)

    @classmethod
    def of(cls, runs: list[Run]) -> Self:
        """Those of these runs, none of which is empty."""
        new = cls.__new__(cls)
        new.runs = runs
        return new

    @property
    def data(self) -> list[Envelope]:
        """The envelopes themselves, as `UserList` calls them."""
        if self.runs is not None:
            self._made = [envelope for run in self.runs for envelope in made(run)]
            self.runs = None
        return self._made

    @data.setter
    def data(self, envelopes: list[Envelope]) -> None:
        self.runs = None
        self._made = envelopes

    def __len__(self) -> int:
        return len(self._made) if self.runs is None else sum(len(payloads) for _, payloads in self.runs)

    def __iter__(self) -> Iterator[Envelope]:
        return iter(self.data)  # UserList's own asks for one after the other by its index

    def __copy__(self) -> Self:
        return type(self)(self)

    def by_id(self) -> list[Run]:
        """One run for each id, in the order of their first envelopes.  Raises `TypeError` for what is no bytes."""
        if self.runs is not None:
            return self.runs if len(self.runs) == 1 else _merged(self.runs)
        envelopes = self._made
        if not envelopes:
            return []
        runs: list[Run]
        first = envelopes[0][0]
        ids = list(map(_id_of, envelopes))
        if ids.count(first) == len(ids):
            runs = [(first, list(map(_payload_of, envelopes)))]
        else:
            groups: dict[Hashable, list[bytes]] = {}
            for id, payload in envelopes:
                try:
                    groups[id].append(payload)
                except KeyError:
                    groups[id] = [payload]
            runs = list(groups.items())
        for _, payloads in runs:
            if set(map(type, payloads)) != {bytes}:
                check_payloads(payloads)
        return runs

    def without(self, taken: Mapping[Hashable, int]) -> list[Envelope]:
        """Those with one of these ids, without the first so many of each."""
        skipped = dict(taken)
        left = []
        for envelope in self:
            skip = skipped.get(envelope[0])
            if skip:
                skipped[envelope[0]] = skip - 1
            elif skip is not None:
                left.append(envelope)
        return left


def _merged(runs: list[Run]) -> list[Run]:
    groups: dict[Hashable, list[bytes]] = {}
    for id, payloads in runs:
        before = groups.get(id)
        groups[id] = payloads if before is None else before + payloads
    return list(groups.items())


def check_payloads(payloads: Iterable[object]) -> None:
    """Only bytes are sent: anything else could change while it is queued.  Raises `TypeError`."""
    for payload in payloads:
        if type(payload) is not bytes:
            raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
