"""
What routing remembers of reads in which names and topics, or several topics, are mixed.

In: addresses, and who they reach.  Out: columns, to which a line is appended once for each class of receivers.
Never: a line that outlives the read it came in.

Members that are reached by the same set of addresses get the same lines in the same order: they are one class, with one
column, one join and one batch.  The more their topics coincide, the fewer classes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from nettool.broker.directory import Directory, IMember, Near
from nettool.outbox.batch import Kind

LARGEST = 2000
"""Addresses a plan may have; every class is looked at once for each piece of a read."""


COLUMN = 12
"""References that a column takes, beside those to it: 500 bytes."""


class Column:
    """Lines for one class of members.

    Invariant: `lines` begins with an empty element between reads and during them, so that joining it with the prefix as
    separator puts a prefix before each line.
    """

    __slots__ = ("address", "kind", "lines", "members", "topics")

    def __init__(self, addresses: tuple[bytes, ...], members: tuple[IMember, ...]) -> None:
        self.lines: list[bytes] = [b""]
        self.members = members
        self.topics = [address for address in addresses if address[:1] == b"#"]
        named = [address for address in addresses if address[:1] != b"#"]
        self.kind = Kind.MIXED if named and self.topics else Kind.TOPIC if self.topics else Kind.DIRECT
        # A member has one name, so there is one address by which it is written to; topics may be many.
        self.address = named[0] if named else self.topics[0] if len(self.topics) == 1 else b""


class Plan:
    """Columns for every address of a set.

    Invariant: true until an address of the set changes; then `stale`.  All columns are empty between reads.
    """

    __slots__ = ("_by_address", "addresses", "all_topics", "columns", "excluded", "lists", "size", "stale", "topics")

    def __init__(self, directory: Directory | Near, addresses: Iterable[bytes], excluded: IMember | None) -> None:
        """`excluded` hears nothing: it is the sender."""
        self.addresses = set(addresses)
        self.topics = {address for address in self.addresses if address[:1] == b"#"}
        self.all_topics = len(self.topics) == len(self.addresses)
        self.excluded = excluded
        self.stale = False
        self.columns: list[Column] = []
        self.lists: dict[bytes, list[list[bytes]]] = {address: [] for address in self.addresses}
        """For each address, the columns' lists: what the loop over lines appends to."""
        self._by_address: dict[bytes, list[Column]] = {address: [] for address in self.addresses}
        self._make_columns(directory)
        self.size = len(self.addresses) + COLUMN * len(self.columns) + sum(map(len, self.lists.values()))
        """What it holds, in references of some 40 bytes."""
        directory.depend(self, self.addresses)

    def add_unheard(self, directory: Directory | Near, topics: Set[bytes]) -> None:
        """Know these topics too, which nobody hears."""
        self.addresses |= topics
        self.topics |= topics
        for topic in topics:
            self.lists[topic], self._by_address[topic] = [], []
        self.size += len(topics)
        directory.depend(self, topics)

    def _make_columns(self, directory: Directory | Near) -> None:
        reached: dict[IMember, list[bytes]] = {}
        for address in sorted(self.addresses):
            if address in self.topics:
                topic = directory.topics.get(address)
                members = () if topic is None else topic.hearers
            else:
                members = (directory.names[address],)
            for member in members:
                if member is not self.excluded or address not in self.topics:
                    reached.setdefault(member, []).append(address)
        classes: dict[tuple[bytes, ...], list[IMember]] = {}
        for member, by in reached.items():
            classes.setdefault(tuple(by), []).append(member)
        for addresses, members_of_class in classes.items():
            column = Column(addresses, tuple(members_of_class))
            self.columns.append(column)
            for address in addresses:
                self.lists[address].append(column.lines)
                self._by_address[address].append(column)

    def let_go(self) -> None:
        """It is not true any more: forget its members, who may have gone."""
        self.stale = True
        self.excluded = None
        self.columns, self.lists, self._by_address = [], {}, {}

    def columns_of(self, lines: list[bytes]) -> set[Column]:
        """The columns that these lines are in."""
        return {column for line in lines for column in self._by_address[line.partition(b": ")[0]]}
