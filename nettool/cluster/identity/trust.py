"""
Whether another node is trusted.

In: the key that TLS has proven, the name that its hello gives, and the node that was meant.  Out: that node, or a
refusal whose two texts say what to do, here and there.  Never: an answer that is not yes or no.
"""

from __future__ import annotations

from typing import NoReturn

from nettool.cluster.identity.keys import NodeKey, written
from nettool.cluster.identity.trusted import TrustedNodes, read_trusted
from nettool.errors import RefusalReason
from nettool.wire.names import name_fault


class Refused(Exception):
    """The other end of a connection is refused as a node."""

    def __init__(self, reason: RefusalReason, here: str, there: str) -> None:
        super().__init__(here)
        self.reason = reason
        self.here = here
        """For this node's log: what happened, and what to do about it here."""
        self.there = there
        """For the other end's log, as its answer: what to do about it there.  It tells nobody what they do not know."""


class Trust:
    """The trusted nodes in force.

    Invariant: `nodes` is the whole of a file that could be read; what cannot be read or is wrong changes nothing.
    """

    def __init__(self, own: NodeKey, path: str = "") -> None:
        """`own` is this node; `SettingError` if there is such a file, and it cannot be used."""
        self.own = own
        self.nodes = read_trusted(path)

    def reload(self, path: str | None = None) -> TrustedNodes:
        """Read the file, or another one, and trust what it says; what was trusted before.

        `SettingError` if it cannot be used: then nothing has changed.
        """
        before, self.nodes = self.nodes, read_trusted(self.nodes.path if path is None else path)
        return before

    def decide(self, name: bytes, key: bytes, meant: bytes = b"") -> NodeKey:
        """As the function `decide`."""
        return decide(self.nodes, self.own, name, key, meant)


def decide(trusted: TrustedNodes, own: NodeKey, name: bytes, key: bytes, meant: bytes = b"") -> NodeKey:
    """The node at the other end, if it is trusted: its key is the one that `trusted` has for the name it gives.

    `own` is this node; `meant` the one that was dialled, if it was.  Raises `Refused`.
    """
    claim = _Claim(trusted, own, name, key, meant)
    if fault := name_fault(name):
        claim.has_no_name(fault)
    if key == own.key:
        claim.has_our_key()
    if name == own.name:
        claim.has_our_name()
    if meant and name != meant:
        claim.was_not_meant()
    known = trusted.keys.get(name)
    if known is None or known != key:
        if other := trusted.names.get(key):
            claim.has_another_name(other)
        if known is not None:
            claim.has_another_key()
        claim.is_a_stranger()
    return NodeKey(name, key)


class _Claim:
    """What another node says of itself, and all that can be wrong with it."""

    def __init__(self, trusted: TrustedNodes, own: NodeKey, name: bytes, key: bytes, meant: bytes) -> None:
        self._trusted = trusted
        self._own = own.name.decode()
        self._node = NodeKey(name, key)
        self._name = name.decode("utf-8", "replace")
        self._meant = meant.decode("utf-8", "replace")
        self._place = trusted.place(name)

    def has_no_name(self, fault: str) -> NoReturn:
        raise Refused(
            RefusalReason.BAD_NAME,
            f"a node with the key {written(self._node.key)} gave a name that cannot be one: {fault}",
            f"this node's name cannot be one: {fault}; start it with another --node-name",
        )

    def has_our_key(self) -> NoReturn:
        if self._name == self._own:
            text = f"{self._own} has reached itself: one of the addresses it was given for other nodes is its own"
        else:
            text = (
                f"{self._name} and {self._own} have the same key: the state directory of one is a copy of the other's. "
                "Give one of them a directory of its own, in which a new key is made"
            )
        raise Refused(RefusalReason.SAME_KEY, text, text)

    def has_our_name(self) -> NoReturn:
        text = f"two nodes are called {self._own}: start one of them with another --node-name"
        raise Refused(RefusalReason.SAME_NAME, f"{text}; the other one has the key {written(self._node.key)}", text)

    def was_not_meant(self) -> NoReturn:
        raise Refused(
            RefusalReason.NOT_MEANT,
            f"{self._name} answered where {self._meant} was dialled: correct the address of {self._meant}",
            f"{self._own} dialled {self._meant}, and reached {self._name}: "
            f"{self._own} has a wrong address for {self._meant}",
        )

    def has_another_name(self, other: bytes) -> NoReturn:
        trusted_as = other.decode()
        here = f"{self._name} shows the key of {trusted_as} in {self._trusted.place(other)}: start it with "
        there = f"{self._own} knows this node's key under the name {trusted_as}: start it with "
        option = f"--node-name {trusted_as}"
        if self._node.name not in self._trusted.keys:
            option += f", or, if it has a new name, the line has to become: {self._node}"
        raise Refused(RefusalReason.OTHER_NAME, here + option, there + option)

    def has_another_key(self) -> NoReturn:
        raise Refused(
            RefusalReason.OTHER_KEY,
            f"{self._name} shows another key than it has in {self._place}: it is another node, or its key is new; "
            f"if its key is new, that line has to become: {self._node}",
            f"{self._own} trusts {self._name} with another key; if this node's key is new, "
            f"its line in the trusted-nodes of {self._own} has to become: {self._node}",
        )

    def is_a_stranger(self) -> NoReturn:
        path = self._trusted.path
        if not path:
            todo = f"start this node with --trusted-nodes FILE, and put into that file the line: {self._node}"
        else:
            todo = f"add to {path} the line, and reload: {self._node}"
        raise Refused(
            RefusalReason.NOT_TRUSTED,
            f"{self._name} is not trusted; if it should be, {todo}",
            f"{self._own} does not trust this node; if it should, its trusted-nodes needs the line: {self._node}",
        )
