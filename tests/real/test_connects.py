"""Connections by the thousand, one after the other: each has its own fate, and none leaves anything behind."""

import socket
import struct
from collections.abc import Callable

import pytest

from tests.real.conftest import Start
from tests.real.node import MIB, PATIENCE, RealPeer, Street, eventually, who
from tests.real.test_storms import open_files

AT_ONCE = 100
SOURCES = 40
"""Addresses to connect from: a closed connection keeps its pair of ports for a minute."""


def reset(stream: socket.socket) -> None:
    """Vanish with a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(stream: socket.socket) -> None:
    """Say no more."""
    stream.shutdown(socket.SHUT_WR)


def nothing(stream: socket.socket) -> None:
    """Do no more than to close, in the end."""


# What is sent, what is done then, what is heard (to the end, if that is the last word), what is done in the end.
# `%d` is the number of the connection.
Fate = tuple[bytes, Callable[[socket.socket], None], bytes, Callable[[socket.socket], None]]
FATES: tuple[Fate, ...] = (
    (b"c%d\n/quit\n", nothing, b"ok login c%d@node1\nbye quit\n", nothing),
    (b"c%d\n", nothing, b"ok login c%d@node1\n", reset),
    (b"", nothing, b"", nothing),
    (b"", nothing, b"", reset),
    (b"steady\nsteady: not I\n", nothing, b"error name-taken: steady\nbye name-taken\n", nothing),
    (b"c%d" + b"x" * 300 + b"\n", nothing, b"error bad-name: the first line is over 256 bytes\nbye bad-name\n", reset),
    (
        b"c%d\n/join #a, #b%d\n#b%d: hello\nnobody: hello\n",
        nothing,
        b"ok login c%d@node1\nok join #a\nok join #b%d\nerror no-such-peer: nobody\n",
        nothing,
    ),
    (b"c%d\n/join #a\n/watch\n", nothing, b"ok login c%d@node1\nok join #a\n", reset),
    (b"", half_close, b"bye quit\n", nothing),
    (b"c%d\nsteady: %d\n", half_close, b"ok login c%d@node1\nbye quit\n", nothing),
    (b"never whole", half_close, b"error bad-line: never whole\nbye quit\n", nothing),
    (b"c%d\nnever whole", nothing, b"", reset),
)


def come_and_go(street: Street, first: int, amount: int) -> None:
    """So many connections, `AT_ONCE` of them at the same time."""
    host, _, port = street.node.endpoint().removeprefix("tcp:").rpartition(":")
    for start in range(first, first + amount, AT_ONCE):
        crowd: list[tuple[int, socket.socket]] = []
        for number in range(start, start + AT_ONCE):
            source = f"127.0.0.{2 + number % SOURCES}"
            stream = socket.create_connection((host, int(port)), PATIENCE, (source, 0))
            crowd.append((number, stream))
            said, then, _, _ = FATES[number % len(FATES)]
            if said:
                stream.sendall(said.replace(b"%d", b"%d" % number))
            then(stream)
        for number, stream in crowd:
            _, _, heard, at_last = FATES[number % len(FATES)]
            expect(stream, heard.replace(b"%d", b"%d" % number))
            at_last(stream)
            stream.close()


def expect(stream: socket.socket, words: bytes) -> None:
    """These bytes are heard, and the end if they are the last ones."""
    ends = b"\nbye " in words or words.startswith(b"bye ")
    heard = b""
    while len(heard) < len(words) or ends:
        data = stream.recv(4096)
        if not data:
            break
        heard += data
    assert heard == words if ends else heard.startswith(words), heard


def expect_nothing_left(start: Start, amount: int, bound: int) -> None:
    """After so many connections, descriptors and memory are where they were after the first thousands."""
    street = start("--max-line", "256")
    steady = street.peer("steady")
    steady.say(b"/ping 1")
    steady.expect(b"pong 1")
    files = open_files(street)

    def alone() -> bool:
        return who(steady) == [b"steady"] and open_files(street) == files

    def some(first: int, amount: int) -> None:
        # In parts, so that the steady peer reads what it is sent.
        for at in range(first, first + amount, 1200):
            come_and_go(street, at, 1200)
            steady.barrier()
        eventually(alone, "all have gone, and their descriptors are closed")

    some(0, 2400)
    memory = street.node.memory("VmRSS")
    some(2400, amount)
    growth = street.node.memory("VmRSS") - memory
    assert growth < bound, f"grew by {growth / MIB:.2f} MiB in {amount} connections"
    steady.say(b"/topics")
    steady.expect(b"ok topics 0")
    expect_counts(street, steady, 2400 + amount)


def expect_counts(street: Street, steady: RealPeer, amount: int) -> None:
    """The node has counted each of them once, and refused those who were to be refused."""
    steady.quit()
    assert street.node.terminate() == 0
    each = -(-amount // 1200) * 1200 // len(FATES)
    log = "\n".join(street.node.out)
    assert f"refused[name-taken]={each}" in log, street.node.report()
    assert f"refused[no-such-peer]={each}" in log, street.node.report()
    assert f"'name-taken': {each}" in log, street.node.report()
    assert f"'bad-name': {each}" in log, street.node.report()


def test_after_thousands_of_connections_nothing_is_left(start: Start) -> None:
    expect_nothing_left(start, 3600, 2 * MIB)


@pytest.mark.system
@pytest.mark.bound(600)
def test_after_100000_connections_nothing_is_left(start: Start) -> None:
    expect_nothing_left(start, 100_800, 4 * MIB)
