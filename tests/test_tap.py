"""Options, and the node that is built of them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet import reactor as process_reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock

import nettool
from nettool.cluster.resolver import parse_source
from nettool.ops.signals import Signals
from nettool.options import TABLE
from nettool.service import Listener, NodeService
from nettool.settings import BACKLOG, KIB, MIB, OnNameTaken, Settings, TopicOverflow
from nettool.tap import DOORS, Options, makeService
from tests.support.certificates import certificate_and_key, write_key
from tests.support.peer import MemoryPeer
from tests.support.sockets import PollingReactor

# option, good value, group and field of the settings, and what it becomes there
GOOD: list[tuple[str, str, str, str, object]] = [
    ("node-name", "alpha", "node", "name", b"alpha"),
    ("node-name", "zoë", "node", "name", "zoë".encode()),
    ("node-name", "n" * 64, "node", "name", b"n" * 64),
    ("state-dir", "/nonexistent/yet", "node", "state_dir", "/nonexistent/yet"),
    ("drain-timeout", "500ms", "node", "drain_timeout", 0.5),
    ("drain-timeout", "forever", "node", "drain_timeout", inf),
    ("max-line", "64", "peers", "max_line", 64),
    ("max-line", "1KiB", "peers", "max_line", KIB),
    ("max-peers", "0", "peers", "max_peers", 0),
    ("max-peers", "5", "peers", "max_peers", 5),
    ("max-addresses", "7", "peers", "max_addresses", 7),
    ("max-joins", "8", "peers", "max_joins", 8),
    ("login-timeout", "2m", "peers", "login_timeout", 120.0),
    ("on-name-taken", "reject", "peers", "on_name_taken", OnNameTaken.REJECT),
    ("on-name-taken", "takeover", "peers", "on_name_taken", OnNameTaken.TAKEOVER),
    ("outbox-bytes", "1MiB", "delivery", "outbox_bytes", MIB),
    ("outbox-bytes", "0", "delivery", "outbox_bytes", 0),
    ("direct-patience", "0s", "delivery", "direct_patience", 0.0),
    ("topic-patience", "forever", "delivery", "topic_patience", inf),
    ("topic-overflow", "disconnect", "delivery", "topic_overflow", TopicOverflow.DISCONNECT),
    ("topic-overflow", "drop-oldest", "delivery", "topic_overflow", TopicOverflow.DROP_OLDEST),
    ("stall-timeout", "1m", "delivery", "stall_timeout", 60.0),
    ("link-listen", "tcp:2", "links", "listen", ("tcp:2",)),
    ("link-listen", "unix:/tmp/y", "links", "listen", ("unix:/tmp/y",)),
    ("link-connect", "node2=a:1,b:2", "links", "connect", (parse_source("node2=a:1,b:2"),)),
    ("link-connect", "dns:example.net", "links", "connect", (parse_source("dns:example.net"),)),
    ("link-connect", "file:/none", "links", "connect", (parse_source("file:/none"),)),
    ("trusted-nodes", "/none", "links", "trusted_nodes", "/none"),
    ("trusted-nodes", "", "links", "trusted_nodes", ""),
    ("pending-timeout", "1m", "links", "pending_timeout", 60.0),
    ("presence-grace", "500ms", "links", "presence_grace", 0.5),
    ("remote-window", "64KiB", "links", "remote_window", 64 * 1024),
    ("log-format", "text", "log", "format", "text"),
    ("log-format", "json", "log", "format", "json"),
    ("log-level", "debug", "log", "level", "debug"),
    ("listen", "tcp:1", "peers", "listen", ("tcp:1",)),
    ("listen", "unix:/tmp/x:mode=600", "peers", "listen", ("unix:/tmp/x:mode=600",)),
    ("manhole", "", "manhole", "listen", ""),
    ("authorized-keys", "", "manhole", "authorized_keys", ""),
    ("web", "unix:/w", "web", "listen", "unix:/w"),
    ("web", "", "web", "listen", ""),
    ("web-token", "", "web", "token", ""),
]

BAD = [
    ("node-name", ""),
    ("node-name", "two words"),
    ("node-name", "a@b"),
    ("node-name", "n" * 65),
    ("node-name", "broken\udcff"),
    ("node-name", "two\nlines"),
    ("state-dir", __file__),
    ("drain-timeout", "0s"),
    ("drain-timeout", "10"),
    ("max-line", "63"),
    ("max-line", "17MiB"),
    ("max-line", "64kb"),
    ("max-peers", "-1"),
    ("max-peers", "many"),
    ("max-addresses", "1.5"),
    ("max-joins", "1KiB"),
    ("login-timeout", "0s"),
    ("login-timeout", "soon"),
    ("on-name-taken", "Reject"),
    ("on-name-taken", ""),
    ("outbox-bytes", "100KiB"),
    ("outbox-bytes", "lots"),
    ("direct-patience", "-5s"),
    ("direct-patience", "5"),
    ("topic-patience", "never"),
    ("topic-overflow", "drop"),
    ("stall-timeout", "5s"),
    ("stall-timeout", "0s"),
    ("stall-timeout", "30"),
    ("link-listen", "ssl:1:privateKey=k.pem"),
    ("link-listen", "node2"),
    ("link-connect", "node2:1"),
    ("link-connect", "node2=a"),
    ("link-connect", "file:/"),
    ("trusted-nodes", "/"),
    ("pending-timeout", "0s"),
    ("presence-grace", "soon"),
    ("remote-window", "0"),
    ("log-format", "xml"),
    ("log-level", "warning"),
    ("listen", "nonsense:1"),
    ("listen", ""),
    ("manhole", "tcp:x"),
    ("authorized-keys", "/none"),
    ("authorized-keys", "/"),
    ("web", "tcp"),
    ("web-token", "/none"),
]


def parsed(*words: str) -> Options:
    options = Options()
    options.parseOptions(list(words))
    return options


def ends_with(status: int, capfd: pytest.CaptureFixture[str], call: Callable[..., object], *arguments: object) -> str:
    """What is said, which must be one line on standard error, and no traceback, before the process ends so."""
    with pytest.raises(SystemExit) as raised:
        call(*arguments)
    assert raised.value.code == status
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("nettool: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


# --- options


@pytest.mark.parametrize(("option", "text", "group", "field", "value"), GOOD, ids=lambda value: ascii(value)[:30])
def test_an_option_becomes_a_setting(option: str, text: str, group: str, field: str, value: object) -> None:
    options = parsed(f"--{option}", text)
    assert getattr(getattr(options.settings, group), field) == value
    assert parsed(f"--{option}={text}").settings == options.settings


@pytest.mark.parametrize(("option", "text"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_value_ends_the_process_with_one_line_that_names_the_option(
    option: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    said = ends_with(78, capfd, parsed, f"--{option}={text}")
    assert f"--{option}: " in said and "expected " in said


def test_every_option_has_a_good_and_a_bad_value_here() -> None:
    assert {option for option, *_ in GOOD} == {option for option, _ in BAD} == {option.name for option in TABLE}


def test_every_field_of_the_settings_has_an_option() -> None:
    groups = {group: getattr(Settings(), group).__slots__ for group in Settings.__slots__}
    fields = {(group, field) for group, fields in groups.items() for field in fields}
    assert {(option.group, option.field) for option in TABLE} == fields


def test_without_options_everything_is_as_by_default_but_the_name_which_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "alpha.example.org")
    settings = parsed().settings
    assert settings.node.name == b"alpha"
    assert (settings.peers, settings.delivery) == (Settings().peers, Settings().delivery)
    assert (settings.log, settings.manhole, settings.web) == (Settings().log, Settings().manhole, Settings().web)


@pytest.mark.parametrize("host", ["", ".", "h" * 65, "two words", "a:b"])
def test_a_host_whose_name_cannot_be_a_nodes_has_a_node_nevertheless(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert parsed().settings.node.name == b"node"


def test_a_directory_can_be_the_state_directory(tmp_path: Path) -> None:
    assert parsed("--state-dir", str(tmp_path)).settings.node.state_dir == str(tmp_path)


def test_every_mistake_is_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    said = ends_with(78, capfd, parsed, "--max-line=x", "--login-timeout=y", "--on-name-taken=z")
    assert [said.count(f"{option}: ") for option in ("max-line", "login-timeout", "on-name-taken")] == [1, 1, 1]
    said = ends_with(78, capfd, parsed, "--max-line=1", "--login-timeout=0s")
    assert [said.count(f"{option}: ") for option in ("max-line", "login-timeout")] == [1, 1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--nonsense=1"], "--nonsense"),
        (["--max-line"], "--max-line"),
        (["word"], "'word'"),
        (["--max-line=64", "word", "other"], "'word'"),
        (["two\nlines"], "'two\\nlines'"),
    ],
)
def test_what_is_no_option_ends_the_process_with_one_line(
    words: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert named in ends_with(78, capfd, parsed, *words)


def test_listen_may_be_given_several_times() -> None:
    settings = parsed("--listen", "tcp:1", "--listen=unix:/tmp/x").settings
    assert settings.peers.listen == ("tcp:1", "unix:/tmp/x")


def test_the_version_is_the_packages(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parsed("--version")
    assert raised.value.code == 0
    assert capfd.readouterr().out == f"nettool {nettool.__version__}\n"


def test_help_names_every_option_and_its_default() -> None:
    text = " ".join(str(Options()).split())
    for option in TABLE:
        assert f"--{option.name}=" in text
        assert f"[default: {option.default}]" in text


# --- the node that is built


def test_a_node_is_made_of_named_services() -> None:
    reactor = MemoryReactorClock()
    node = makeService(parsed("--listen", "tcp:1", "--listen", r"tcp:2:interface=\:\:1"), reactor)
    assert IService.providedBy(node)
    assert node.name == "nettool"
    assert [service.name for service in node] == ["listener 1", "listener 2"]
    assert node.getServiceNamed("listener 2") is list(node)[1]
    assert reactor.tcpServers == [], "it listens when it is started"


def test_a_door_that_nothing_answers_at_ends_the_process_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    said = ends_with(78, capfd, makeService, parsed("--web", "tcp:1"), MemoryReactorClock(), DOORS[:1])
    assert said.startswith("nettool: web.listen: ")


def test_without_a_listener_it_listens_on_the_loopback_only() -> None:
    reactor = MemoryReactorClock()
    start(makeService(parsed(), reactor))
    ((port, _, backlog, interface),) = reactor.tcpServers
    assert (port, interface) == (6388, "127.0.0.1")
    assert backlog >= 1000, "a storm of connections is not to wait on retransmits"


@pytest.mark.parametrize("description, port", [("tcp:6389:127.0.0.1:100", 6389), ("tcp:6389:127.0.0.1", 6389)])
def test_an_endpoint_may_be_written_without_keys(description: str, port: int) -> None:
    reactor = MemoryReactorClock()
    start(makeService(parsed("--listen", description), reactor))
    ((bound, _, backlog, interface),) = reactor.tcpServers
    assert (bound, interface) == (port, "127.0.0.1")
    assert backlog == (100 if description.endswith("100") else BACKLOG)


@pytest.mark.parametrize("host, told", [("127.0.0.1", "tcp:127.0.0.1:7"), ("::1", r"tcp:\:\:1:7")])
def test_where_it_listens_can_be_given_to_a_client(host: str, told: str) -> None:
    listener = NodeService(Settings(), MemoryReactorClock(), ["tcp:0"]).listeners[0]
    listener.port = _FakeListeningPort(host)
    assert listener.where == told
    clientFromString(MemoryReactorClock(), listener.where)


class _FakeListeningPort:
    """A port that tells an address."""

    def __init__(self, host: str) -> None:
        self.host = host

    def getHost(self) -> Any:
        kind = IPv6Address if ":" in self.host else IPv4Address
        return kind("TCP", self.host, 7)


def test_a_backlog_that_is_asked_for_is_kept() -> None:
    reactor = MemoryReactorClock()
    start(makeService(parsed("--listen", "tcp:1:backlog=7"), reactor))
    assert reactor.tcpServers[0][2] == 7


def start(node: NodeService) -> NodeService:
    node.privilegedStartService()
    node.startService()
    return node


def stopped(node: NodeService, reactor: MemoryReactorClock) -> None:
    """Stop the node, which has nobody to wait for."""
    done: list[object] = []
    node.stopService().addCallback(done.append)
    reactor.advance(0)
    assert done == [None]


def test_every_listener_has_the_same_peers() -> None:
    reactor = MemoryReactorClock()
    node = start(makeService(parsed("--listen", "tcp:1", "--listen", "unix:/run/nettool.sock"), reactor))
    assert reactor.tcpServers[0][1] is node.peers
    assert reactor.unixServers[0][:2] == ("/run/nettool.sock", node.peers)
    assert [service.where for service in node if isinstance(service, Listener)] == [
        "tcp:0.0.0.0:1",
        "unix:/run/nettool.sock",
    ]
    stopped(node, reactor)


def test_a_node_whose_privileged_start_nobody_called_listens_too() -> None:
    reactor = MemoryReactorClock()
    node = makeService(parsed("--listen", "tcp:1"), reactor)
    listener = next(iter(node))
    assert isinstance(listener, Listener)
    assert listener.where == "tcp:1"
    node.startService()
    assert [port for port, *_ in reactor.tcpServers] == [1]
    stopped(node, reactor)
    assert listener.port is None
    stopped(node, reactor)


def test_two_nodes_live_side_by_side_and_know_nothing_of_each_other() -> None:
    reactor = PollingReactor()
    nodes = [start(makeService(parsed("--node-name", name, "--listen", "tcp:1"), reactor)) for name in ("one", "two")]
    alices = [MemoryPeer(node.peers, reactor).login(b"alice", node.live.node.name) for node in nodes]
    bob = MemoryPeer(nodes[1].peers, reactor).login(b"bob", b"two")
    assert alices[0].ask(b"bob: hi", b"/who") == [b"error no-such-peer: bob", b"peer alice", b"ok who 1"]
    assert alices[1].ask(b"bob@two: hi", b"bob@one: hi") == [b"error no-such-peer: bob@one"]
    assert bob.hear() == [b"from alice: hi"]
    assert [node.broker.snapshot().accepted for node in nodes] == [0, 1]
    alices[0].vanish()
    stopped(nodes[0], reactor)
    assert alices[1].ask(b"/ping") == [b"pong"]


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def test_a_reactor_that_is_brought_along_is_all_that_is_touched() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    reactor = MemoryReactorClock()
    node = start(makeService(parsed("--listen", "tcp:1"), reactor))
    assert not [service for service in node if isinstance(service, Signals)]
    assert [signal.getsignal(number) for number in SIGNALS] == before
    stopped(node, reactor)


def test_without_one_the_node_has_the_processs_reactor_and_signals() -> None:
    node = makeService(parsed("--listen", "tcp:1"))
    assert node.peers.clock is process_reactor
    assert [service.name for service in node] == ["listener 1", "signals", "lag"]


# --- endpoints that cannot be used


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "nonsense",
        "nonsense:1",
        "tcp",
        "tcp:",
        "tcp:x",
        "tcp:65536:interface=127.0.0.1",
        "tcp:1:nonsense=2",
        "unix",
        "ssl:1:privateKey=/none.pem",
        "ssl:65536:privateKey=/none.pem",
        ":",
    ],
)
def test_an_endpoint_that_is_none_ends_the_process_with_one_line(
    endpoint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    said = ends_with(78, capfd, parsed, "--listen", "tcp:1", "--listen", endpoint)
    assert said.startswith(f"nettool: --listen: expected an endpoint that can be used, not {endpoint!r}")


def test_a_socket_that_systemd_has_not_handed_over_ends_the_process_with_one_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = parsed("--listen", "systemd:domain=INET:name=peers")
    said = ends_with(78, capfd, makeService, options, MemoryReactorClock())
    assert said.startswith("nettool: peers.listen: expected an endpoint that can be used") and "'peers'" in said


def test_files_that_change_after_they_were_checked_end_the_process_with_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key.pem", *certificate_and_key())
    options = parsed("--listen", f"ssl:1:privateKey={key}")
    key.unlink()
    reactor = MemoryReactorClock()
    assert str(key) in ends_with(78, capfd, makeService, options, reactor)
    assert reactor.tcpServers == [], "it is found before anything listens"


class TakenReactor(MemoryReactorClock):
    """A reactor on whose second port somebody else listens already, and where numbers of ports end, as they do."""

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port == 2:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        return super().listenTCP(port, factory, backlog, interface)


def test_an_address_in_use_ends_the_process_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    node = makeService(parsed("--listen", "tcp:1", "--listen", "tcp:2:interface=127.0.0.1"), TakenReactor())
    said = ends_with(69, capfd, node.privilegedStartService)
    assert "listen: " in said
    assert "127.0.0.1:2" in said
    assert "in use" in said


def test_a_unix_socket_that_cannot_be_bound_ends_the_process_with_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "none" / "socket"
    node = makeService(parsed("--listen", f"unix:{path}"), process_reactor)
    assert str(path) in ends_with(69, capfd, node.privilegedStartService)


def test_a_port_that_cannot_be_ends_the_process_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    def build_and_bind() -> None:
        makeService(parsed("--listen", "tcp:65536:interface=127.0.0.1"), TakenReactor()).privilegedStartService()

    said = ends_with(78, capfd, build_and_bind)
    assert "listen: " in said
    assert "65536" in said


# --- the end


def test_stopping_is_done_when_every_connection_has_ended() -> None:
    reactor = PollingReactor()
    node = start(makeService(parsed("--node-name=node1", "--listen", "tcp:1"), reactor))
    peer = MemoryPeer(node.peers, reactor).login(b"alice")
    ended: Deferred[None] = node.stopService()
    assert peer.hear() == [b"bye shutdown"]
    assert not ended.called
    peer.half_close()
    assert ended.called
