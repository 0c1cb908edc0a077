"""
A node as a service: its broker, its peers, its listeners, and the drain at its end.

In: settings, a reactor, endpoints.  Out: a Twisted service that can be started and stopped, by `nettool.tap` in a
process of its own or by `nettool.embed` in somebody's program.  Never: a signal, a command line, the process's end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from nettool.broker.broker import Broker
from nettool.cluster.service import LinkService
from nettool.listening.exchange import Exchange
from nettool.listening.listener import Listener
from nettool.peers.factory import PeerFactory
from nettool.settings import Live, Settings

__all__ = ["Listener", "NodeService"]


class NodeService(MultiService):
    """A node, not yet started.

    Invariant: all its listeners are bound before any accepts; when it has stopped, every line it accepted is in the
    ledger as delivered, returned or dropped.  It is started once.
    """

    _log = Logger()

    def __init__(self, settings: Settings, reactor: Any, listen: Iterable[str | IStreamServerEndpoint] = ()) -> None:
        """`listen` are Twisted server endpoint strings, or endpoints; `SettingError` for one that cannot be used."""
        super().__init__()
        self.setName("nettool")
        self.reactor = reactor
        self.live = Live(settings)
        self.broker = Broker(self.live)
        self.peers = PeerFactory(self.broker, self.live, reactor)
        self.links: LinkService | None = None
        """Other nodes; a node alone has none."""
        self.listeners: list[Listener] = []
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        """Awaited, one after the other, when the drain is over: for what is there to see it, such as consoles."""
        self._numbers = count(1)
        self._ended: Deferred[None] | None = None
        self._closing: set[Deferred[Any]] = set()
        for where in listen:
            self.listen_on(where, self.peers)

    # Where it listens

    def listen_on(self, where: str | IStreamServerEndpoint, factory: IProtocolFactory, purpose: str = "") -> Listener:
        """One more listener, bound when the node starts; `purpose` says for whom, if not for peers.

        `SettingError` for an endpoint that cannot be used.
        """
        if isinstance(where, str):
            listener = Listener.of(self.reactor, where, factory, purpose)
        else:
            listener = Listener("", where, factory, purpose)
        self.adopt(listener)
        return listener

    def adopt(self, listener: Listener) -> None:
        """Have one more listener, which binds when the node starts."""
        self.listeners.append(listener)
        self._name(listener)

    def exchange(self, exchange: Exchange) -> list[str]:
        """Have these listeners from now on, and say what has changed.  Who came by those that are closed stays."""
        said = exchange.apply()
        for listener in exchange.gone:
            closed = listener.close().addErrback(self._closed_badly, listener.where)
            listener.disownServiceParent()
            self._closing.add(closed)
            closed.addCallback(partial(self._closed, closed))
        for listener in exchange.listeners:
            if listener.parent is None:
                self._name(listener)
        self.listeners = exchange.listeners
        return said

    def _name(self, listener: Listener) -> None:
        listener.setName(f"listener {next(self._numbers)}")
        listener.setServiceParent(self)

    def _closed(self, closed: Deferred[Any], result: object) -> None:
        self._closing.discard(closed)

    def _closed_badly(self, failure: Failure, where: str) -> None:
        self._log.error(
            "could not close {where}: {error}", event="close-failed", where=where, error=failure.getErrorMessage()
        )

    # Other nodes

    def link(self, **arguments: Any) -> LinkService:
        """Become one node among others, once; the arguments are those of `LinkService`."""
        self.links = LinkService(self.broker, self.live, self.peers.turn, self.reactor, **arguments)
        self.links.setServiceParent(self)
        self.peers.flush_elsewhere = self.links.flush
        return self.links

    # What is in force

    def put_in_force(self, settings: Settings) -> None:
        """Other settings, at once and for present connections too; what is a process's own, listeners, is not done."""
        before = self.live.settings
        self.live.replace(settings)
        self.peers.settings_changed(before)
        if self.links is not None:
            self.links.settings_changed()

    # Its beginning and its end

    def say_where(self) -> None:
        """Say where it listens: whoever waits for this line may connect, and may send a signal."""
        for warning in self.live.settings.warnings():
            self._log.warn("{warning}", event="config-warning", warning=warning)
        for listener in self.listeners:
            self.say_of(listener)

    def say_of(self, listener: Listener) -> None:
        """Say where one of its listeners listens."""
        name, where = self.live.node.name.decode(), listener.where
        if listener.purpose:
            self._log.info(
                "{node} listening on {where} for {purpose}",
                event="listening",
                node=name,
                where=where,
                purpose=listener.purpose,
            )
        else:
            self._log.info("{node} listening on {where}", event="listening", node=name, where=where)

    @property
    def draining(self) -> bool:
        """Whether it has been told to stop."""
        return self._ended is not None

    def stopService(self) -> Deferred[None]:
        """Stop accepting, then drain: once, however often it is asked for."""
        if self._ended is None:
            self._ended = Deferred.fromCoroutine(self._stop())
        told: Deferred[None] = Deferred()
        self._ended.addCallback(told.callback)  # what has an end here never fails
        return told

    async def _stop(self) -> None:
        self._log.info("draining {count} connections", event="draining", count=len(self.peers.connections))
        Service.stopService(self)  # not MultiService's: some of what it has stays until the peers have gone
        to_the_end = [listener for listener in self.listeners if listener.to_the_end]
        try:
            await self._stop_all([service for service in self if service not in to_the_end])
            await DeferredList(list(self._closing))
            await self.peers.drain()
            if self.links is not None:
                await self.links.closed()
            for last in self.at_end:
                await last()
        except Exception:  # a fault of ours must not cost the totals too
            self._log.failure("the drain failed", level=LogLevel.error, event="drain-failed")
            self._cut_off()
        await self._stop_all(to_the_end)
        closed = {reason.value.decode(): count for reason, count in self.peers.closed.items()}
        self._log.info("connections closed: {closed}", event="closed", closed=closed)
        self._log.info("totals: {ledger}", event="totals", ledger=self.broker.snapshot())

    def _stop_all(self, services: Iterable[IService]) -> Deferred[Any]:
        return DeferredList([maybeDeferred(service.stopService) for service in reversed(list(services))])

    def abort(self) -> None:
        """Cut the drain short."""
        self._log.warn("stopping at once", event="stopping-at-once")
        self._cut_off()

    def _cut_off(self) -> None:
        self.peers.abort()
        if self.links is not None:
            self.links.abort()
