"""
Links as a process has them: over TLS, between nodes that trust each other.

In: this node's identity, whom it trusts, where other nodes are.  Out: the arguments of a `LinkService`, and its nodes,
kept up to date; a factory for listeners that speaks TLS.  Never: a plain link; a node that is neither trusted nor
configured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from nettool.cluster.dialling import DIAL_TIME
from nettool.cluster.identity import Identity, LinkTls, Trust, peer_key, tls_fault
from nettool.cluster.judges import Judge
from nettool.cluster.resolver import Address, INodeResolver
from nettool.cluster.service import LinkService


def judge_by(trust: Trust) -> Judge:
    """Decides by the key that TLS has proven, and by what is trusted when it is asked."""

    def judge(name: bytes, transport: Any, meant: bytes) -> None:
        trust.decide(name, peer_key(transport), meant)

    return judge


def explain(reason: Failure) -> str:
    """Why a connection was lost, in words that say what to do where there is something to do."""
    return tls_fault(reason.value) or reason.getErrorMessage() if reason.value is not None else ""


class Secured:
    """Keeps the nodes of a `LinkService` as they are trusted and as the resolver knows them.

    Invariant: a node is known to the service exactly while it is trusted or the resolver knows it; a link to one whose
    trust has ended is ended.
    """

    def __init__(
        self, links: LinkService, identity: Identity, trust: Trust, resolver: INodeResolver, reactor: Any
    ) -> None:
        """`links` was made with `judge_by(trust)` and `explain`."""
        self._links = links
        self._identity = identity
        self._trust = trust
        self._resolver = resolver
        self._reactor = reactor
        self._tls = LinkTls(identity)
        self.factory: IProtocolFactory = TLSMemoryBIOFactory(self._tls, False, links.factory, reactor)
        """For listeners on which other nodes connect."""
        links.trusts = lambda name: name in self._trust.nodes.keys
        self._unsubscribe: Callable[[], None] = resolver.subscribe(lambda changed: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """What is trusted or where nodes are may have changed; links to nodes for which nothing did are not touched."""
        own = self._identity.name
        trusted = self._trust.nodes.keys
        known = {name: self._resolver.addresses(name) for name in self._resolver.names()}
        for name in self._links.names - trusted.keys() - known.keys():
            self._links.forget(name)
        for name in (trusted.keys() | known.keys()) - {own}:
            addresses = known.get(name, ())
            where = ", ".join(map(str, addresses))
            self._links.know(name, [self._endpoint(address) for address in addresses], addresses, where)

    def show(self, identity: Identity) -> None:
        """Prove this identity, whose name is the same, to whoever connects or is dialled from now on."""
        self._identity = identity
        self._tls.show(identity)

    def trust_changed(self, ended: frozenset[bytes]) -> None:
        """The file of trusted nodes was read again; these are trusted no more, or by another key."""
        for name in ended:
            self._links.forget(name)
        self.refresh()

    def stop(self) -> None:
        """Follow the resolver no more."""
        self._unsubscribe()

    def _endpoint(self, address: Address) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(self._reactor, address.host, address.port, DIAL_TIME)
        return wrapClientTLS(self._tls, plain, self._reactor)
