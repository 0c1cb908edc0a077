"""The exact bytes of each server's protocol."""

from __future__ import annotations

import pytest

from bench.dialects import Dialect, Mosquitto, Nats, Nettool, Redis
from bench.plan import Peer

ALICE = Peer(b"alice")
BOB = Peer(b"bob", (b"#tea", b"#milk"))

REDIS_PING = (
    b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n"
    b"*1\r\n$4\r\nPING\r\n"
    b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n"
)

# (dialect, ping and pong, how bob logs in, with what the answer ends)
LOGINS = [
    (
        Nettool(),
        (b"/ping ready\n", b"pong ready\n"),
        b"bob\n/join #tea\n/join #milk\n/ping ready\n",
        b"ok login bob@bench0\nok join #tea\nok join #milk\npong ready\n",
    ),
    (
        Nats(),
        (b"PING\r\n", b"PONG\r\n"),
        b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
        b"SUB bob 00\r\nSUB tea 01\r\nSUB milk 02\r\nPING\r\n",
        b"PONG\r\n",
    ),
    (
        Redis(),
        (REDIS_PING, b"+OK\r\n+PONG\r\n"),
        b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*4\r\n$9\r\nSUBSCRIBE\r\n$3\r\nbob\r\n$3\r\ntea\r\n$4\r\nmilk\r\n"
        + REDIS_PING,
        b">3\r\n$9\r\nsubscribe\r\n$3\r\nbob\r\n:1\r\n"
        b">3\r\n$9\r\nsubscribe\r\n$3\r\ntea\r\n:2\r\n"
        b">3\r\n$9\r\nsubscribe\r\n$4\r\nmilk\r\n:3\r\n+OK\r\n+PONG\r\n",
    ),
    (
        Mosquitto(),
        (b"\xc0\x00", b"\xd0\x00"),
        b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03bob"
        b"\x82\x16\x00\x01\x00\x00\x03bob\x04\x00\x03tea\x04\x00\x04milk\x04"
        b"\xc0\x00",
        b"\x90\x06\x00\x01\x00\x00\x00\x00\xd0\x00",
    ),
]

# (dialect, a text for one name, a text for a name and a topic, what bob gets of the first, and of the second on #tea)
LINES = [
    (
        Nettool(),
        b"bob: hello\n",
        b"bob, #tea: hello\n",
        b"from alice: hello\n",
        b"from alice to #tea: hello\n",
    ),
    (
        Nats(),
        b"PUB bob 5\r\nhello\r\n",
        b"PUB bob 5\r\nhello\r\nPUB tea 5\r\nhello\r\n",
        b"MSG bob 00 5\r\nhello\r\n",
        b"MSG tea 01 5\r\nhello\r\n",
    ),
    (
        Redis(),
        b"*3\r\n$7\r\nPUBLISH\r\n$3\r\nbob\r\n$5\r\nhello\r\n",
        b"*3\r\n$7\r\nPUBLISH\r\n$3\r\nbob\r\n$5\r\nhello\r\n*3\r\n$7\r\nPUBLISH\r\n$3\r\ntea\r\n$5\r\nhello\r\n",
        b">3\r\n$7\r\nmessage\r\n$3\r\nbob\r\n$5\r\nhello\r\n",
        b">3\r\n$7\r\nmessage\r\n$3\r\ntea\r\n$5\r\nhello\r\n",
    ),
    (
        Mosquitto(),
        b"\x30\x0b\x00\x03bob\x00hello",
        b"\x30\x0b\x00\x03bob\x00hello\x30\x0b\x00\x03tea\x00hello",
        b"\x30\x0b\x00\x03bob\x00hello",
        b"\x30\x0b\x00\x03tea\x00hello",
    ),
]


@pytest.mark.parametrize(("dialect", "ping", "login", "welcome"), LOGINS, ids=lambda value: type(value).__name__)
def test_a_peer_logs_in_with_these_bytes(
    dialect: Dialect, ping: tuple[bytes, bytes], login: bytes, welcome: bytes
) -> None:
    assert (dialect.ping, dialect.pong) == ping
    assert dialect.login(BOB) == login
    assert dialect.welcome(BOB) == welcome


@pytest.mark.parametrize(("dialect", "one", "two", "named", "heard"), LINES, ids=lambda value: type(value).__name__)
def test_a_text_goes_in_and_out_with_these_bytes(
    dialect: Dialect, one: bytes, two: bytes, named: bytes, heard: bytes
) -> None:
    assert dialect.publish((b"bob",), b"hello") == one
    assert dialect.publish((b"bob", b"#tea"), b"hello") == two
    assert dialect.delivery(ALICE, b"bob", BOB, b"hello") == named
    assert dialect.delivery(ALICE, b"#tea", BOB, b"hello") == heard


@pytest.mark.parametrize(
    ("text_bytes", "length"),
    [(121, b"\x7f"), (122, b"\x80\x01"), (16_377, b"\xff\x7f"), (16_378, b"\x80\x80\x01")],
)
def test_mqtt_lengths_have_seven_bits_a_byte(text_bytes: int, length: bytes) -> None:
    packet = Mosquitto().publish((b"bob",), b"x" * text_bytes)
    assert packet.startswith(b"\x30" + length + b"\x00\x03bob\x00x")


def test_only_redis_lets_a_sender_hear_itself() -> None:
    assert [type(row[0]).__name__ for row in LINES if row[0].echoes] == ["Redis"]
