"""
Who is here, and who hears what.

In: members that come, go, join and leave.  Out: the member of a name, the hearers of a topic, sorted lists.
Never: a line; nothing here is asked once per line.

Whoever keeps something worked out from addresses (a plan) leaves it here under each of them, and it is made stale as
soon as one of them changes: nobody has to ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zope.interface import Attribute

from nettool.interfaces import ISender
from nettool.outbox.queue import Outbox


class IMember(ISender):
    """Whatever the broker can give a batch to."""

    outbox: Outbox = Attribute("What it still has to be sent.")
    topics: set[bytes] | None = Attribute("What it hears; nothing for most, and then no set is kept for it.")


class Dependant(Protocol):
    """Something that is true only as long as what it was made from does not change."""

    addresses: frozenset[bytes]

    def let_go(self) -> None:
        """One of the addresses has changed: it is not true any more."""


class Topic:
    """Those who hear one topic, in the order in which they joined."""

    __slots__ = ("_members", "_tuple")

    def __init__(self) -> None:
        self._members: dict[IMember, None] = {}
        self._tuple: tuple[IMember, ...] | None = ()

    def add(self, member: IMember) -> None:
        """One more."""
        self._members[member] = None
        self._tuple = None

    def remove(self, member: IMember) -> None:
        """One less; it must be one of them."""
        del self._members[member]
        self._tuple = None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def hearers(self) -> tuple[IMember, ...]:
        """All of them; a tuple, since putting a batch into an outbox may make a hearer leave."""
        if self._tuple is None:
            self._tuple = tuple(self._members)
        return self._tuple


class Directory:
    """Names and topics.

    Invariant: a topic exists exactly while somebody hears it; a member hears a topic exactly while the topic is in its
    `topics`; what depends on an address that changed is stale.
    """

    def __init__(self) -> None:
        self.names: dict[bytes, IMember] = {}
        """Those who can be written to, by name."""
        self.topics: dict[bytes, Topic] = {}
        self._dependants: dict[bytes, set[Dependant]] = {}
        self._who: list[bytes] | None = []
        self._heard: list[tuple[bytes, int]] | None = []

    def add(self, member: IMember) -> None:
        """A member can be written to by its name from now on."""
        self.names[member.name] = member
        self._changed(member.name)

    def remove(self, member: IMember) -> None:
        """It cannot any more, and hears nothing."""
        del self.names[member.name]
        self._changed(member.name)
        for topic in list(member.topics or ()):
            self.leave(member, topic)

    def join(self, member: IMember, name: bytes) -> None:
        """It hears the topic; joining twice is one membership."""
        if member.topics is None:
            member.topics = set()
        if name not in member.topics:
            member.topics.add(name)
            self.topics.setdefault(name, Topic()).add(member)
            self._changed(name)

    def leave(self, member: IMember, name: bytes) -> None:
        """It hears the topic no more, whether it did or not."""
        if member.topics is None or name not in member.topics:
            return
        member.topics.discard(name)
        if not member.topics:
            member.topics = None
        topic = self.topics[name]
        topic.remove(member)
        if not topic:
            del self.topics[name]
        self._changed(name)

    def who(self) -> list[bytes]:
        """Everybody's name, sorted; not to be changed."""
        if self._who is None:
            self._who = sorted(self.names)
        return self._who

    def hearers(self, topic: bytes) -> list[bytes]:
        """The names of those who hear it, sorted."""
        return sorted(member.name for member in self.topics[topic].hearers) if topic in self.topics else []

    def heard(self) -> list[tuple[bytes, int]]:
        """Each topic with the number of its hearers, sorted; not to be changed."""
        if self._heard is None:
            self._heard = [(name, len(self.topics[name])) for name in sorted(self.topics)]
        return self._heard

    def depend(self, dependant: Dependant) -> None:
        """It is true as long as none of its addresses changes."""
        for address in dependant.addresses:
            self._dependants.setdefault(address, set()).add(dependant)

    def release(self, dependant: Dependant) -> None:
        """It is not used any more."""
        dependant.let_go()
        for address in dependant.addresses:
            others = self._dependants.get(address)
            if others is not None:
                others.discard(dependant)
                if not others:
                    del self._dependants[address]

    def _changed(self, address: bytes) -> None:
        if address[:1] == b"#":
            self._heard = None
        else:
            self._who = None
        dependants: Iterable[Dependant] = tuple(self._dependants.get(address, ()))
        for dependant in dependants:
            self.release(dependant)
