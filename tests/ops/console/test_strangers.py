"""Strangers at the manhole: whatever they send or do not send, nobody comes in, and nobody else is harmed."""

from __future__ import annotations

import os
import struct
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import (
    MSG_DEBUG,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    MSG_SERVICE_REQUEST,
    SSHClientTransport,
)
from twisted.conch.ssh.userauth import MSG_USERAUTH_REQUEST
from twisted.internet.defer import succeed
from twisted.logger import LogLevel, globalLogPublisher

from nettool.ops.console.auth import ATTEMPTS, REQUESTS
from nettool.ops.console.door import ENTER_WITHIN, ENTERING, INSIDE
from nettool.ops.console.transport import ENDING, LONGEST_VERSION, MESSAGES
from tests.ops.console.manholes import ALICE, BY_ECDSA, BY_RSA, MALLORY, Manhole, line_of
from tests.support.ssh import SshClient
from tests.support.transport import SlowTransport

VERSION = b"SSH-2.0-stranger\r\n"


_ALGORITHMS = [b"curve25519-sha256", b"ssh-ed25519", *[b"aes256-ctr"] * 2, *[b"hmac-sha2-256"] * 2, *[b"none"] * 2]
GOOD_KEXINIT = bytes(16) + b"".join(map(NS, [*_ALGORITHMS, b"", b""])) + bytes(5)


class Stranger:
    """Somebody with nc."""

    def __init__(self, manhole: Manhole) -> None:
        self.manhole = manhole
        self.protocol = manhole.door.buildProtocol(None)
        self.end = SlowTransport(self.protocol, manhole.reactor)
        self.protocol.makeConnection(self.end)
        self.settle()

    def settle(self) -> None:
        for _ in range(10):
            self.manhole.reactor.advance(0)

    def send(self, data: bytes) -> bytes:
        """Send; what is heard then."""
        self.end.received.clear()
        self.end.send(data)
        self.settle()
        return bytes(self.end.received)

    @property
    def is_gone(self) -> bool:
        self.settle()
        return self.end.lost is not None


@pytest.fixture
def log() -> Any:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def told(events: list[dict[str, Any]], above: LogLevel = LogLevel.info) -> list[str]:
    """What an operator reads in the log."""
    return [
        str(event["log_format"]).format(**event)
        for event in events
        if event["log_level"] >= above and str(event["log_namespace"]).startswith("nettool.ops")
    ]


def packet(kind: int, payload: bytes = b"") -> bytes:
    """A packet before there are keys."""
    data = bytes((kind,)) + payload
    padding = 8 - (5 + len(data)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack("!LB", 1 + len(data) + padding, padding) + data + bytes(padding)


# --- who may come in


@pytest.mark.parametrize("key", [ALICE, BY_ECDSA], ids=["ed25519", "ecdsa"])
def test_a_key_of_the_file_comes_in_whatever_the_user_is_called(manhole: Manhole, key: Key, log: Any) -> None:
    manhole.authorized.write_bytes(line_of(MALLORY).replace(b"ssh-ed", b"#") + line_of(key, "alice@laptop"))
    client = SshClient(manhole.door, manhole.reactor, key, b"what\x1b[2Jever\xff")
    assert client.is_in
    [line] = [line for line in told(log) if "came in" in line]
    assert line.endswith(r"(alice@laptop) came in from 198.51.100.1:40000 as what\x1b[2Jever\xff")


def test_nobody_else_does(manhole: Manhole, log: Any) -> None:
    for client in (manhole.ssh(MALLORY), manhole.ssh(None)):
        assert not client.is_in
        assert client.refusals >= 1
    assert [line for line in told(log) if "may not come in" in line]


def test_a_key_that_is_removed_comes_in_no_more(manhole: Manhole) -> None:
    assert manhole.ssh().is_in
    manhole.authorized.write_bytes(line_of(MALLORY))
    assert not manhole.ssh().is_in
    assert manhole.ssh(MALLORY).is_in
    manhole.authorized.unlink()
    assert not manhole.ssh(MALLORY).is_in
    manhole.authorized.write_bytes(line_of(ALICE))
    manhole.authorized.chmod(0o600)
    assert manhole.ssh().is_in


def ask(client: SshClient, method: bytes, data: bytes = b"", service: bytes = b"ssh-connection") -> bool:
    """Send a request for authentication by hand; whether the client is in."""
    client.transport.sendPacket(MSG_USERAUTH_REQUEST, NS(b"root") + NS(service) + NS(method) + data)
    client.settle()
    return client.is_in


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (b"none", b""),
        (b"password", b"\0" + NS(b"")),
        (b"password", b"\0" + NS(b"secret")),
        (b"password", b"\1" + NS(b"") + NS(b"new")),
        (b"keyboard-interactive", NS(b"") + NS(b"")),
        (b"hostbased", b""),
        (b"gssapi-with-mic", b""),
        (b"publickey", b""),
        (b"publickey", b"\1"),
        (b"publickey", b"\1" + NS(b"ssh-ed25519") + NS(b"")),
        (b"publickey", b"\1" + NS(b"ssh-ed25519") + NS(ALICE.public().blob()) + NS(b"")),
        (b"publickey", b"\1" + NS(b"ssh-ed25519") + NS(ALICE.public().blob()) + NS(NS(b"ssh-ed25519") + NS(b"x" * 64))),
        (b"publickey", b"\1" + NS(b"ssh-ed25519") + NS(ALICE.public().blob()) + NS(b"x" * 40)),
        (b"publickey", b"\1" + NS(b"none") + NS(ALICE.public().blob()) + NS(NS(b"none"))),
        (b"publickey", b"\1" + NS(b"ssh-ed25519") + NS(ALICE.toString("OPENSSH", subtype="v1")) + NS(b"")),
        (b"publickey", b"\2" + NS(b"ssh-ed25519") + NS(ALICE.public().blob())),
        (b"\xff", b""),
        (b"", b""),
    ],
    ids=map(str, count()),  # keys are new each time, and names of tests are the same in all processes of a run
)
def test_no_other_method_and_no_half_of_a_key_comes_in(manhole: Manhole, method: bytes, data: bytes, log: Any) -> None:
    client = manhole.ssh(None)
    assert not ask(client, method, data)
    assert not [event for event in log if event["log_level"] >= LogLevel.error]
    assert manhole.ssh().is_in


def test_the_server_offers_public_keys_and_nothing_else(manhole: Manhole) -> None:
    assert manhole.ssh(None).transport.auth.methods == NS(b"publickey") + b"\0"


def signature(client: SshClient, key: Key, **changes: bytes) -> bytes:
    """A request with alice's key, signed, with one thing that is not as it was signed."""
    session = client.transport.sessionID
    fields = {"user": b"root", "service": b"ssh-connection", "algorithm": b"ssh-ed25519", "session": session} | changes
    signed = key.sign(
        NS(fields["session"])
        + bytes((MSG_USERAUTH_REQUEST,))
        + NS(fields["user"])
        + NS(fields["service"])
        + NS(b"publickey")
        + b"\1"
        + NS(fields["algorithm"])
        + NS(ALICE.public().blob())
    )
    return b"\1" + NS(b"ssh-ed25519") + NS(ALICE.public().blob()) + NS(signed)


def test_a_signature_is_for_this_session_this_user_and_this_key(manhole: Manhole) -> None:
    other = manhole.ssh(None)
    for changes in ({"session": other.transport.sessionID}, {"user": b"alice"}, {"service": b"x"}, {"algorithm": b"x"}):
        client = manhole.ssh(None)
        assert not ask(client, b"publickey", signature(client, ALICE, **changes))
    client = manhole.ssh(None)
    assert not ask(client, b"publickey", signature(client, MALLORY))
    client = manhole.ssh(None)
    assert not ask(client, b"publickey", signature(client, ALICE, service=b"nothing"), service=b"nothing")
    client = manhole.ssh(None)
    assert ask(client, b"publickey", signature(client, ALICE)), "what is right is right"


def test_a_signature_with_sha1_is_none(manhole: Manhole) -> None:
    manhole.authorized.write_bytes(line_of(BY_RSA))
    blob = BY_RSA.public().blob()
    # What the request says, what the signature is, and whether it comes in.
    for algorithm, by, comes_in in [
        (b"ssh-rsa", b"ssh-rsa", False),
        (b"rsa-sha2-256", b"ssh-rsa", False),
        (b"rsa-sha2-256", b"rsa-sha2-512", False),
        (b"rsa-sha2-256", b"rsa-sha2-256", True),
        (b"rsa-sha2-512", b"rsa-sha2-512", True),
    ]:
        client = manhole.ssh(None)
        signed = BY_RSA.sign(
            NS(client.transport.sessionID)
            + bytes((MSG_USERAUTH_REQUEST,))
            + NS(b"root")
            + NS(b"ssh-connection")
            + NS(b"publickey")
            + b"\1"
            + NS(algorithm)
            + NS(blob),
            signatureType=by,
        )
        assert ask(client, b"publickey", b"\1" + NS(algorithm) + NS(blob) + NS(signed)) is comes_in


def test_the_server_says_which_signatures_it_takes(manhole: Manhole) -> None:
    told = manhole.ssh().transport.peerExtensions[b"server-sig-algs"].split(b",")
    assert {b"ssh-ed25519", b"rsa-sha2-256", b"rsa-sha2-512", b"ecdsa-sha2-nistp256"} <= set(told)
    assert b"ssh-rsa" not in told


def test_refusals_are_limited_even_those_that_come_in_one_piece(manhole: Manhole) -> None:
    """The right signature comes behind one too many; conch alone would try it."""
    client = manhole.ssh(None)
    wrong = b"\1" + NS(b"ssh-ed25519") + NS(MALLORY.public().blob()) + NS(b"")
    for _ in range(ATTEMPTS):
        client.transport.sendPacket(
            MSG_USERAUTH_REQUEST, NS(b"root") + NS(b"ssh-connection") + NS(b"publickey") + wrong
        )
    assert not ask(client, b"publickey", signature(client, ALICE))
    assert client.is_cut_off


def test_requests_that_are_no_refusals_are_limited_too(manhole: Manhole) -> None:
    client = manhole.ssh(None)
    question = b"\0" + NS(b"ssh-ed25519") + NS(ALICE.public().blob())
    for _ in range(REQUESTS - 1):  # its first one was for `none`
        ask(client, b"publickey", question)
    assert not client.is_cut_off
    ask(client, b"publickey", question)
    assert client.is_cut_off


def test_a_second_service_does_not_begin_the_count_anew(manhole: Manhole, log: Any) -> None:
    client = manhole.ssh(None)
    client.transport.sendPacket(MSG_SERVICE_REQUEST, NS(b"ssh-userauth"))
    client.settle()
    assert client.is_cut_off
    assert "a second service is asked for" in told(log)[-1]


@pytest.mark.parametrize("service", [b"ssh-connection", b"nothing", b"\xff"])
def test_there_is_no_service_before_authentication_but_that(manhole: Manhole, service: bytes) -> None:
    class Impatient(SSHClientTransport):
        def verifyHostKey(self, key: bytes, fingerprint: bytes) -> Any:
            return succeed(1)

        def connectionSecure(self) -> None:
            self.sendPacket(MSG_SERVICE_REQUEST, NS(service))

    assert SshClient(manhole.door, manhole.reactor, transport=Impatient()).is_cut_off


# --- what is no SSH


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64),
        b"\0" * 100,
        b"\n",
        b"\r\n\r\nSSH-2.0-x\r\n",
        b"alice\n",
        b"SSH\n",
        b"ssh-2.0-x\r\n",
        b"xSSH-2.0-x\r\n",
        b"SSH-2.0-" + b"x" * LONGEST_VERSION,
        b"SSH-2.0-" + b"x" * LONGEST_VERSION + b"\r\n",
        b"SSH-2.0-" + b"x" * 100_000,
        b"\x00\x00\x00\x0c\x0a\x15" + bytes(10),
        packet(MSG_KEXINIT, bytes(16) + NS(b"") * 10 + bytes(5)),
    ],
    ids=map(str, count()),
)
def test_whatever_does_not_begin_as_ssh_is_closed_at_once(manhole: Manhole, data: bytes, log: Any) -> None:
    stranger = Stranger(manhole)
    heard = stranger.send(data)
    assert stranger.is_gone
    assert not heard, "nothing is said to who does not speak SSH"
    assert told(log) == ["manhole: 198.51.100.1:40000 is refused: what it says is not SSH"]


@pytest.mark.parametrize("version", [b"SSH-1.5-old\r\n", b"SSH-\r\n", b"SSH-3.0-x\n", b"SSH--\n", b"SSH-2.0\xff-x\r\n"])
def test_another_version_of_ssh_is_refused(manhole: Manhole, version: bytes, log: Any) -> None:
    stranger = Stranger(manhole)
    stranger.send(version)
    assert stranger.is_gone
    assert not [event for event in log if event["log_level"] >= LogLevel.error]


def test_a_version_may_come_byte_by_byte_and_with_a_packet_behind_it(manhole: Manhole) -> None:
    stranger = Stranger(manhole)
    for at in range(len(VERSION)):
        stranger.send(VERSION[at : at + 1])
    assert not stranger.is_gone
    stranger = Stranger(manhole)
    stranger.send(VERSION + packet(MSG_IGNORE, NS(b"x" * 20_000)))
    assert not stranger.is_gone


@pytest.mark.parametrize(
    "data",
    [
        packet(MSG_SERVICE_REQUEST, NS(b"ssh-userauth")),
        packet(MSG_USERAUTH_REQUEST, NS(b"root") + NS(b"ssh-connection") + NS(b"none")),
        packet(90, NS(b"session") + bytes(12)),
        packet(98, bytes(4) + NS(b"exec") + b"\1" + NS(b"1")),
        packet(MSG_NEWKEYS),
        packet(MSG_NEWKEYS, b"x"),
        packet(MSG_KEXINIT, GOOD_KEXINIT) * 2,
        packet(MSG_KEXINIT),
        packet(MSG_KEXINIT, b"x" * 300),
        packet(MSG_KEXINIT, bytes(16) + NS(b"curve25519-sha256") * 10 + bytes(5)),
        packet(30, b""),
        packet(30, NS(b"x" * 32)),
        packet(MSG_DEBUG),
        packet(1),
        packet(1, struct.pack(">L", 11) + NS(b"\x1b[2J")),
        packet(7, b"\xff\xff\xff\xff"),
        struct.pack("!L", 2**31) + bytes(100),
        struct.pack("!L", 3) + bytes(100),
        b"\xff" * 4000,
    ],
)
def test_a_packet_out_of_its_turn_or_broken_ends_the_connection_without_a_traceback(
    manhole: Manhole, data: bytes, log: Any
) -> None:
    stranger = Stranger(manhole)
    stranger.send(VERSION + data)
    stranger.manhole.pass_time(ENDING)
    assert stranger.is_gone
    assert not [event for event in log if "log_failure" in event or event["log_level"] >= LogLevel.error]
    assert manhole.ssh().is_in


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=200) | st.builds(packet, st.integers(0, 255), st.binary(max_size=100)), max_size=8))
def test_whatever_comes_behind_the_version_nothing_is_raised(manhole: Manhole, pieces: list[bytes]) -> None:
    stranger = Stranger(manhole)
    stranger.send(VERSION + b"".join(pieces))
    stranger.end.reset()
    stranger.settle()


def test_who_says_that_it_has_keys_without_any_has_none(manhole: Manhole) -> None:
    stranger = Stranger(manhole)
    stranger.send(VERSION + packet(MSG_KEXINIT, GOOD_KEXINIT))
    assert not stranger.is_gone
    stranger.send(packet(MSG_NEWKEYS))
    assert not stranger.protocol.keyed
    stranger.send(packet(MSG_SERVICE_REQUEST, NS(b"ssh-userauth")))
    assert stranger.is_gone


def test_nothing_is_unpacked(manhole: Manhole) -> None:
    stranger = Stranger(manhole)
    stranger.settle()
    hello = bytes(stranger.end.received)
    for word in (b"zlib", b"cbc", b"sha1", b"md5", b"ssh-rsa", b"ssh-dss", b"group1", b"3des"):
        assert word not in hello
    for word in (b"curve25519-sha256", b"aes256-ctr", b"hmac-sha2-256", b"ssh-ed25519"):
        assert word in hello


def test_messages_before_authentication_are_limited(manhole: Manhole, log: Any) -> None:
    stranger = Stranger(manhole)
    stranger.send(VERSION + packet(MSG_IGNORE) * MESSAGES)
    assert not stranger.is_gone
    stranger.send(packet(MSG_IGNORE) * 4000)
    assert stranger.is_gone
    assert told(log) == ["manhole: 198.51.100.1:40000 is refused: too many messages before it came in"]


def test_who_makes_the_node_answer_and_does_not_read_is_read_no_more(manhole: Manhole) -> None:
    client = manhole.ssh()
    client.end.room = 0
    client.end.read_size = 65536
    for _ in range(4_000):
        client.transport.sendPacket(255, b"x" * 20)
    for _ in range(100):
        client.clock.advance(0)
    assert client.end.held < 128 * 1024
    assert client.end.unread > 50_000
    client.end.take()
    client.settle()
    assert not client.end.unread
    assert client.run("1").output == b"1\n"


# --- who says nothing


def test_who_says_nothing_is_sent_away_in_time(manhole: Manhole, log: Any) -> None:
    silent, versioned, keyed = Stranger(manhole), Stranger(manhole), manhole.ssh(None)
    versioned.send(VERSION)
    manhole.pass_time(ENTER_WITHIN - 1)
    assert not silent.is_gone and not versioned.is_gone and not keyed.is_cut_off
    manhole.pass_time(1)
    manhole.pass_time(ENDING)
    assert silent.is_gone and versioned.is_gone and keyed.is_cut_off
    assert told(log).count("manhole: 198.51.100.1:40000 is refused: it took too long to come in") == 3


def test_who_has_come_in_may_say_nothing_for_as_long_as_it_likes(manhole: Manhole) -> None:
    client = manhole.ssh()
    manhole.pass_time(ENTER_WITHIN * 100)
    assert client.run("1").output == b"1\n"


def test_a_thousand_that_say_nothing_keep_nobody_out(manhole: Manhole) -> None:
    strangers = [Stranger(manhole) for _ in range(1000)]
    assert sum(not stranger.is_gone for stranger in strangers) == ENTERING
    assert all(stranger.is_gone for stranger in strangers[: 1000 - ENTERING]), "those who came first make room"
    assert manhole.ssh().is_in
    manhole.pass_time(ENTER_WITHIN + ENDING)
    assert all(stranger.is_gone for stranger in strangers)
    assert not manhole.reactor.getDelayedCalls()


def test_who_has_exchanged_keys_is_not_pushed_out(manhole: Manhole) -> None:
    on_their_way = [manhole.ssh(None) for _ in range(ENTERING)]
    late = Stranger(manhole)
    assert late.is_gone
    assert not any(client.is_cut_off for client in on_their_way)
    on_their_way[0].vanish()
    assert manhole.ssh().is_in


def test_the_number_of_operators_is_limited(manhole: Manhole, log: Any) -> None:
    inside = [manhole.ssh() for _ in range(INSIDE)]
    one_more = manhole.ssh()
    assert all(client.is_in for client in inside) and not one_more.is_in and one_more.is_cut_off
    assert told(log)[-1].endswith(f"is refused: there are {INSIDE} consoles already")
    inside[3].vanish()
    assert manhole.ssh().is_in


def test_a_draining_node_lets_nobody_in(manhole: Manhole) -> None:
    waiting = Stranger(manhole)
    ended = manhole.service.stopService()
    assert waiting.is_gone
    assert Stranger(manhole).is_gone
    manhole.pass_time(5)
    assert ended.called
