"""
A node as a service: its broker, its peers, its listeners, and the drain at its end.

In: settings, a reactor, endpoints.  Out: a Twisted service that can be started and stopped, by `nettool.tap` in a
process of its own or by `nettool.embed` in somebody's program.  Never: a signal, a command line, the process's end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger, LogLevel
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
        self.live = Live(settings)
        self.broker = Broker(self.live)
        self.peers = PeerFactory(self.broker, self.live, reactor)
        self.listeners: list[Listener] = []
        self._ended: Deferred[None] | None = None
        for number, where in enumerate(listen, 1):
            endpoint = _endpoint(reactor, where) if isinstance(where, str) else where
            listener = Listener(where if isinstance(where, str) else "", endpoint, self.peers)
            listener.setName(f"listener {number}")
            listener.setServiceParent(self)
            self.listeners.append(listener)

    def say_where(self) -> None:
        """Say where it listens: whoever waits for this line may connect, and may send a signal."""
        if self.live.peers.on_name_taken is OnNameTaken.TAKEOVER:
            self._log.warn(
                "on-name-taken is takeover: whoever can connect can take over any name", event="names-unguarded"
            )
        for listener in self.listeners:
            self._log.info(
                "{node} listening on {where}",
                event="listening",
                node=self.live.node.name.decode(),
                where=listener.where,
            )

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
        try:
            await super().stopService()
            await self.peers.drain()
        except Exception:  # a fault of ours must not cost the totals too
            self._log.failure("the drain failed", level=LogLevel.error, event="drain-failed")
            self.peers.abort()
        closed = {reason.value.decode(): count for reason, count in self.peers.closed.items()}
        self._log.info("connections closed: {closed}", event="closed", closed=closed)
        self._log.info("totals: {ledger}", event="totals", ledger=self.broker.snapshot())

    def abort(self) -> None:
        """Cut the drain short."""
        self._log.warn("stopping at once", event="stopping-at-once")
        self.peers.abort()


class Listener(Service):
    """One endpoint on which peers connect."""

    _log = Logger()

    def __init__(self, description: str, endpoint: IStreamServerEndpoint, factory: PeerFactory) -> None:
        """`description` is the endpoint's string, or empty where it was made without one."""
        scheme = description.partition(":")[0]
        self._scheme = "" if scheme == "systemd" else scheme  # which tells how it came to be bound, not what it is
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
            self._log.critical(
                "cannot listen on {where}: {error}",
                event="cannot-listen",
                where=self._description,
                error=str(failure.value),
            )

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
