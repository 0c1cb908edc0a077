"""Reloads of a node in the test's own process, on real sockets: whole or not at all, and nobody is dropped.

The clients are plain sockets.  They connect while the reactor stands still, and wait for answers in a thread.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import endpoints, reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.python.systemd import ListenFDs

from nettool.errors import SettingError
from nettool.reloading import Door, ReloadableNode
from nettool.settings import KIB, Settings
from nettool.tap import DOORS, Options, makeService
from tests.real.node import EndOfInput, RealPeer, free_port
from tests.support.certificates import certificate_and_key, write_key, write_pair

LOCAL = "interface=127.0.0.1"


class Answers(Factory):
    """What answers at a test's door: everybody is told its word."""

    noisy = False

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.started = 0

    def buildProtocol(self, addr: object) -> Protocol:
        word = self.word

        class Answer(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(word + b"\n")
                self.transport.loseConnection()

        return Answer()

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.started -= 1


class Told:
    """A node that is told by a file, and its clients."""

    def __init__(self, directory: Path, text: str, *flags: str, doors: Any = DOORS) -> None:
        self.path = directory / "nettool.toml"
        self.path.write_text(text)
        options = Options({})
        options.parseOptions(["--config", str(self.path), "--node-name=node1", *flags])
        self.node: ReloadableNode = makeService(options, reactor, doors)
        self.node.privilegedStartService()
        self.node.startService()
        self.events: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.peers: list[RealPeer] = []

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("nettool"):
            self.events.append(event["log_format"].format(**event) if event.get("log_format") else "")

    def reload(self, text: str) -> str:
        self.path.write_text(text)
        return self.node.reload()

    @property
    def ports(self) -> list[Any]:
        return [listener.port for listener in self.node.listeners]

    def connect(self, number: int = 0, context: ssl.SSLContext | None = None) -> RealPeer:
        """Connect to a listener, by its number."""
        address = self.ports[number].getHost()
        where = f"unix:{address.name.decode()}" if hasattr(address, "name") else f"tcp:127.0.0.1:{address.port}"
        peer = RealPeer.connect(where)
        self.peers.append(peer)
        return peer

    async def login(self, name: str, number: int = 0) -> RealPeer:
        peer = self.connect(number)
        await deferToThread(peer.login, name)
        return peer

    async def stop(self) -> None:
        for peer in self.peers:
            peer.close()
        await self.node.stopService()
        globalLogPublisher.removeObserver(self._log)


Tell = Callable[..., Told]


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Tell]:
    """Nodes, each told by a file in a directory of its own."""
    nodes: list[Told] = []

    def start(text: str, *flags: str, doors: Any = DOORS) -> Told:
        directory = tmp_path / f"node{len(nodes)}"
        directory.mkdir()
        nodes.append(Told(directory, text, *flags, doors=doors))
        return nodes[-1]

    yield start
    for node in nodes:
        pytest_twisted.blockon(Deferred.fromCoroutine(node.stop()))


def listen(*descriptions: str, more: str = "") -> str:
    return f"[peers]\nlisten = {json.dumps(descriptions)}\n{more}"


async def ask(peer: RealPeer, *lines: bytes) -> list[bytes]:
    """Say lines, and all that is heard until they have been worked off."""
    peer.say(*lines)
    return await deferToThread(peer.barrier)


async def expect_refused_connection(port: int) -> None:
    def connect() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    await deferToThread(connect)


# --- limits


async def test_a_limit_is_in_force_on_old_and_new_connections(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    alice = await told.login("alice")
    ports = told.ports
    said = told.reload(listen(f"tcp:0:{LOCAL}", more='max-line = "64"\n'))
    assert said == "reloaded: peers.max-line: 64KiB -> 64"
    assert told.ports == ports
    bob = await told.login("bob")
    for peer in (alice, bob):
        assert await ask(peer, b"x" * 65) == [b"error line-too-long: 64"]
    assert told.events[-1] == said


async def test_a_reload_that_changes_nothing_says_so(tell: Tell) -> None:
    text = listen(f"tcp:0:{LOCAL}")
    told = tell(text)
    ports = told.ports
    assert told.reload(text) == told.reload("# a comment\n" + text) == "reloaded: nothing changed"
    assert told.ports == ports
    assert (told.node.reloads.applied, told.node.reloads.refused) == (2, 0)


async def test_nobody_is_dropped_because_a_limit_became_smaller(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    alice, bob = await told.login("alice"), await told.login("bob")
    assert await ask(alice, b"/join #a, #b, #c") == [b"ok join #a", b"ok join #b", b"ok join #c"]
    assert await ask(alice, b"bob, #x, #y: before") == []
    told.reload(listen(f"tcp:0:{LOCAL}", more="max-peers = 1\nmax-joins = 1\nmax-addresses = 1\n"))
    assert await ask(bob, b"#a: a", b"#c: c") == [b"from alice: before"]
    assert await ask(alice, b"/join #d", b"bob, #x, #y: no", b"bob: hi") == [
        b"from bob to #a: a",
        b"from bob to #c: c",
        b"error too-many-topics: 1",
        b"error too-many-addresses: 1",
    ]
    assert await ask(bob) == [b"from alice: hi"]
    carol = told.connect()
    assert await deferToThread(carol.to_end) == [b"error too-many-peers: 1", b"bye too-many-peers"]


async def test_flags_go_before_the_file_at_a_reload_too(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"), "--max-line=100")
    assert told.reload(listen(f"tcp:0:{LOCAL}", more='max-line = "200"\n')) == "reloaded: nothing changed"
    assert told.node.live.peers.max_line == 100


async def test_what_needs_a_restart_stays_and_is_told(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"), "--state-dir=/state")
    told.node.configuration._flags.pop("node-name")
    said = told.reload(listen(f"tcp:0:{LOCAL}") + '[node]\nname = "other"\ndrain-timeout = "1s"\n')
    assert said == "reloaded: node.drain-timeout: 10s -> 1s; node.name stays node1 until a restart makes it other"
    node = told.node.live.node
    assert (node.name, node.state_dir, node.drain_timeout) == (b"node1", "/state", 1.0)
    assert "node.name stays node1 until a restart makes it other" in told.events
    await told.login("alice")


# --- what is refused


@pytest.mark.parametrize(
    ("text", "told_of"),
    [
        ("[peers\n", "expected TOML"),
        ("[peers]\nmax-lines = 1\n", "peers.max-lines: there is no such key"),
        ('[peers]\nmax-line = "x"\nmax-peers = "y"\n', "peers.max-peers: expected a whole number"),
        ('[delivery]\noutbox-bytes = "1KiB"\n', "delivery.outbox-bytes: expected 0"),
        ('[peers]\nlisten = "tcp:x"\n', "peers.listen: expected an endpoint"),
        ('[manhole]\nlisten = "tcp:1"\n', "manhole.authorized-keys: expected a file"),
    ],
)
async def test_a_bad_file_changes_nothing_and_is_told(tell: Tell, text: str, told_of: str) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    alice = await told.login("alice")
    before, ports = told.node.live.settings, told.ports
    said = told.reload('[node]\ndrain-timeout = "1s"\n' + text)
    assert said.startswith("reload refused, and nothing changed: ") and told_of in said
    assert said.isprintable()
    assert told.node.live.settings is before and told.ports == ports
    assert await ask(alice) == []
    assert told.events[-1] == said
    reloads = told.node.reloads
    assert (reloads.applied, reloads.refused, reloads.last_was_applied, reloads.said) == (0, 1, False, said)
    assert reloads.last_at > reloads.in_force_since
    assert told.reload(listen(f"tcp:0:{LOCAL}", more="max-peers = 9\n")).startswith("reloaded: peers.max-peers: ")
    reloads = told.node.reloads
    assert (reloads.applied, reloads.refused, reloads.last_was_applied) == (1, 1, True)
    assert reloads.in_force_since == reloads.last_at


async def test_a_file_that_is_gone_or_none_changes_nothing(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    digest = told.node.reloads.digest
    told.path.unlink()
    assert "nettool.toml: expected a file that can be read: No such file" in told.node.reload()
    told.path.mkdir()
    assert "it is a directory" in told.node.reload()
    told.path.rmdir()
    told.path.write_bytes(b"\xff")
    assert "expected UTF-8" in told.node.reload()
    assert told.node.reloads.digest == digest
    await told.login("alice")


async def test_a_port_that_is_taken_changes_nothing_at_all(tell: Tell) -> None:
    first, spare = f"tcp:0:{LOCAL}", f"tcp:{free_port()}:{LOCAL}"
    told = tell(listen(first))
    alice = await told.login("alice")
    before, ports = told.node.live.settings, told.ports
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = listen(spare, f"tcp:{taken.getsockname()[1]}:{LOCAL}", more='max-line = "64"\n')
        said = told.reload(text)
    assert "refused" in said and "in use" in said
    assert told.node.live.settings is before and told.ports == ports
    assert [listener.description for listener in told.node.listeners] == [first]
    assert await ask(alice, b"x" * 65) == [b"error bad-line: " + b"x" * 60]
    await told.login("bob")
    await expect_refused_connection(int(spare.split(":")[1]))
    assert told.node.reload().startswith("reloaded: "), "the port is free, and what was bound for nothing is too"


async def test_while_it_drains_and_before_it_runs_nothing_is_reloaded(tell: Tell) -> None:
    text = listen(f"tcp:0:{LOCAL}")
    told = tell(text)
    options = Options({})
    options.parseOptions(["--config", str(told.path)])
    assert makeService(options, reactor).reload().endswith("the node does not run yet")
    ended = told.node.stopService()
    assert told.reload(text).endswith("the node is draining")
    await ended
    assert told.reload(text).endswith("the node is draining")
    assert told.node.reloads.refused == 2


async def test_a_fault_of_ours_refuses_the_reload_and_is_logged(tell: Tell, logged_failures: Any) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    told.node.configuration.read = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    assert told.node.reload().endswith("a fault of the node's own: ZeroDivisionError")
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


async def test_what_is_called_after_a_reload_cannot_undo_it(tell: Tell, logged_failures: Any) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    seen: list[Settings] = []
    told.node.when_reloaded += [lambda settings: 1 / 0, seen.append]
    told.reload(listen(f"tcp:0:{LOCAL}", more="max-peers = 9\n"))
    assert [settings.peers.max_peers for settings in seen] == [9]
    assert told.node.reloads.last_was_applied
    told.reload("nonsense")
    assert len(seen) == 1, "nothing is called when nothing changed"
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


# --- listeners


async def test_new_addresses_are_open_and_old_ones_closed_and_their_peers_stay(tell: Tell) -> None:
    old = f"tcp:0:{LOCAL}:backlog=7"
    told = tell(listen(old))
    alice = await told.login("alice")
    was = told.ports[0].getHost().port
    said = told.reload(listen(f"tcp:{free_port()}:{LOCAL}", f"tcp:{free_port()}:{LOCAL}"))
    assert said.count(": opened") == 2 and said.count(": closed") == 1
    bob, carol = await told.login("bob", 0), await told.login("carol", 1)
    assert await ask(bob, b"alice, carol: hi") == []
    assert await ask(alice) == await ask(carol) == [b"from bob: hi"]
    await expect_refused_connection(was)
    names = [listener.name for listener in told.node.listeners]
    assert names == ["listener 2", "listener 3"] and all(told.node.getServiceNamed(name) for name in names)
    listening = [event for event in told.events if "listening on" in event]
    assert listening == [f"node1 listening on {listener.where}" for listener in told.node.listeners]


async def test_who_has_connected_already_is_accepted_before_a_port_is_closed(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    early = [told.connect() for _ in range(30)]  # the kernel has them; the reactor has not turned
    told.reload(listen(f"tcp:{free_port()}:{LOCAL}"))
    for number, peer in enumerate(early):
        await deferToThread(peer.login, f"p{number}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tcp:{port}", "tcp:{port}:interface=127.0.0.1"),
        ("tcp:{port}:interface=127.0.0.1", "tcp:{port}"),
        ("tcp:{port}", "tcp:{port}:interface=0.0.0.0"),
        ("tcp:{port}", "tcp6:{port}"),
    ],
)
async def test_an_address_may_become_one_that_overlaps_with_it(tell: Tell, before: str, after: str) -> None:
    port = free_port()
    told = tell(listen(before.format(port=port)))
    alice = await told.login("alice")
    early = [told.connect() for _ in range(3)]
    assert told.reload(listen(after.format(port=port))).startswith("reloaded: ")
    late = [told.connect() for _ in range(3)]
    for number, peer in enumerate(early + late):
        await deferToThread(peer.login, f"p{number}")
    assert await ask(alice, b"p0: hi") == []
    # What made this possible is taken back: it would hide that the address is in use.
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
    assert told.ports[0].socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
    assert told.reload(listen(before.format(port=port))).startswith("reloaded: ")
    await told.login("back")


async def test_an_address_that_overlaps_with_somebody_elses_is_refused(tell: Tell) -> None:
    port = free_port()
    told = tell(listen(f"tcp:{port}:{LOCAL}"))
    ports = told.ports
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))
        other.listen()
        assert "in use" in told.reload(listen(f"tcp:{port}"))
    assert told.ports == ports
    assert told.ports[0].socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
    await told.login("alice")


async def test_another_string_for_the_same_address_keeps_the_port(tell: Tell) -> None:
    port = free_port()
    told = tell(listen(f"tcp:{port}:{LOCAL}", f"tcp:0:{LOCAL}", f"tcp:0:{LOCAL}"))
    ports = told.ports
    early = told.connect()
    said = told.reload(listen(f"tcp:0:{LOCAL}", f"tcp:{port}:{LOCAL}:backlog=9", f"tcp:0:{LOCAL}"))
    assert "opened" not in said and "closed" not in said
    assert told.ports == [ports[1], ports[0], ports[2]]
    await deferToThread(early.login, "early")
    await told.login("late", 1)
    assert len(list(told.node)) == 3


async def test_what_only_wraps_another_endpoint_is_exchanged_like_it(tell: Tell) -> None:
    told = tell(listen(f"haproxy:tcp:0:{LOCAL}"))
    ports = told.ports

    def enter(name: str) -> RealPeer:
        peer = told.connect()
        peer.send(b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 6388\r\n")
        return peer.login(name)

    alice = await deferToThread(enter, "alice")
    assert "accepts on the port of" in told.reload(listen(f"haproxy:tcp:0:{LOCAL}:backlog=7"))
    assert told.ports == ports
    bob = await deferToThread(enter, "bob")
    assert await ask(bob, b"alice: hi") == []
    assert await ask(alice) == [b"from bob: hi"]


@pytest.mark.filterwarnings("ignore:.*<socket.socket")  # as above
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_follows_what_all_listeners_or_none_are_exchanged(tell: Tell, tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    ports = [free_port() for _ in range(2)]
    (tmp_path / "file").write_text("no socket")
    addresses = [
        *(f"tcp:{port}{rest}" for port in ports for rest in ("", f":{LOCAL}", ":interface=127.0.0.2", ":backlog=9")),
        *(f"tcp6:{port}" for port in ports),
        *(f"unix:{tmp_path}/{name}" for name in ("a", "b", "a:mode=600", "b:backlog=5", "file")),
    ]
    told = tell(listen(f"tcp:0:{LOCAL}"))
    alice = await told.login("alice")
    applied = 0
    for number in range(120):
        wanted = chance.sample(addresses, chance.randint(1, 3))
        before = list(told.node.listeners), told.ports
        said = told.reload(listen(*wanted, more=f"max-peers = {1000 + number}\n"))
        if said.startswith("reloaded: "):
            applied += 1
            assert [listener.description for listener in told.node.listeners] == wanted
            assert told.node.live.peers.max_peers == 1000 + number
        else:
            assert (list(told.node.listeners), told.ports) == before
            assert "in use" in said or "acquire lock" in said
            assert told.node.live.peers.max_peers != 1000 + number
        assert set(told.node) == set(told.node.listeners)
        bound = [port for port in reactor.getReaders() if getattr(port, "factory", None) is told.node.peers]  # type: ignore[attr-defined]
        assert sorted(map(id, bound)) == sorted(map(id, told.ports)), "nothing is left open"
        if not number % 10:
            for index, listener in enumerate(told.node.listeners):
                if "127.0.0.2" not in listener.description:
                    peer = await told.login(f"p{number}-{index}", index)
                    assert await deferToThread(peer.quit) == []
    assert 40 < applied < 120, "both happen often"
    assert await ask(alice) == []


async def test_the_same_port_twice_is_refused(tell: Tell) -> None:
    port = free_port()
    told = tell(listen(f"tcp:{port}:{LOCAL}"))
    for other in (f"tcp:{port}:{LOCAL}", f"tcp:{port}"):
        assert "in use" in told.reload(listen(f"tcp:{port}:{LOCAL}", other))
    await told.login("alice")


async def test_unix_sockets_come_and_go_with_their_files(tell: Tell, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    told = tell(listen(f"unix:{one}"))
    alice = await told.login("alice")
    told.reload(listen(f"unix:{two}", f"tcp:0:{LOCAL}"))
    bob = await told.login("bob")
    assert await ask(bob, b"alice: hi") == []
    assert await ask(alice) == [b"from bob: hi"]
    assert not one.exists() and not (tmp_path / "one.lock").is_symlink()
    two.unlink()
    assert told.reload(listen(f"unix:{one}", f"tcp:0:{LOCAL}")).startswith("reloaded: ")
    assert [event for event in told.events if "could not close" in event and str(two) in event]
    assert told.reload(listen(f"unix:{two}", f"tcp:0:{LOCAL}")).endswith(f"unix:{one}: closed")
    port = told.ports[0]
    told.reload(listen(f"unix:{two}:mode=600", f"tcp:0:{LOCAL}"))
    assert told.ports[0] is port
    assert stat.S_IMODE(two.stat().st_mode) == 0o600
    await told.login("carol")


# Twisted leaves a UNIX socket that it could not bind to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*<socket.socket")
async def test_a_path_that_is_taken_can_be_had_when_it_is_free(tell: Tell, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("somebody's")
    told = tell(listen(f"tcp:0:{LOCAL}"))
    for _ in range(2):
        said = told.reload(listen(f"tcp:0:{LOCAL}", f"unix:{path}"))
        assert "refused" in said and str(path) in said and "in use" in said
    assert path.read_text() == "somebody's"
    path.unlink()
    assert told.node.reload().startswith("reloaded: ")
    await told.login("alice", 1)
    assert "Cannot acquire lock" in told.reload(listen(f"unix:{path}", f"unix:{path}"))
    await told.login("bob", 1)


async def test_sockets_of_systemd_stay_and_are_not_taken_later(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        given.listen()
        number = os.dup(given.fileno())
        daemon = ListenFDs([number], ["peers"])
        monkeypatch.setattr(endpoints._SystemdParser, "_sddaemon", daemon)
        socket_of_systemd = "systemd:domain=INET:name=peers"
        told = tell(listen(socket_of_systemd))
        ports = told.ports
        assert told.reload(listen(socket_of_systemd, f"tcp:0:{LOCAL}")).startswith("reloaded: ")
        assert told.ports[0] is ports[0]
        await told.login("alice")
        told.reload(listen(f"tcp:0:{LOCAL}"))
        assert "peers.listen: " in (said := told.reload(listen(socket_of_systemd))) and "needs a restart" in said
        await told.login("bob")


class Slow:
    """An endpoint that takes its time."""

    def parseStreamServer(self, reactor: object, *args: object, **kwargs: object) -> Any:
        return self

    def listen(self, factory: object) -> Deferred[Any]:
        return Deferred()


async def test_an_endpoint_that_takes_its_time_needs_a_restart(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    monkeypatch.setattr(endpoints, "_matchPluginToPrefix", lambda plugins, kind: Slow())
    assert "takes its time to listen: it needs a restart" in told.reload(listen(f"tcp:0:{LOCAL}", "slow:1"))
    await told.login("alice")


async def test_two_reloads_follow_each_other(tell: Tell) -> None:
    told = tell(listen(f"tcp:0:{LOCAL}"))
    one, two = f"tcp:{free_port()}:{LOCAL}", f"tcp:{free_port()}:{LOCAL}"
    for first, second in ((one, two), (two, one), (one, one)):
        for where in (first, second):
            assert told.reload(listen(where)).startswith("reloaded: ")
            assert [listener.description for listener in told.node.listeners] == [where]
    await told.login("alice")


# --- certificates


def trusting(*certificates: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata="".join(pem.decode() for pem in certificates))


class Secure:
    """A peer over TLS."""

    def __init__(
        self, told: Told, context: ssl.SSLContext, name: str, host: str = "127.0.0.1", number: int = 0
    ) -> None:
        port = told.ports[number].getHost().port
        plain = socket.create_connection(("127.0.0.1", port), 30)
        try:
            self.peer = RealPeer(context.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise
        told.peers.append(self.peer)
        self.peer.login(name)
        self.certificate: Any = self.peer.stream.getpeercert(True)  # type: ignore[attr-defined]


def der(certificate: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.decode())


@pytest.mark.parametrize(("kind", "host"), [("ssl", "127.0.0.1"), ("tls", "node.example.org")])
async def test_new_connections_get_the_renewed_certificate_and_old_ones_stay(
    tell: Tell, tmp_path: Path, kind: str, host: str
) -> None:
    files = tmp_path / "tls"
    files.mkdir()
    key, certificate = write_pair(files, host)
    told = tell(listen(f"ssl:0:privateKey={key}:certKey={certificate}" if kind == "ssl" else f"tls:{files}:0"))
    first = certificate.read_bytes()
    alice = await deferToThread(Secure, told, trusting(first), "alice", host)
    assert alice.certificate == der(first)
    port = told.ports[0]
    assert told.node.reload() == "reloaded: nothing changed"
    write_pair(files, host)
    second = certificate.read_bytes()
    # Not before it is told to: what is on disk may be half of it.
    bob = await deferToThread(Secure, told, trusting(first), "bob", host)
    said = told.node.reload()
    assert "keys and certificates read again" in said and told.ports == [port]
    carol = await deferToThread(Secure, told, trusting(second), "carol", host)
    assert carol.certificate == der(second)
    assert await ask(alice.peer, b"bob, carol: hi") == []
    assert await ask(bob.peer) == await ask(carol.peer) == [b"from alice: hi"]
    assert told.node.reload() == "reloaded: nothing changed"


async def test_half_of_a_renewed_certificate_changes_nothing(tell: Tell, tmp_path: Path) -> None:
    key, certificate = write_pair(tmp_path)
    text = listen(f"ssl:0:privateKey={key}:certKey={certificate}:{LOCAL}")
    told = tell(text)
    first = certificate.read_bytes()
    for half in (certificate_and_key()[0], b"", b"nonsense"):
        certificate.write_bytes(half)
        assert "refused" in told.reload(text + 'max-line = "64"\n')
    certificate.unlink()
    assert "No such file" in told.node.reload()
    certificate.write_bytes(first)
    key.chmod(0o644)
    assert "whose mode is 0644" in told.node.reload()
    assert told.node.live.peers.max_line == 64 * KIB
    assert (await deferToThread(Secure, told, trusting(first), "alice")).certificate == der(first)
    key.chmod(0o600)
    assert told.node.reload() == "reloaded: peers.max-line: 64KiB -> 64"


async def test_certificates_in_other_files_keep_the_port(tell: Tell, tmp_path: Path) -> None:
    port = free_port()
    pems = [certificate_and_key() for _ in range(2)]
    paths = [write_key(tmp_path / f"{number}.pem", *pem) for number, pem in enumerate(pems)]
    told = tell(listen(f"ssl:{port}:privateKey={paths[0]}:{LOCAL}"))
    before = told.ports
    early = socket.create_connection(("127.0.0.1", port))
    assert "accepts on the port of" in told.reload(listen(f"ssl:{port}:privateKey={paths[1]}:{LOCAL}"))
    assert told.ports == before
    early.close()
    alice = await deferToThread(Secure, told, trusting(pems[1][0]), "alice")
    assert alice.certificate == der(pems[1][0])
    told.reload(listen(f"tcp:{port}:{LOCAL}"))
    assert told.ports == before
    await told.login("bob")


# --- doors

TOKEN = b"0123456789abcdef\n"


def doors(made: list[Answers]) -> list[Door]:
    """The peers' door, and one that answers with the name of a file."""

    def make(node: ReloadableNode, settings: Settings) -> Answers:
        if settings.web.token.endswith("bad"):
            raise SettingError("expected something good in it")
        made.append(Answers(Path(settings.web.token).name.encode()))
        return made[-1]

    others = [door for door in DOORS if door.key != "web.listen"]
    return [*others, Door("web.listen", make, "the web", depends_on=("web.token",))]


def web(where: str, token: Path | str = "") -> str:
    return listen(f"tcp:0:{LOCAL}") + f'[web]\nlisten = "{where}"\ntoken = "{token}"\n'


async def hears(told: Told, number: int = 1) -> list[bytes]:
    peer = told.connect(number)
    try:
        return await deferToThread(peer.to_end)
    finally:
        peer.close()


async def test_a_door_is_opened_answers_otherwise_and_is_shut(tell: Tell, tmp_path: Path) -> None:
    made: list[Answers] = []
    one, two, bad = (write_key(tmp_path / name, TOKEN) for name in ("one", "two", "bad"))
    told = tell(listen(f"tcp:0:{LOCAL}"), doors=doors(made))
    assert made == []
    told.reload(web(f"tcp:0:{LOCAL}", one))
    assert [listener.purpose for listener in told.node.listeners] == ["", "the web"]
    assert told.events[-2] == f"node1 listening on {told.node.listeners[1].where} for the web"
    assert await hears(told) == [b"one"]
    port = told.ports[1]
    assert told.reload(web(f"tcp:0:{LOCAL}", two)) == f"reloaded: web.token: {one} -> {two}"
    assert told.ports[1] is port and await hears(told) == [b"two"]
    assert [answers.started for answers in made] == [0, 1]
    assert "web.listen: expected something good in it" in told.reload(web(f"tcp:0:{LOCAL}", bad))
    assert await hears(told) == [b"two"]
    said = told.reload(web(f"tcp:{free_port()}:{LOCAL}", two))
    assert "opened" in said and "closed" in said and len(made) == 2
    assert await hears(told) == [b"two"]
    told.reload(web("", two))
    assert len(told.ports) == 1
    await told.login("alice")
    assert [answers.started for answers in made] == [0, 0]
    told.reload(web(f"tcp:0:{LOCAL}", one))
    assert await hears(told) == [b"one"]
    assert [answers.started for answers in made] == [0, 0, 1]


async def test_a_secret_that_is_another_in_the_same_file_makes_a_door_answer_otherwise(
    tell: Tell, tmp_path: Path
) -> None:
    made: list[Answers] = []
    token = write_key(tmp_path / "one", TOKEN)
    told = tell(web(f"tcp:0:{LOCAL}", token), doors=doors(made))
    assert told.node.reload() == "reloaded: nothing changed" and len(made) == 1
    token.write_bytes(TOKEN[::-1].strip())
    assert told.node.reload() == "reloaded: web.token: read again" and len(made) == 2
    for wrong in (b"", b"short", b"one two three four five", "0123456789abcdé".encode()):
        token.write_bytes(wrong)
        assert "web.token: expected 16 to 4096 characters" in told.node.reload() and len(made) == 2
    await hears(told)


async def test_a_door_with_renewed_certificates_is_started_once_and_stopped_once(tell: Tell, tmp_path: Path) -> None:
    made: list[Answers] = []
    token = write_key(tmp_path / "one", TOKEN)
    key, certificate = write_pair(tmp_path)
    where = f"ssl:0:privateKey={key}:certKey={certificate}:{LOCAL}"
    told = tell(web(where, token), doors=doors(made))
    for _ in range(3):
        write_pair(tmp_path)
        assert "keys and certificates read again" in told.node.reload()
        assert [answers.started for answers in made] == [1]
    told.reload(web("", token))
    assert [answers.started for answers in made] == [0]


async def test_a_port_may_change_what_it_is_for(tell: Tell, tmp_path: Path) -> None:
    made: list[Answers] = []
    port = free_port()
    told = tell(listen(f"tcp:{port}:{LOCAL}"), doors=doors(made))
    alice = await told.login("alice")
    before = told.ports[0]
    told.reload(web(f"tcp:{port}:{LOCAL}", write_key(tmp_path / "one", TOKEN)))
    assert told.ports[1] is before
    assert await hears(told) == [b"one"]
    assert await ask(alice) == []
    await told.login("bob")


async def test_the_door_of_a_node_that_starts_is_open(tell: Tell, tmp_path: Path) -> None:
    made: list[Answers] = []
    told = tell(web(f"tcp:0:{LOCAL}", write_key(tmp_path / "one", TOKEN)), doors=doors(made))
    assert await hears(told) == [b"one"]
    peer = told.connect(1)
    with pytest.raises(EndOfInput):
        await deferToThread(peer.lines, 2)
    assert told.reload("nonsense").startswith("reload refused") and len(made) == 1
