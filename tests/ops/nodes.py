"""A whole node in memory for an operator to look at: a service on a clock, its peers on sockets in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nettool.service import NodeService
from nettool.settings import DeliverySettings, NodeSettings, PeerSettings, Settings
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor


class SeenNode:
    """A node that runs; `settings` are fields of `DeliverySettings`."""

    def __init__(self, *, listen: tuple[str, ...] = ("tcp:6388",), layered: bool = False, **settings: Any) -> None:
        self.reactor = PollingReactor()
        self.layered = layered
        peers = PeerSettings(max_line=16 * 1024, max_peers=20000)
        delivery = replace(DeliverySettings(outbox_bytes=256 * 1024), **settings)
        self.service = NodeService(Settings(NodeSettings(), peers, delivery), self.reactor, listen)

    def start(self) -> SeenNode:
        self.service.privilegedStartService()
        self.service.startService()
        return self

    def connect(self) -> MemoryPeer:
        return MemoryPeer(self.service.peers, self.reactor, layered=self.layered)

    def peers(self, *names: bytes) -> list[MemoryPeer]:
        return [self.connect().login(name) for name in names]

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.reactor.advance(0)

    def expect_balance(self) -> None:
        snapshot = self.service.broker.snapshot()
        assert snapshot.adds_up, str(snapshot)
