"""
Who is here, and who hears what.

In: members that come, go, join and leave.  Out: the member of a name, the hearers of a topic, sorted lists.
Never: a line; nothing here is asked once per line.

Whoever keeps something worked out from addresses (a plan) leaves it here under each of them, and it is made stale as
soon as one of them changes: nobody has to ask.

What is here and what is on other nodes are kept apart for whoever has to tell them apart, and together, in `reach` and
`topics`, for the routing, which has not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
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

    @property
    def addresses(self) -> Collection[bytes]:
        """What it was made from."""

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
    `topics`; what depends on an address that changed is stale.  A name that is here is reached here.
    """

    def __init__(self, heard: Callable[[bytes, bool], None] = lambda topic, heard: None) -> None:
        """`heard` is told when the first on this node hears a topic, and when the last does no more."""
        self._tell_heard = heard
        self.names: dict[bytes, IMember] = {}
        """Those on this node who can be written to, by name."""
        self.far: dict[bytes, IMember] = {}
        """Those on other nodes, by `name@node`."""
        self.reach: dict[bytes, IMember] = {}
        """All of them, by each address that reaches them: the others by bare names, too, where those are clear."""
        self._clear: dict[bytes, IMember] = {}
        """Those on other nodes by bare name, where that means one of them; the name may be here as well."""
        self.topics: dict[bytes, Topic] = {}
        """Those who hear each topic, here and on other nodes."""
        self.near: dict[bytes, Topic] = {}
        """Those on this node; the same object as in `topics` where nobody else hears it."""
        self._dependants: dict[bytes, set[Dependant]] = {}
        self._who: list[bytes] | None = []
        self._heard: list[tuple[bytes, int]] | None = []

    # Names

    def add(self, member: IMember) -> None:
        """A member can be written to by its name from now on."""
        self.names[member.name] = self.reach[member.name] = member
        self._changed(member.name)

    def remove(self, member: IMember) -> None:
        """It cannot any more, and hears nothing."""
        del self.names[member.name]
        self._point(member.name)
        self._changed(member.name)
        for topic in list(member.topics or ()):
            self.leave(member, topic)

    def add_far(self, member: IMember) -> None:
        """Somebody is on another node; his name is `name@node`."""
        self.far[member.name] = self.reach[member.name] = member
        self._who = None

    def remove_far(self, member: IMember) -> None:
        """He is not any more; nothing if he was not."""
        if self.far.pop(member.name, None) is not None:
            del self.reach[member.name]
            self._who = None

    def means(self, name: bytes, member: IMember | None) -> None:
        """A bare name, where it is not here, means this one on another node, or nobody."""
        if member is None:
            self._clear.pop(name, None)
        else:
            self._clear[name] = member
        self._point(name)

    def _point(self, name: bytes) -> None:
        member = self.names.get(name) or self._clear.get(name)
        if member is None:
            self.reach.pop(name, None)
        else:
            self.reach[name] = member

    # Topics

    def join(self, member: IMember, name: bytes) -> None:
        """It hears the topic; joining twice is one membership."""
        if member.topics is None:
            member.topics = set()
        if name in member.topics:
            return
        member.topics.add(name)
        near = self.near.get(name)
        first = near is None
        if near is None:
            near = self.near[name] = Topic()
        near.add(member)
        everybody = self.topics.setdefault(name, near)
        if everybody is not near:
            everybody.add(member)
        self._changed(name)
        if first:
            self._tell_heard(name, True)

    def leave(self, member: IMember, name: bytes) -> None:
        """It hears the topic no more, whether it did or not."""
        if member.topics is None or name not in member.topics:
            return
        member.topics.discard(name)
        if not member.topics:
            member.topics = None
        near, everybody = self.near[name], self.topics[name]
        near.remove(member)
        if everybody is not near:
            everybody.remove(member)
        if not near:
            del self.near[name]
        if not everybody:
            del self.topics[name]
        self._changed(name)
        if not near:
            self._tell_heard(name, False)

    def join_far(self, member: IMember, name: bytes) -> None:
        """Somebody on another node hears the topic: this member stands for all of that node."""
        assert member.topics is not None, "it is a member for its topics alone"
        if name in member.topics:
            return
        member.topics.add(name)
        near, everybody = self.near.get(name), self.topics.get(name)
        if everybody is None or everybody is near:
            everybody = self.topics[name] = Topic()
            for hearer in () if near is None else near.hearers:
                everybody.add(hearer)
        everybody.add(member)
        self._changed(name)

    def leave_far(self, member: IMember, name: bytes) -> None:
        """Nobody there hears it any more, whether somebody did or not."""
        if not member.topics or name not in member.topics:
            return
        member.topics.discard(name)
        near, everybody = self.near.get(name), self.topics[name]
        everybody.remove(member)
        if near is None and not everybody:
            del self.topics[name]
        elif near is not None and len(everybody) == len(near):
            self.topics[name] = near
        self._changed(name)

    # Lists

    def who(self) -> list[bytes]:
        """Everybody's name, those on other nodes as `name@node`, sorted; not to be changed."""
        if self._who is None:
            self._who = sorted([*self.names, *self.far])
        return self._who

    def hearers(self, topic: bytes) -> list[bytes]:
        """The names of those on this node who hear it, sorted."""
        return sorted(member.name for member in self.near[topic].hearers) if topic in self.near else []

    def heard(self) -> list[tuple[bytes, int]]:
        """Each topic with the number of its hearers on this node, sorted; not to be changed."""
        if self._heard is None:
            self._heard = [(name, len(self.near[name])) for name in sorted(self.near)]
        return self._heard

    def depend(self, dependant: Dependant, addresses: Iterable[bytes]) -> None:
        """It is true as long as none of these, which are among its addresses, changes."""
        for address in addresses:
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


class Near:
    """Topics as those on this node hear them: what routing looks at for lines that other nodes have sent."""

    def __init__(self, directory: Directory) -> None:
        self.names: dict[bytes, IMember] = {}
        self.far: dict[bytes, IMember] = {}
        self.reach: dict[bytes, IMember] = {}
        self.topics = directory.near
        self.depend = directory.depend
        self.release = directory.release
