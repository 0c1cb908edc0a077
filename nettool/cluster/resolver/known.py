"""
What is known of where nodes are, and who is told of changes.

In: all that a source says.  Out: a node's addresses; who was added, moved or removed.  Never: news that are none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.logger import Logger
from zope.interface import Interface, implementer

from nettool.cluster.resolver.addresses import Addresses, Nodes

Callback = Callable[[frozenset[bytes]], object]
"""Called with the names of all nodes whose addresses have changed, those that are gone included."""


class INodeResolver(Interface):
    """Where nodes are, as far as is known now.  It only says where to look: who is there is proven by a key."""

    def names() -> Collection[bytes]:
        """The nodes that it knows."""

    def addresses(name: bytes) -> Addresses:
        """A node's addresses, in the order in which to try them; none if it is not known."""

    def subscribe(callback: Callback) -> Callable[[], None]:
        """Have this called after each change, until what is returned is called.

        A callback that fails is logged, and keeps nothing from the others.  It sees what is known now, which may be
        more than it is told: a change in a callback is told at once.
        """


@implementer(INodeResolver)
class KnownNodes:
    """The nodes that are known.

    Invariant: subscribers have been told of all that is different from what was known when they subscribed.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._nodes: Nodes = {}
        self._callbacks: dict[object, Callback] = {}

    def names(self) -> Collection[bytes]:
        """See `INodeResolver`."""
        return tuple(self._nodes)

    def addresses(self, name: bytes) -> Addresses:
        """See `INodeResolver`."""
        return self._nodes.get(name, ())

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """See `INodeResolver`."""
        key = object()
        self._callbacks[key] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(key, None)

        return unsubscribe

    def become(self, nodes: Nodes) -> None:
        """These are all nodes from now on; subscribers are told what is different."""
        before, self._nodes = self._nodes, {name: addresses for name, addresses in nodes.items() if addresses}
        changed = frozenset(
            name for name in before.keys() | self._nodes.keys() if before.get(name) != self._nodes.get(name)
        )
        if not changed:
            return
        for key, callback in list(self._callbacks.items()):
            if key in self._callbacks:  # another callback may have unsubscribed it
                try:
                    callback(changed)
                except Exception:
                    self._log.failure("a subscriber to addresses failed", event="addresses-failed")
