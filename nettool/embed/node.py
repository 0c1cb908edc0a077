"""
A node to embed.

In: options as on the command line.  Out: a node that runs for the length of an `async with`, or as a service.
Never: a second start.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.task import Clock

from nettool._reactor import process_reactor
from nettool.broker.ledger import LedgerSnapshot
from nettool.embed.inside import InsideEndpoint
from nettool.options import settings_from
from nettool.service import NodeService


class Node(NodeService):
    """A node inside a program or a test.

        async with Node(reactor) as node:
            bot = await node.endpoint().connect(Factory.forProtocol(Bot))

    It is a Twisted service too: `Node(reactor, listen=["tcp:6388"]).setServiceParent(application)`.

    Invariant: it touches nothing of the process but the reactor that it was given.
    """

    def __init__(
        self, reactor: Any = None, *, listen: Iterable[str | IStreamServerEndpoint] = (), **options: str | int
    ) -> None:
        """`reactor`: the process's own if there is none; any `IReactorTime`, such as a `Clock`, if nothing listens.

        `listen`: endpoints, or their descriptions, on which others may connect.  `options`: those of `twistd nettool`,
        with underscores and written as there (`outbox_bytes="1MiB"`, `topic_patience="0s"`, `max_peers=10`).
        `SettingError` for an endpoint or an option that cannot be used.
        """
        self._reactor = process_reactor() if reactor is None else reactor
        written = {name.replace("_", "-"): str(value) for name, value in options.items()}
        super().__init__(settings_from(written), self._reactor, listen)
        self._was_started = False

    def startService(self) -> None:
        """Accept peers from now on."""
        if self._was_started:
            raise RuntimeError("a node is started once: make another one")
        self._was_started = True
        super().startService()

    async def __aenter__(self) -> Self:
        """Start.  What an endpoint raises when it cannot be bound is raised, and nothing is left bound."""
        try:
            self.privilegedStartService()
            self.startService()
            for listener in self.listeners:
                await listener.bound()
        except BaseException:
            await self.stopService()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain: flush, give back, say `bye`, close, for at most `drain-timeout`.

        A `Clock` is turned as far as this takes, since nobody else can turn it meanwhile.
        """
        ended = self.stopService()
        if isinstance(self._reactor, Clock):
            while not ended.called and self._reactor.getDelayedCalls():
                due = min(call.getTime() for call in self._reactor.getDelayedCalls())
                self._reactor.advance(max(0.0, due - self._reactor.seconds()))
        await ended

    def endpoint(self) -> IStreamClientEndpoint:
        """An endpoint within the process: whatever protocol connects to it is a peer."""
        name = self.live.node.name.decode()
        return InsideEndpoint(self._reactor, name, self.peers, lambda: bool(self.running))

    @property
    def where(self) -> list[str]:
        """The addresses that were bound, as client endpoint strings: real ports where 0 was asked for."""
        return [listener.where for listener in self.listeners]

    def totals(self) -> LedgerSnapshot:
        """What has become of every line until now."""
        return self.broker.snapshot()
