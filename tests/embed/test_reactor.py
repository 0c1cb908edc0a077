"""A node inside a program that has a reactor: peers in memory and over TCP at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString, connectProtocol, serverFromString
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver, LineReceiver

from nettool.embed import Node
from tests.embed.peers import Peer
from tests.support.street import kibibytes

LOOPBACK = "tcp:0:interface=127.0.0.1"


def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


async def login(peer: Peer, name: bytes) -> Peer:
    peer.say(name)
    assert await peer.lines(1) == [b"ok login %b@node1" % name]
    return peer


async def inside(node: Node, name: bytes) -> Peer:
    return await login(node.connect(Peer()), name)


async def outside(node: Node, name: bytes, number: int = 0) -> Peer:
    return await login(await connectProtocol(clientFromString(reactor(), node.where[number]), Peer()), name)


async def test_the_two_line_use() -> None:
    async with Node(reactor()) as node:
        bot = node.connect(Peer())
        await login(bot, b"bot")
    assert bot.hear() == [b"bye shutdown"]


async def test_a_node_needs_no_reactor_to_be_named() -> None:
    async with Node() as node:
        await inside(node, b"alice")


async def test_peers_in_memory_and_over_tcp_talk_to_each_other() -> None:
    async with Node(reactor(), listen=[LOOPBACK]) as node:
        everybody = [await inside(node, b"in%d" % number) for number in range(3)]
        everybody += [await outside(node, b"out%d" % number) for number in range(3)]
        names = [b"in0", b"in1", b"in2", b"out0", b"out1", b"out2"]
        for peer in everybody:
            peer.say(b"/join #all")
        assert await gatherResults([peer.lines(1) for peer in everybody]) == [[b"ok join #all"]] * 6
        texts = kibibytes(500)
        for name, peer in zip(names, everybody, strict=True):
            peer.say(*(b", ".join(names) + b", #all: " + name + b" " + text for text in texts))
        heard = await gatherResults([peer.lines(len(texts) * 11) for peer in everybody])
        for lines in heard:
            for sender in names:
                mine = [line for line in lines if line.startswith(b"from " + sender + b": ")]
                assert mine == [b"from %b: %b %b" % (sender, sender, text) for text in texts]
        totals = node.totals()
        assert totals.delivered == totals.accepted == 6 * 11 * len(texts)
    assert [peer.ends for peer in everybody] == [["ConnectionDone"]] * 6


async def test_any_protocol_of_twisteds_is_a_peer() -> None:
    class Lines(LineReceiver):
        delimiter = b"\n"

        def __init__(self, name: bytes) -> None:
            self.name = name
            self.heard: list[bytes] = []
            self.done = Peer()

        def connectionMade(self) -> None:
            self.sendLine(self.name)

        def lineReceived(self, line: bytes) -> None:
            self.heard.append(line)
            self.done.dataReceived(line + b"\n")

    class Only(LineOnlyReceiver):
        delimiter = b"\n"
        __init__ = Lines.__init__
        connectionMade = Lines.connectionMade
        lineReceived = Lines.lineReceived

    async with Node(reactor()) as node:
        lines = await connectProtocol(node.endpoint(), Lines(b"lines"))
        only = await connectProtocol(node.endpoint(), Only(b"only"))
        await gatherResults([peer.done.lines(1) for peer in (lines, only)])
        lines.sendLine(b"only: hello")
        assert await only.done.lines(1) == [b"from lines: hello"]
        only.sendLine(b"lines: hello")
        assert await lines.done.lines(1) == [b"from only: hello"]
        lines.transport.loseConnection()
        only.transport.loseConnection()


async def test_a_slow_reader_over_tcp_holds_up_one_in_memory_and_the_other_way_round() -> None:
    async with Node(
        reactor(), listen=[LOOPBACK], outbox_bytes="256KiB", direct_patience="60s", stall_timeout="90s"
    ) as node:
        pairs = [(await inside(node, b"a"), await outside(node, b"b")), (await outside(node, b"c"), None)]
        pairs[1] = (pairs[1][0], await inside(node, b"d"))
        texts = kibibytes(12_000)
        for (sender, receiver), to in zip(pairs, (b"b", b"d"), strict=True):
            assert receiver is not None
            receiver.end.pauseProducing()
            sender.say(*(to + b": " + text for text in texts))
        for (sender, receiver), name in zip(pairs, (b"a", b"c"), strict=True):
            assert receiver is not None
            receiver.end.resumeProducing()
            assert await receiver.lines(len(texts)) == [b"from " + name + b": " + text for text in texts]
            sender.say(b"/ping")
            assert await sender.lines(1) == [b"pong"]
        assert node.totals().adds_up


@pytest.mark.parametrize("number", [0, 1])
async def test_a_taken_port_is_raised_and_nothing_is_left_bound(number: int) -> None:
    taken = await serverFromString(reactor(), LOOPBACK).listen(Factory.forProtocol(Protocol))
    try:
        where = [LOOPBACK, f"tcp:{taken.getHost().port}:interface=127.0.0.1"]
        node = Node(reactor(), listen=where if number else where[::-1])
        with pytest.raises(CannotListenError):
            async with node:
                raise AssertionError("it has begun")
        assert not node.running
        assert all(listener.port is None for listener in node.listeners)
    finally:
        await taken.stopListening()


async def test_where_says_the_real_addresses(tmp_path: Any) -> None:
    listen: list[Any] = [
        LOOPBACK,
        TCP4ServerEndpoint(reactor(), 0, interface="127.0.0.1"),
        f"unix:{tmp_path}/socket",
        serverFromString(reactor(), f"unix:{tmp_path}/other"),
        r"tcp6:0:interface=\:\:1",
    ]
    async with Node(reactor(), listen=listen) as node:
        for where in node.where[:2]:
            scheme, host, port = where.split(":")
            assert (scheme, host) == ("tcp", "127.0.0.1")
            assert int(port) > 0
        assert node.where[2:4] == [f"unix:{tmp_path}/socket", f"unix:{tmp_path}/other"]
        assert node.where[4].startswith("tcp6:\\:\\:1:")
        for number in range(4):
            await outside(node, b"p%d" % number, number)
        where = node.where[0]
    with pytest.raises(ConnectError):
        await connectProtocol(clientFromString(reactor(), where), Peer())


async def test_an_exception_in_the_block_closes_what_was_bound() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Node(reactor(), listen=[LOOPBACK]) as node:
            alice, bob = await inside(node, b"alice"), await outside(node, b"bob")
            _ = 1 / 0
    assert not node.peers.connections
    assert await alice.lines(2) == await bob.lines(2) == [b"bye shutdown"]
    assert node.totals().adds_up


async def test_nodes_side_by_side() -> None:
    async with Node(reactor(), listen=[LOOPBACK]) as one, Node(reactor(), listen=[LOOPBACK]) as two:
        assert one.where != two.where
        first, second = await inside(one, b"alice"), await outside(two, b"alice")
        for peer in (first, second):
            peer.say(b"/who")
            assert await peer.lines(2) == [b"peer alice", b"ok who 1"]


async def test_nothing_of_the_process_is_touched_but_the_reactor() -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    async with Node(reactor(), listen=[LOOPBACK]) as node:
        await outside(node, b"alice")
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


PROGRAM = """
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Protocol
from nettool.embed import Node

class Bot(Protocol):
    def connectionMade(self):
        self.transport.write(b"bot\\n")
    def dataReceived(self, data):
        print(data.decode(), end="", flush=True)
    def connectionLost(self, reason):
        print("lost", flush=True)

async def main(reactor):
    async with Node(reactor) as node:
        await connectProtocol(node.endpoint(), Bot())
        if STOP:
            reactor.callLater(0, reactor.stop)
        await Deferred()

task.react(main)
"""


@pytest.mark.parametrize("stop", ["signal", "reactor"])
def test_a_program_whose_reactor_is_stopped_drains_its_node(stop: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM.replace("STOP", str(stop == "reactor"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with program:
        assert program.stdout is not None
        first = program.stdout.readline()
        if stop == "signal":
            program.send_signal(signal.SIGTERM)
        rest = program.stdout.read()
    assert first + rest == "ok login bot@node1\nbye shutdown\nlost\n"
