"""
Other nodes, as the settings of a process name them.

In: settings; the key in the state directory, the file of trusted nodes.  Out: links over TLS, kept as the settings in
force say; what answers where other nodes connect.  Never: half a change: all is read before the first thing is put in
force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory

from nettool.cluster.identity import Identity, Trust, TrustedNodes, read_trusted
from nettool.cluster.resolver import CombinedResolver
from nettool.cluster.secured import Secured, explain, judge_by
from nettool.errors import Mistake, SettingError
from nettool.service import NodeService
from nettool.settings import Settings


class Linking:
    """A node's links, as its settings have them.

    Invariant: a node whose settings never spoke of others has no key, no resolver and no links.
    """

    def __init__(self, node: NodeService) -> None:
        self._node = node
        self._links: _Links | None = None
        self.door = LinkDoor()
        """What answers where other nodes connect: the same for as long as there is this node."""

    def prepare(self, settings: Settings) -> Callable[[], list[str]]:
        """Read all there is to read; what puts it in force, and says what has changed in files whose names have not.

        `SettingError` if something cannot be used: then nothing has changed, but that a key may have been made.
        """
        links = settings.links
        if self._links is None and not (links.listen or links.connect or links.trusted_nodes):
            return list
        identity = Identity.kept_in(settings.node.state_dir, settings.node.name)
        try:
            trusted = read_trusted(links.trusted_nodes)
        except SettingError as error:
            raise SettingError(*(Mistake(("links.trusted-nodes",), str(wrong)) for wrong in error.mistakes)) from error
        return lambda: self._put_in_force(settings, identity, trusted)

    def _put_in_force(self, settings: Settings, identity: Identity, trusted: TrustedNodes) -> list[str]:
        if self._links is None:
            self._links = _Links(self._node, identity, trusted)
            self.door.behind = self._links.secured.factory
            said = []
        else:
            said = list(self._links.change(identity, trusted))
        self._links.resolver.use(settings.links.connect)
        return said


class LinkDoor(Factory):
    """Where other nodes connect."""

    noisy = False
    behind: IProtocolFactory | None = None
    """Nobody answers before there are links."""

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """The links answer."""
        return None if self.behind is None else self.behind.buildProtocol(addr)  # type: ignore[arg-type]


class _Links:
    """Links that there are."""

    def __init__(self, node: NodeService, identity: Identity, trusted: TrustedNodes) -> None:
        self.trust = Trust(identity.public)
        self.trust.nodes = trusted
        self.resolver = CombinedResolver(node.reactor, identity.name)
        links = node.link(judge=judge_by(self.trust), explain=explain)
        self.secured = Secured(links, identity, self.trust, self.resolver, node.reactor)
        # After the links: an address that a source knows when it starts is dialled at once.
        self.resolver.setServiceParent(node)  # type: ignore[no-untyped-call]

    def change(self, identity: Identity, trusted: TrustedNodes) -> Iterator[str]:
        """Another key, other trusted nodes: links to those that are trusted as before are not touched."""
        if identity.public != self.trust.own:
            self.trust.own = identity.public
            self.secured.show(identity)
            yield f"node.state-dir: the node has another key, {identity.public}"
        before, self.trust.nodes = self.trust.nodes, trusted
        ended, begun = trusted.ended_since(before), trusted.begun_since(before)
        self.secured.trust_changed(ended)
        if before.path == trusted.path:
            yield from (f"links.trusted-nodes: {name.decode()} is trusted no more" for name in sorted(ended - begun))
            yield from (f"links.trusted-nodes: {name.decode()} has another key" for name in sorted(ended & begun))
            yield from (f"links.trusted-nodes: {name.decode()} is trusted" for name in sorted(begun - ended))
