"""
Where the whole is built: options, services, signals.

In: a command line.  Out: a service, ready to be started by twistd, twist or a test.  Never: a line.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from nettool import __version__
from nettool._reactor import process_reactor
from nettool.broker.broker import Broker
from nettool.errors import SettingError
from nettool.peers.factory import PeerFactory
from nettool.settings import (
    BACKLOG,
    MIB,
    Delivery,
    Live,
    Node,
    OnNameTaken,
    Peers,
    Settings,
    TopicOverflow,
    parse_count,
    parse_duration,
    parse_size,
)
from nettool.wire.names import is_name, name_fault

DEFAULT_LISTEN = "tcp:6388:interface=127.0.0.1"

# sysexits.h
EX_UNAVAILABLE = 69
EX_CONFIG = 78


def _parse_name(text: str) -> bytes:
    name = text.encode("utf-8", "surrogateescape")
    fault = name_fault(name)
    if fault:
        raise SettingError(f"expected a name, and {fault}; not {text!r}")
    return name


def _parse_dir(text: str) -> str:
    if os.path.exists(text) and not os.path.isdir(text):
        raise SettingError(f"expected a directory, which {text!r} is not")
    return text


def _choice(kind: type[TopicOverflow] | type[OnNameTaken]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise SettingError(f"expected {' or '.join(choice.value for choice in kind)}, not {text!r}") from None

    return parse


# Option, group and field of the settings, how it is read, and what --help says.
TABLE: Sequence[tuple[str, str, str, Callable[[str], Any], str]] = (
    ("node-name", "node", "name", _parse_name, "This node's name. [default: the host's short name]"),
    (
        "state-dir",
        "node",
        "state_dir",
        _parse_dir,
        "Where the node keeps what is its own. [default: none]",
    ),
    (
        "drain-timeout",
        "node",
        "drain_timeout",
        parse_duration,
        "Time to flush, at the end. [default: 10s]",
    ),
    ("max-line", "peers", "max_line", parse_size, "Longest line, without its end. [default: 64KiB]"),
    ("max-peers", "peers", "max_peers", parse_count, "Connections, logged in or not; 0 is unlimited. [default: 10000]"),
    ("max-addresses", "peers", "max_addresses", parse_count, "Addresses in one line. [default: 100]"),
    ("max-joins", "peers", "max_joins", parse_count, "Topics that one peer hears. [default: 1000]"),
    ("login-timeout", "peers", "login_timeout", parse_duration, "Time to log in. [default: 10s]"),
    ("on-name-taken", "peers", "on_name_taken", _choice(OnNameTaken), "reject or takeover. [default: reject]"),
    ("outbox-bytes", "delivery", "outbox_bytes", parse_size, "Bound of each outbox, for each kind. [default: 4MiB]"),
    ("direct-patience", "delivery", "direct_patience", parse_duration, "Wait for a full name. [default: 5s]"),
    ("topic-patience", "delivery", "topic_patience", parse_duration, "Wait for a full hearer. [default: 100ms]"),
    (
        "topic-overflow",
        "delivery",
        "topic_overflow",
        _choice(TopicOverflow),
        "What then: drop-oldest or disconnect. [default: drop-oldest]",
    ),
    (
        "stall-timeout",
        "delivery",
        "stall_timeout",
        parse_duration,
        "Abort who reads nothing so long. [default: 30s]",
    ),
)


class Options(UsageOptions):
    """`twistd nettool`'s options.

    A mistake is told in one line on standard error, without a traceback, and the process ends with status 78.
    """

    synopsis = "[options]"
    longdesc = (
        "Routes lines of text between named peers. Connect with nc, say a name, then `name: text`. Times are written "
        "100ms, 10s, 2m or forever; sizes 64KiB, 4MiB or plain bytes."
    )
    optParameters: ClassVar = [[option, None, None, text] for option, _, _, _, text in TABLE]

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.settings = Settings()

    def opt_listen(self, endpoint: str) -> None:
        """Where peers connect: a Twisted server endpoint string, such as tcp:6388, unix:/run/nettool.sock or
        ssl:6390:privateKey=key.pem:certKey=cert.pem; may be given several times.
        [default: tcp:6388:interface=127.0.0.1]"""
        self.listen.append(endpoint)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"nettool {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, or end the process with one line that says what is wrong."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            _end(EX_CONFIG, str(error))

    def parseArgs(self, *words: str) -> None:
        """There are no arguments."""
        if words:
            raise UsageError(f"unexpected argument {words[0]!r}; see `twistd nettool --help`")

    def postOptions(self) -> None:
        """Make settings of the options, and check them."""
        changes: dict[str, dict[str, Any]] = {"node": {}, "peers": {}, "delivery": {}}
        mistakes = []
        for option, group, key, parse, _ in TABLE:
            text = self[option]
            if text is not None:
                try:
                    changes[group][key] = parse(text)
                except SettingError as error:
                    mistakes.append(f"{option}: {error}")
        changes["node"].setdefault("name", _host_name())
        self.settings = Settings(
            replace(Node(), **changes["node"]),
            replace(Peers(), **changes["peers"]),
            replace(Delivery(), **changes["delivery"]),
        )
        mistakes = mistakes or self.settings.check()
        if mistakes:
            raise UsageError("; ".join(mistakes))


def makeService(options: Options, reactor: Any = None) -> NodeService:
    """A whole node, not yet started.

    Without a reactor it is the process's own node: it uses the process's reactor, takes TERM and INT, and tunes the
    allocator.  With one, a `MemoryReactorClock` for example, it touches nothing else.
    """
    own_process = reactor is None
    if reactor is None:
        reactor = process_reactor()
        _raise_allocator_thresholds()
    node = NodeService(options.settings, reactor)
    for number, description in enumerate(options.listen or [DEFAULT_LISTEN], 1):
        try:
            endpoint = serverFromString(reactor, _with_backlog(description))
        except Exception as error:  # whatever the endpoint's parser, or the files that it names, bring about
            _end(EX_CONFIG, f"listen: {description!r} is not an endpoint that can be used: {_reason(error)}")
        listener = Listener(description, endpoint, node.peers)
        listener.setName(f"listener {number}")
        node.addService(listener)
    if own_process:
        node.addService(Signals(reactor, node))
    reactor.callWhenRunning(node.say_where)
    return node


class NodeService(MultiService):
    """A node: its broker, its peers, its listeners.

    Invariant: all its listeners are bound before any accepts; when it has stopped, every line it accepted is in the
    ledger as delivered, returned or dropped.
    """

    _log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        super().__init__()
        self.setName("nettool")
        self.live = Live(settings)
        self.broker = Broker(self.live)
        self.peers = PeerFactory(self.broker, self.live, reactor)

    def privilegedStartService(self) -> None:
        """Bind all listeners, or end the process with one line that says which could not be."""
        try:
            super().privilegedStartService()
        except SettingError as error:
            _end(EX_CONFIG, f"listen: {error}")
        except (CannotListenError, OSError) as error:
            self._log.critical("cannot listen: {error}", error=str(error))  # where standard error is nobody's
            _end(EX_UNAVAILABLE, f"listen: {error}")

    def say_where(self) -> None:
        """Say where it listens: whoever waits for this line may connect, and may send a signal."""
        if self.live.peers.on_name_taken is OnNameTaken.TAKEOVER:
            self._log.warn("on-name-taken is takeover: whoever can connect can take over any name")
        for service in self:
            if isinstance(service, Listener):
                self._log.info("{node} listening on {where}", node=self.live.node.name.decode(), where=service.where)

    def stopService(self) -> Deferred[None]:
        """Stop accepting, then drain."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._log.info("draining {count} connections", count=len(self.peers.connections))
        try:
            await super().stopService()
            await self.peers.drain()
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
    """One endpoint on which peers connect."""

    def __init__(self, description: str, endpoint: IStreamServerEndpoint, factory: PeerFactory) -> None:
        self._description = description
        self._endpoint = endpoint
        self._factory = factory
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Bind; a failure is raised here, and not logged while the node lives on deaf."""
        self._listen()

    def startService(self) -> None:
        """Bind, where nobody asked for it before."""
        super().startService()
        if self.port is None:
            self._listen()

    def _listen(self) -> None:
        failures: list[Any] = []
        self._endpoint.listen(self._factory).addCallbacks(self._listening, failures.append)
        if failures and failures[0].check(OverflowError):  # a port that there is not
            raise SettingError(
                f"{self._description!r} is not an endpoint that can be used: {_reason(failures[0].value)}"
            )
        if failures:
            failures[0].raiseException()

    def _listening(self, port: IListeningPort) -> None:
        self.port = port

    def stopService(self) -> Deferred[Any]:
        """Accept no more."""
        super().stopService()
        port, self.port = self.port, None
        stopped = None if port is None else port.stopListening()
        return gatherResults([stopped] if isinstance(stopped, Deferred) else [])

    @property
    def where(self) -> str:
        """The address that was bound, as an endpoint string: the real port where 0 was asked for."""
        scheme = self._description.partition(":")[0]
        if self.port is None:
            return self._description
        address: Any = self.port.getHost()
        name = getattr(address, "name", None)
        if name is not None:
            return f"{scheme}:{name.decode() if isinstance(name, bytes) else name}"
        return f"{scheme}:{address.host}:{address.port}"


class Signals(Service):
    """TERM and INT drain the node; a second one stops it at once.

    The handlers are ours, since twistd ends by the signal that stopped it, and a drained node ends with status 0.
    """

    def __init__(self, reactor: Any, node: NodeService) -> None:
        self.setName("signals")
        self._reactor = reactor
        self._node = node
        self._stopping = False

    def startService(self) -> None:
        """Install them once the reactor has installed its own."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._stop)

    def _stop(self) -> None:
        if self._stopping:
            self._node.abort()
        else:
            self._stopping = True
            self._reactor.stop()


def _with_backlog(description: str) -> str:
    """The endpoint with a backlog in the thousands, if its kind has one and none was asked for."""
    scheme = description.partition(":")[0]
    if scheme not in ("tcp", "tcp6", "ssl", "tls", "unix") or "backlog=" in description:
        return description
    return f"{description}:backlog={BACKLOG}"


def _host_name() -> bytes:
    name = socket.gethostname().partition(".")[0].encode()
    return name if is_name(name) else b"node"


def _raise_allocator_thresholds() -> None:
    """Let glibc keep what it is given back: otherwise each read's memory is faulted in anew.

    One to one 7.1 to 12.9 M lines/s.  It works since glibc raises its mmap and trim thresholds to the size of the
    largest block that was freed.  It is for the whole process, so it is done for a node's own process only.
    """
    block = bytes(8 * MIB)
    del block


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _end(status: int, message: str) -> NoReturn:
    """End the process: a mistake is told in one line, for the one who made it."""
    # Not sys.stderr: once twistd has begun to log, that is its log.
    print(f"nettool: {message}", file=sys.__stderr__)
    raise SystemExit(status)
