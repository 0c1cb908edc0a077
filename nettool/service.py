"""
A node as a service: its broker, its peers, its listeners, and the drain at its end.

In: settings, a reactor, endpoints.  Out: a Twisted service that can be started and stopped, by `nettool.tap` in a
process of its own or by `nettool.embed` in somebody's program.  Never: a signal, a command line, the process's end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from nettool.broker.broker import Broker
from nettool.errors import SettingError
from nettool.peers.factory import PeerFactory
from nettool.settings import BACKLOG, Live, OnNameTaken, Settings


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
        self.listeners: list[Listener] = []
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        """Awaited, one after the other, when the drain is over: for what is there to see it, such as consoles."""
        self._ended: Deferred[None] | None = None
        for where in listen:
            self.listen_on(where, self.peers)

    def listen_on(self, where: str | IStreamServerEndpoint, factory: IProtocolFactory, purpose: str = "") -> None:
        """One more listener, bound when the node starts; `purpose` says for whom, if not for peers."""
        endpoint = _endpoint(self.reactor, where) if isinstance(where, str) else where
        listener = Listener(where if isinstance(where, str) else "", endpoint, factory, purpose)
        listener.setName(f"listener {len(self.listeners) + 1}")
        listener.setServiceParent(self)
        self.listeners.append(listener)

    def say_where(self) -> None:
        """Say where it listens: whoever waits for this line may connect, and may send a signal."""
        if self.live.peers.on_name_taken is OnNameTaken.TAKEOVER:
            self._log.warn("on-name-taken is takeover: whoever can connect can take over any name")
        for listener in self.listeners:
            purpose = f" for {listener.purpose}" if listener.purpose else ""
            name, where = self.live.node.name.decode(), listener.where
            self._log.info("{node} listening on {where}{purpose}", node=name, where=where, purpose=purpose)

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
        self._log.info("draining {count} connections", count=len(self.peers.connections))
        try:
            await super().stopService()
            await self.peers.drain()
            for last in self.at_end:
                await last()
        except Exception:  # a fault of ours must not cost the totals too
            self._log.failure("the drain failed")
            self.peers.abort()
        closed = {reason.value.decode(): count for reason, count in self.peers.closed.items()}
        self._log.info("connections closed: {closed}", closed=closed)
        self._log.info("totals: {totals}", totals=str(self.broker.snapshot()))

    def abort(self) -> None:
        """Cut the drain short."""
        self._log.warn("stopping at once")
        self.peers.abort()


class Listener(Service):
    """One endpoint on which peers, or others, connect."""

    _log = Logger()

    def __init__(
        self, description: str, endpoint: IStreamServerEndpoint, factory: IProtocolFactory, purpose: str = ""
    ) -> None:
        """`description` is the endpoint's string, or empty where it was made without one."""
        self.purpose = purpose
        self._scheme = description.partition(":")[0]
        self._description = description or repr(endpoint)
        self._endpoint = endpoint
        self._factory = factory
        self._bound: Deferred[None] | None = None
        self._failure: Failure | None = None
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Bind; a failure is raised here, and not logged while the node lives on deaf."""
        self._listen()

    def startService(self) -> None:
        """Bind, where nobody asked for it before."""
        super().startService()
        if self._bound is None:
            self._listen()

    def _listen(self) -> None:
        self._bound = bound = self._endpoint.listen(self._factory).addCallback(self._listening)
        now = bound.result if bound.called else None
        if isinstance(now, Failure):
            bound.addErrback(lambda failure: None)  # it is raised here instead
            if isinstance(now.value, OverflowError):  # a port that there is not
                raise _unusable(self._description, now.value)
            now.raiseException()
        # An endpoint that takes its time cannot be waited for here; its failure must be seen all the same.
        bound.addErrback(self._failed_later)

    def _listening(self, port: IListeningPort) -> None:
        self.port = port

    def _failed_later(self, failure: Failure) -> None:
        self._failure = failure
        if not failure.check(CancelledError):
            self._log.critical("cannot listen on {where}: {error}", where=self._description, error=failure.value)

    def bound(self) -> Deferred[None]:
        """Fires when it is bound, and fails with what made that impossible; for endpoints that take their time."""
        told: Deferred[None] = Deferred()

        def tell(result: None) -> None:
            if self._failure is None:
                told.callback(None)
            else:
                told.errback(self._failure)

        if self._bound is not None:
            self._bound.addCallback(tell)
        return told

    def stopService(self) -> Deferred[Any]:
        """Accept no more."""
        super().stopService()
        if self._bound is not None:
            self._bound.cancel()
        port, self.port = self.port, None
        stopped = None if port is None else port.stopListening()
        return gatherResults([stopped] if isinstance(stopped, Deferred) else [])

    @property
    def where(self) -> str:
        """The address that was bound, as `tcp:127.0.0.1:6388`: the real port where 0 was asked for.

        Of tcp and unix it is what `clientFromString` takes, so colons of an IPv6 address are escaped.
        """
        if self.port is None:
            return self._description
        address: Any = self.port.getHost()
        name = getattr(address, "name", None)
        if name is not None:
            return f"{self._scheme or 'unix'}:{name.decode() if isinstance(name, bytes) else name}"
        if not hasattr(address, "host"):  # somebody's endpoint, whose addresses are of a kind of its own
            return self._description
        host = address.host.replace(":", "\\:")
        return f"{self._scheme or 'tcp'}:{host}:{address.port}"


def _endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """The endpoint that a string describes, with a backlog in the thousands, if its kind has one and none is named."""
    scheme = description.partition(":")[0]
    endpoint: IStreamServerEndpoint
    try:
        if scheme in ("tcp", "tcp6", "ssl", "tls", "unix") and "backlog=" not in description:
            try:
                endpoint = serverFromString(reactor, f"{description}:backlog={BACKLOG}")
                return endpoint
            except TypeError:
                pass  # it names one by its place, as in tcp:6388:127.0.0.1:100
        endpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:  # whatever the endpoint's parser, or the files that it names, bring about
        raise _unusable(description, error) from error


def _unusable(description: str, error: BaseException) -> SettingError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SettingError(f"{description!r} is not an endpoint that can be used: {reason}")
