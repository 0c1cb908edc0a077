"""All connections of one node in memory, without listeners or services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nettool.broker.broker import Broker
from nettool.peers.factory import PeerFactory
from nettool.settings import DeliverySettings, Live, NodeSettings, PeerSettings, Settings
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor


class MemoryStreet:
    """
    A factory of peers' connections on a clock, and its peers, on plain sockets or with layers in between.

    `settings` are fields of `Node`, `Peers` and `Delivery`, each of which is in one of them only.
    """

    def __init__(self, *, layered: bool = False, reactor: PollingReactor | None = None, **settings: Any) -> None:
        self.reactor = reactor or PollingReactor()
        self.layered = layered
        self.live = Live(Settings())
        self.broker = Broker(self.live)
        self.factory = PeerFactory(self.broker, self.live, self.reactor)
        self.set(**settings)

    def set(self, **changes: Any) -> None:
        """Put other settings in force."""
        groups = []
        for group, kind in (
            (self.live.node, NodeSettings),
            (self.live.peers, PeerSettings),
            (self.live.delivery, DeliverySettings),
        ):
            groups.append(replace(group, **{key: changes.pop(key) for key in kind.__slots__ if key in changes}))
        assert not changes
        self.live.replace(Settings(*groups))

    def connect(self) -> MemoryPeer:
        return MemoryPeer(self.factory, self.reactor, layered=self.layered)

    def peer(self, name: bytes) -> MemoryPeer:
        return self.connect().login(name)

    def peers(self, *names: bytes) -> list[MemoryPeer]:
        return [self.peer(name) for name in names]

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def expect_balance(self) -> None:
        snapshot = self.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)


def kibibytes(number: int, size: int = 1000) -> list[bytes]:
    """So many texts of about 1 KiB, each another one."""
    return [b"%d " % index + b"x" * size for index in range(number)]
