"""Listeners: every kind of endpoint, several at once, and what is said about those that cannot be."""

import socket
import ssl
from pathlib import Path

import pytest

from tests.real.conftest import Start
from tests.real.node import (
    KIB,
    MIB,
    NODE_NAME,
    TCP,
    RealNode,
    RealPeer,
    Street,
    eventually,
    expect_closed_with,
    free_port,
    in_background,
    who,
)
from tests.support.certificates import write_pair

EX_UNAVAILABLE = 69
EX_CONFIG = 78


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and its self-signed certificate for 127.0.0.1, as files."""
    return write_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> str:
    """An endpoint with that certificate."""
    key_file, certificate_file = certificate
    return f"ssl:0:privateKey={key_file}:certKey={certificate_file}:interface=127.0.0.1"


@pytest.fixture
def trust(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """What a client needs that trusts this certificate only."""
    return ssl.create_default_context(cafile=str(certificate[1]))


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a UNIX socket can be: short enough for its address."""
    return tmp_path_factory.mktemp("s") / "peers"


def test_port_0_is_logged_as_the_port_that_was_given(start: Start) -> None:
    street = start()
    (endpoint,) = street.node.endpoints()
    scheme, host, port = endpoint.split(":")
    assert (scheme, host) == ("tcp", "127.0.0.1")
    assert int(port) > 0
    street.peer("alice")


def test_a_port_that_was_chosen_is_taken(start: Start) -> None:
    port = free_port()
    street = start(listen=(f"tcp:{port}:interface=127.0.0.1",))
    assert street.node.endpoints() == [f"tcp:127.0.0.1:{port}"]
    street.peer("alice")


def test_a_unix_socket_carries_the_same_protocol(start: Start, path: Path) -> None:
    street = start(listen=(f"unix:{path}",))
    assert street.node.endpoints() == [f"unix:{path}"]
    alice, bob = street.peer("alice", "unix"), street.hearer("bob", b"#t", scheme="unix")
    alice.say(b"bob, #t: hi", b"nobody: hi", b"/who", b"hello")
    alice.expect(b"error no-such-peer: nobody", b"peer alice", b"peer bob", b"ok who 2", b"error bad-line: hello")
    bob.expect(b"from alice: hi", b"from alice to #t: hi")
    stranger = street.connect("unix")
    stranger.say(b"bob")
    assert expect_closed_with(stranger, b"name-taken") == b"bob"
    bob.half_close()
    assert bob.to_end() == [b"bye quit"]
    assert alice.quit() == []


def test_tls_carries_the_same_protocol(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(tls,))
    assert street.node.endpoints()[0].startswith("ssl:127.0.0.1:")
    alice = street.connect("ssl", context=trust).login("alice")
    bob = street.connect("ssl", context=trust).login("bob")
    alice.say(b"bob: hi", b"nobody: hi", b"/who")
    alice.expect(b"error no-such-peer: nobody", b"peer alice", b"peer bob", b"ok who 2")
    bob.expect(b"from alice: hi")
    text = b"t" * 60 * KIB
    for number in range(50):
        alice.say(b"bob: %d " % number + text)
        bob.expect(b"from alice: %d " % number + text)
    stranger = street.connect("ssl", context=trust)
    stranger.say(b"bob")
    assert expect_closed_with(stranger, b"name-taken") == b"bob"
    alice.say(b"bob: last", b"/ping", b"/quit")
    assert alice.to_end() == [b"pong", b"bye quit"]
    bob.expect(b"from alice: last")
    assert bob.quit() == []


def test_over_tls_the_end_of_input_is_a_disconnect(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(tls, TCP))
    alice = street.peer("alice")
    for _ in range(3):
        bob = eventually(lambda: street_login(street, trust), "bob is free")
        bob.say(b"alice: here")
        alice.expect(b"from bob: here")
        bob.close()
    eventually(lambda: who(alice) == [b"alice"], "bob has gone")
    alice.say(b"bob: still there?")
    assert alice.barrier() == [b"error no-such-peer: bob"]


def street_login(street: Street, trust: ssl.SSLContext) -> RealPeer | None:
    """Bob over TLS, or None while his name is taken."""
    bob = street.connect("ssl", context=trust)
    bob.say(b"bob")
    return bob if bob.line() == b"ok login bob@node1" else None


def test_a_reader_over_tls_is_waited_for_within_the_bounds(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start("--outbox-bytes", "256KiB", "--direct-patience", "60s", "--stall-timeout", "90s", listen=(tls, TCP))
    alice, carol = street.peers("alice", "carol")
    bob = street.connect("ssl", context=trust, receive_buffer=64 * KIB).login("bob")
    texts = [b"%d " % number + b"t" * 1000 for number in range(20_000)]
    with street.node.grows_less_than(16 * MIB):
        sent = in_background(alice.say, *(b"bob: " + text for text in texts))
        bob.wait_readable()
        for _ in range(50):
            assert carol.barrier() == []
        bob.expect(*(b"from alice: " + text for text in texts))
    sent.result()
    assert alice.barrier() == []


def test_over_tls_too_what_is_queued_comes_before_the_end(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(tls, TCP))
    alice, bob = street.peer("alice"), street.connect("ssl", context=trust, receive_buffer=64 * KIB).login("bob")
    texts = [b"%d " % number + b"t" * 1000 for number in range(3000)]
    alice.say(*(b"bob: " + text for text in texts))
    assert alice.barrier() == []
    bob.say(b"/quit")
    assert bob.to_end() == [*(b"from alice: " + text for text in texts), b"bye quit"]
    assert alice.barrier() == []


def test_over_tls_too_no_reset_overtakes_the_last_lines(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(tls,))
    street.connect("ssl", context=trust).login("alice")
    for _ in range(5):
        stranger = street.connect("ssl", context=trust)
        stranger.send(b"alice\n" + b"unread input\n" * 20_000)
        assert expect_closed_with(stranger, b"name-taken") == b"alice"
        stranger.close()


def test_garbage_instead_of_a_handshake_harms_nobody(start: Start, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(tls,))
    alice = street.connect("ssl", context=trust).login("alice")
    host, _, port = street.node.endpoint("ssl").removeprefix("ssl:").rpartition(":")
    for data in (b"alice\n", b"\x16\x03\x01\xff\xff" + b"x" * 1000, b"", b"GET / HTTP/1.0\r\n\r\n"):
        with socket.create_connection((host, int(port)), 30) as plain:
            plain.sendall(data)
            assert alice.barrier() == []
    assert who(alice) == [b"alice"]


def test_peers_of_all_listeners_are_in_one_place(start: Start, path: Path, tls: str, trust: ssl.SSLContext) -> None:
    street = start(listen=(TCP, f"unix:{path}", tls, TCP))
    endpoints = street.node.endpoints()
    assert sorted(endpoint.partition(":")[0] for endpoint in endpoints) == ["ssl", "tcp", "tcp", "unix"]
    peers = [street.peer("tcp"), street.peer("unix", "unix"), street.connect("ssl", context=trust).login("ssl")]
    for sender in peers:
        sender.say(b"tcp, unix, ssl: from " + sender.name.encode(), b"/ping")
        lines = [b"from %s: from %s" % (sender.name.encode(), sender.name.encode())]
        assert sender.until(b"pong") == lines
        for receiver in peers:
            if receiver is not sender:
                assert receiver.barrier() == lines
    assert who(peers[0]) == [b"ssl", b"tcp", b"unix"]
    assert street.try_login("unix") is None  # names are the node's, not the listener's


def test_one_set_of_limits_serves_all_listeners(start: Start, path: Path) -> None:
    street = start("--max-peers", "2", listen=(TCP, f"unix:{path}"))
    alice = street.peer("alice")
    bob = street.peer("bob", "unix")
    for scheme in ("tcp", "unix"):
        assert expect_closed_with(street.connect(scheme), b"too-many-peers") == b"2"
    alice.say(b"bob: hi")
    bob.expect(b"from alice: hi")


# --- what cannot be


def expect_refused(directory: Path, status: int, *options: str, **how: tuple[str, ...] | str) -> str:
    """The node ends with this status and says why in one line, which this returns; it never listens."""
    listen, node_name = how.get("listen", (TCP,)), how.get("node_name", NODE_NAME)
    assert isinstance(listen, tuple) and isinstance(node_name, str)
    node = RealNode(directory, *options, listen=listen, node_name=node_name)
    try:
        assert node.wait() == status, node.report()
    finally:
        node.kill()
    assert len(node.err) == 1, node.report()
    assert not [line for line in node.out if "Traceback" in line], node.report()
    return node.err[0]


BAD_VALUES = [
    ("max-line", "63"),
    ("max-line", "17MiB"),
    ("max-line", "0"),
    ("max-line", "long"),
    ("max-peers", "many"),
    ("max-peers", "-1"),
    ("login-timeout", "0s"),
    ("drain-timeout", "0s"),
    ("drain-timeout", "soon"),
    ("stall-timeout", "0s"),
    ("direct-patience", "-1s"),
    ("outbox-bytes", "127KiB"),
    ("outbox-bytes", "4MiBs"),
    ("on-name-taken", "maybe"),
    ("topic-overflow", "drop-newest"),
    ("listen", "carrier-pigeon:1"),
]


@pytest.mark.parametrize(("option", "value"), BAD_VALUES)
def test_a_bad_value_is_told_in_one_line_that_names_its_key(tmp_path: Path, option: str, value: str) -> None:
    if option == "listen":
        line = expect_refused(tmp_path, EX_CONFIG, listen=(value,))
    else:
        line = expect_refused(tmp_path, EX_CONFIG, f"--{option}={value}")
    assert option in line


@pytest.mark.parametrize("name", ["a b", "a@b", "n" * 65], ids=["space", "at", "long"])
def test_a_nodes_name_follows_the_rule_for_names(tmp_path: Path, name: str) -> None:
    assert "name" in expect_refused(tmp_path, EX_CONFIG, node_name=name)


@pytest.mark.parametrize("patience", ["2s", "3s", "forever"])
def test_a_stall_timeout_that_is_not_above_the_direct_patience_is_refused(tmp_path: Path, patience: str) -> None:
    line = expect_refused(tmp_path, EX_CONFIG, "--direct-patience", patience, "--stall-timeout", "2s")
    assert "stall-timeout" in line


def test_values_at_their_limits_are_taken(start: Start) -> None:
    street = start(
        *("--max-line", "64", "--outbox-bytes", "128", "--direct-patience", "0s", "--topic-patience", "0s"),
        *("--login-timeout", "forever", "--stall-timeout", "forever", "--drain-timeout", "2m", "--max-peers", "1"),
    )
    assert street.peer("alice").quit() == []
    street = start("--max-line", "16MiB", "--outbox-bytes", "32MiB", "--topic-patience", "forever")
    assert street.peer("alice").quit() == []


def test_an_address_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = expect_refused(tmp_path, EX_UNAVAILABLE, listen=(f"tcp:{port}:interface=127.0.0.1",))
    assert str(port) in line


def test_one_address_in_use_is_enough_to_stop_all(tmp_path: Path, path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        expect_refused(tmp_path, EX_UNAVAILABLE, listen=(TCP, f"unix:{path}", f"tcp:{port}:interface=127.0.0.1"))
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(OSError):
        late.connect(str(path))


def test_a_unix_socket_in_use_is_told_in_one_line(start: Start, tmp_path: Path, path: Path) -> None:
    street = start(listen=(f"unix:{path}",))
    line = expect_refused(tmp_path, EX_UNAVAILABLE, listen=(f"unix:{path}",))
    assert str(path) in line
    street.peer("alice", "unix")  # and the first one still has it


def test_a_unix_socket_is_free_again_after_a_shutdown(start: Start, path: Path) -> None:
    for _ in range(2):
        street = start(listen=(f"unix:{path}",))
        alice = street.peer("alice", "unix")
        assert alice.quit() == []
        assert street.node.terminate() == 0
