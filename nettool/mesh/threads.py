"""
The mesh for programs that run no reactor.

In: blocking calls, from any thread.  Out: their results, or their errors.  Never: a lock held while it waits; something
that arrived for a call that was interrupted, and that nobody has.

Each call crosses over to the reactor's thread once; `send_many` and `recv_many` cross once for many envelopes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Self

from twisted.internet.defer import Deferred, succeed

from nettool._reactor import process_reactor
from nettool.mesh.connection import CLOSE_TIMEOUT, Connection
from nettool.mesh.crossing import Crossing, check_process
from nettool.mesh.envelope import ConnectionStats, Envelope, Event
from nettool.mesh.envelopes import Envelopes
from nettool.mesh.errors import MeshClosed, MeshError
from nettool.mesh.mesh import Mesh
from nettool.mesh.transports import transport as twisted_transport

NO_ROOM = "there was no room"
NOT_ENDED = "the connection did not end"


class ThreadedConnection:
    """See `IConnection`; its methods block."""

    def __init__(self, crossing: Crossing, connection: Any) -> None:
        self._crossing = crossing
        self.inner = connection
        self._wait_for_end: list[Deferred[BaseException]] = []
        """Those who do, in the reactor's thread."""
        self._to_be_told = False

    @property
    def local_endpoint(self) -> str:
        """This end's address."""
        return str(self.inner.local_endpoint)

    @property
    def remote_endpoint(self) -> str:
        """The other end's address."""
        return str(self.inner.remote_endpoint)

    def send(self, payload: bytes, timeout: float | None = None) -> None:
        """Send a payload, when there is room; after `timeout` seconds, the built-in `TimeoutError`."""
        self._crossing.call(lambda: _in_time(self.inner.send(payload), timeout, NO_ROOM))

    def recv(self, timeout: float | None = None) -> bytes:
        """The next payload."""
        payload: bytes = self._crossing.call(self.inner.recv, timeout, put_back=self.inner.put_back)
        return payload

    def lost(self, timeout: float | None = None) -> BaseException:
        """Wait until it has ended, and say why; after `timeout` seconds, the built-in `TimeoutError`.

        Outside a mesh the other side's end is noticed only while somebody waits for `recv`, or when something is sent.
        """
        reason: BaseException = self._crossing.call(lambda: _in_time(self._end(), timeout, NOT_ENDED))
        return reason

    def _end(self) -> Deferred[BaseException]:
        """Its reason, for one who may give up: the connection's own Deferred is for all, and cannot be cancelled."""
        if self.inner.reason is not None:
            return succeed(self.inner.reason)
        if not self._to_be_told:
            self._to_be_told = True
            self.inner.lost.addBoth(self._ended)
        ended: Deferred[BaseException] = Deferred(self._wait_for_end.remove)
        self._wait_for_end.append(ended)
        return ended

    def _ended(self, passed_on: Any) -> Any:
        for ended in self._wait_for_end:
            ended.callback(self.inner.reason)
        return passed_on

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what is queued, and end."""
        self._crossing.call(self.inner.close, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ThreadedListener:
    """See `IListener`; its methods block."""

    def __init__(self, crossing: Crossing, listener: Any) -> None:
        self._crossing = crossing
        self._listener = listener
        self.endpoint: str = listener.endpoint

    def accept(self, timeout: float | None = None) -> ThreadedConnection:
        """The next connection; see `IListener`."""
        connection = self._crossing.call(self._listener.accept, timeout, put_back=self._listener.made)
        return ThreadedConnection(self._crossing, connection)

    def __iter__(self) -> Iterator[ThreadedConnection]:
        """Each connection that nobody else accepts, until the listener is closed."""
        while True:
            check_process()  # or a forked child's loop would end as if the listener was closed
            try:
                connection = self.accept()
            except MeshClosed:
                return
            yield connection

    def close(self) -> None:
        """Listen no more."""
        self._crossing.call(self._listener.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ThreadedTransport:
    """See `ITransport`; its methods block."""

    def __init__(self, crossing: Crossing, inner: Any) -> None:
        self._crossing = crossing
        self._transport = inner
        self.schemes = inner.schemes

    def listen(self, address: str) -> ThreadedListener:
        """A listener at this address; see `ITransport`."""
        return ThreadedListener(self._crossing, self._crossing.call(self._transport.listen, address, put_back=_close))

    def connect(self, address: str) -> ThreadedConnection:
        """A connection to this address; see `ITransport`."""
        connection = self._crossing.call(self._transport.connect, address, put_back=_abort)
        return ThreadedConnection(self._crossing, connection)


def _close(listener: Any) -> None:
    listener.close()


def _abort(connection: Any) -> None:
    connection.abort()


def transport(scheme: str = "", **options: Any) -> ThreadedTransport:
    """As `nettool.mesh.transport`, for a `ThreadedMesh`."""
    crossing = Crossing()
    return ThreadedTransport(crossing, twisted_transport(scheme, **options))


class ThreadedMesh:
    """A `Mesh` whose calls block, for any number of threads; `with` closes it.

    It takes the arguments of `Mesh`, and its calls are those of `Mesh`, with the same errors.  It uses the reactor that
    runs in this process.  If none does, it runs the process's in a daemon thread, without signal handlers, once for all
    meshes, and never stops it; a program that wants to run the reactor itself starts it first.

    In the reactor's own thread every call that would wait raises `WrongThread`; in a forked child, `MeshClosed`.
    """

    def __init__(self, *capacities: int, **options: Any) -> None:
        self._crossing = Crossing()
        self._call = self._crossing.call
        self._mesh: Mesh = self._call(lambda: Mesh(*capacities, **options))

    def add(self, connection: ThreadedConnection, id: Hashable) -> None:
        """See `Mesh.add`."""
        if not isinstance(connection, ThreadedConnection):
            raise TypeError(f"a ThreadedMesh takes connections of nettool.mesh.threads.transport, not {connection!r}")
        self._call(self._mesh.add, connection.inner, id)

    def remove(self, id: Hashable, timeout: float | None = None) -> ThreadedConnection:
        """See `Mesh.remove`."""

        def put_back(connection: Connection) -> None:
            try:
                self._mesh.add(connection, id)
            except MeshError:
                connection.abort()  # the mesh is closed, or the id taken: nobody has the connection

        return ThreadedConnection(self._crossing, self._call(self._mesh.remove, id, timeout, put_back=put_back))

    def send(self, envelope: Envelope) -> None:
        """See `Mesh.send`."""
        self._call(self._mesh.send, envelope)

    def send_when_ready(self, envelope: Envelope, timeout: float | None = None) -> None:
        """See `Mesh.send_when_ready`; after `timeout` seconds, the built-in `TimeoutError`."""
        self._call(lambda: _in_time(self._mesh.send_when_ready(envelope), timeout, NO_ROOM))

    def send_many(self, envelopes: Iterable[Envelope]) -> None:
        """See `Mesh.send_many`."""
        self._call(self._mesh.send_many, envelopes if isinstance(envelopes, Envelopes) else list(envelopes))

    def recv(self, timeout: float | None = None) -> Envelope:
        """See `Mesh.recv`."""
        envelope: Envelope = self._call(self._mesh.recv, timeout, put_back=self._put_back_one)
        return envelope

    def recv_many(self, limit: int, timeout: float | None = None) -> Envelopes:
        """See `Mesh.recv_many`."""
        envelopes: Envelopes = self._call(self._mesh.recv_many, limit, timeout, put_back=self._mesh.put_back)
        return envelopes

    def _put_back_one(self, envelope: Envelope) -> None:
        self._mesh.put_back([envelope])

    def __iter__(self) -> Iterator[Envelope]:
        """Every envelope that nobody else receives, until the mesh is closed and all was received."""
        while True:
            check_process()  # or a forked child's loop would end as if the mesh was closed
            try:
                envelope = self.recv()
            except MeshClosed:
                return
            yield envelope

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """See `Mesh.subscribe`: it is called in the reactor's thread, and must neither wait nor call this mesh."""
        unsubscribe: Callable[[], None] = self._call(self._mesh.subscribe, callback)
        return lambda: self._call(unsubscribe)

    def stats(self) -> dict[Hashable, ConnectionStats]:
        """See `Mesh.stats`."""
        stats: dict[Hashable, ConnectionStats] = self._call(self._mesh.stats)
        return stats

    def sender(self) -> ThreadedSender:
        """An object that can only send."""
        check_process()
        return ThreadedSender(self)

    def receiver(self) -> ThreadedReceiver:
        """An object that can only receive."""
        check_process()
        return ThreadedReceiver(self)

    def lifecycle(self) -> ThreadedLifecycle:
        """An object that can only add and remove connections."""
        check_process()
        return ThreadedLifecycle(self)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """See `Mesh.close`; every thread that waits for an envelope gets `MeshClosed`."""
        self._call(self._mesh.close, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _in_time(deferred: Deferred[Any], timeout: float | None, otherwise: str) -> Deferred[Any]:
    if timeout is not None:
        deferred.addTimeout(max(timeout, 0), process_reactor(), lambda *_: _raise_timeout(otherwise, timeout))
    return deferred


def _raise_timeout(otherwise: str, timeout: float) -> None:
    raise TimeoutError(f"{otherwise} within {timeout:g} s")


class ThreadedSender:
    """Sends, and does nothing else; see `ThreadedMesh`."""

    def __init__(self, mesh: ThreadedMesh) -> None:
        self.send = mesh.send
        self.send_when_ready = mesh.send_when_ready
        self.send_many = mesh.send_many


class ThreadedReceiver:
    """Receives, and does nothing else; see `ThreadedMesh`."""

    def __init__(self, mesh: ThreadedMesh) -> None:
        self.recv = mesh.recv
        self.recv_many = mesh.recv_many
        self._iterate = mesh.__iter__

    def __iter__(self) -> Iterator[Envelope]:
        """See `ThreadedMesh.__iter__`."""
        return self._iterate()


class ThreadedLifecycle:
    """Adds and removes connections, and is told of them; see `ThreadedMesh`."""

    def __init__(self, mesh: ThreadedMesh) -> None:
        self.add = mesh.add
        self.remove = mesh.remove
        self.subscribe = mesh.subscribe
