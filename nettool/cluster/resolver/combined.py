"""
All sources of addresses of a node as one.

In: what `--link-connect` says.  Out: one resolver, whose sources can be exchanged while it runs.
Never: news because of an exchange of which nobody's addresses are different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.application.service import MultiService

from nettool.cluster.resolver.addresses import (
    DnsSource,
    FileSource,
    Nodes,
    StaticSource,
    WrittenSource,
    joined,
)
from nettool.cluster.resolver.known import KnownNodes
from nettool.cluster.resolver.lookups import Lookups
from nettool.cluster.resolver.sources import FileResolver, SourceResolver, StaticResolver
from nettool.cluster.resolver.srv import Lookup, SrvResolver


class CombinedResolver(KnownNodes, MultiService):
    """What all its sources know.

    Invariant: a node's addresses are those of all sources, in the order of the sources, each address once.
    """

    def __init__(
        self, reactor: Any, own: bytes = b"", lookup: Lookup | None = None, chance: Random | None = None
    ) -> None:
        """`own` is the node itself, which no source makes known, since lists that are the same everywhere have it.

        `lookup` and `chance` are what looks up SRV records, and what draws their order.
        """
        KnownNodes.__init__(self)
        MultiService.__init__(self)
        self._reactor = reactor
        self._own = own
        self._lookup = Lookups(reactor) if lookup is None else lookup
        self._chance = Random() if chance is None else chance
        self._sources: dict[WrittenSource, tuple[SourceResolver, Callable[[], None]]] = {}
        self._exchanging = False

    def use(self, sources: Iterable[WrittenSource]) -> None:
        """Have these sources from now on.  Those that it has already stay as they are, with what they know."""
        before, self._sources = self._sources, {}
        self._exchanging = True
        try:
            for source in dict.fromkeys(sources):
                self._sources[source] = before.pop(source) if source in before else self._begin(source)
            for resolver, unsubscribe in before.values():
                unsubscribe()
                resolver.disownServiceParent()
        finally:
            self._exchanging = False
        self._combine(frozenset())

    def faults(self) -> list[str]:
        """Why what is known may be out of date, for each source of which that is so."""
        return [resolver.fault for resolver, _ in self._sources.values() if resolver.fault]

    def _begin(self, source: WrittenSource) -> tuple[SourceResolver, Callable[[], None]]:
        resolver = self._resolver_of(source)
        # Subscribed before it starts, so that no news is missed.
        unsubscribe = resolver.subscribe(self._combine)
        resolver.setServiceParent(self)
        return resolver, unsubscribe

    def _resolver_of(self, source: WrittenSource) -> SourceResolver:
        match source:
            case StaticSource(name, addresses):
                return StaticResolver({name: addresses})
            case FileSource(path):
                return FileResolver(path, self._reactor)
            case DnsSource(domain):
                return SrvResolver(domain, self._lookup, self._reactor, self._chance)

    def _combine(self, changed: frozenset[bytes]) -> None:
        if self._exchanging:
            return
        nodes: Nodes = {}
        for resolver, _ in self._sources.values():
            for name in resolver.names():
                if name != self._own:
                    nodes[name] = joined(nodes.get(name, ()), resolver.addresses(name))
        self.become(nodes)
