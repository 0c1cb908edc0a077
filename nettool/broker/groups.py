"""
Lines of one read, grouped by the names that they are to.

In: lines.  Out: the texts for each name, in order, ready to be joined with a prefix.  Never: a look at who is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from operator import is_

from nettool.broker.directory import IMember

_column: Callable[[], list[bytes]] = partial(list, (b"",))
"""Begins with an empty element: joining with the prefix as separator then puts one before each line."""

Groups = defaultdict[bytes, list[bytes]]
Grouping = Callable[[list[bytes]], Groups | None]


def group(piece: list[bytes]) -> Groups:
    """Texts by whatever stands before the first colon and space."""
    groups: Groups = defaultdict(_column)
    for line in piece:
        address, _, text = line.partition(b": ")
        groups[address].append(text)
    return groups


def group_lists(piece: list[bytes], most: int) -> Groups | None:
    """Texts by name, where lines may have lists of up to `most` names; nothing if a line needs a closer look."""
    groups: Groups = defaultdict(_column)
    for line in piece:
        head, _, text = line.partition(b": ")
        several = head.split(b", ", most)
        if len(several) > most:
            return None
        for address in several:
            groups[address].append(text)
    # A name twice in one list has brought the same object into its column twice in a row.  Looking for that
    # afterwards costs 60 ns a line of three names, a set for each line 370.
    if any(any(map(is_, column, islice(column, 1, None))) for column in groups.values()):
        return None
    return groups


def meet(members: Iterable[IMember]) -> bool:
    """Whether two addresses reach one member, as `bob` and `bob@node2` may: grouped, lines would lose their order."""
    reached = list(members)
    return len(set(reached)) < len(reached)
