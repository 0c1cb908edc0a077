"""Fifty reloads while a node has more to do than it can: every peer stays, and no line is lost or overtaken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from nettool.errors import CloseReason
from nettool.reloading import ReloadableNode
from nettool.tap import Options, makeService
from tests.real.load import RECEIVERS, SENDERS, Load
from tests.real.node import PATIENCE, RealPeer

RELOADS = 50
LONGEST = 1001
LINES = 5_000
"""That come and go from one reload to the next."""

CONFIGURATION = """\
[node]
name = "node1"

[peers]
listen = {listen}
max-line = {max_line}
max-addresses = {max_addresses}

[delivery]
outbox-bytes = "{outbox}KiB"
direct-patience = "forever"
topic-patience = "forever"
stall-timeout = "forever"
"""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the reactor turn until this is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not so: {what}"
        await deferLater(reactor, 0)


class LoadedNode:
    """A node on the test's reactor, its file, and one client that was there before all reloads."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "nettool.toml"
        self.directory = directory
        self.write(0)
        options = Options({})
        options.parseOptions(["--config", str(self.path)])
        self.node: ReloadableNode = makeService(options, reactor)
        self.node.privilegedStartService()
        self.node.startService()
        self.endpoint = self.node.listeners[0].where

    def write(self, number: int) -> None:
        """Other limits for each number; every fifth time a listener more or less."""
        listen = ["tcp:0:interface=127.0.0.1", f"unix:{self.directory}/{number // 5}"]
        self.path.write_text(
            CONFIGURATION.format(
                listen=listen, max_line=LONGEST + 2 * number, max_addresses=10 + number, outbox=128 + 64 * (number % 3)
            )
        )

    async def more_lines_have_gone(self, count: int) -> None:
        """Let the reactor turn until so many more have been delivered."""
        wanted = self.node.broker.snapshot().delivered + count
        await until(lambda: self.node.broker.snapshot().delivered >= wanted, "there is load")

    def expect_in_force(self, number: int, *peers: RealPeer) -> None:
        """Each of them is told the limits of this number, in order with everything else."""
        names = b", ".join(b"n%d" % n for n in range(11 + number))
        for peer in peers:
            peer.say(b"x" * (LONGEST + 2 * number + 1), names + b": hi")
            assert peer.barrier() == [
                b"error line-too-long: %d" % (LONGEST + 2 * number),
                b"error too-many-addresses: %d" % (10 + number),
            ]


@pytest.fixture
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedNode]:
    loaded = LoadedNode(tmp_path_factory.mktemp("n"))
    yield loaded
    pytest_twisted.blockon(Deferred.fromCoroutine(stopped(loaded.node)))


async def stopped(node: ReloadableNode) -> None:
    await node.stopService()


@pytest.mark.bound(300)
async def test_fifty_reloads_at_full_load_drop_nobody_and_lose_nothing(loaded: LoadedNode) -> None:
    node = loaded.node
    old = await deferToThread(lambda: RealPeer.connect(loaded.endpoint).login("old"))
    load = await deferToThread(Load, loaded.endpoint)
    try:
        for number in range(1, RELOADS + 1):
            await loaded.more_lines_have_gone(LINES)
            loaded.write(number)
            said = node.reload()
            assert f"peers.max-line: {LONGEST + 2 * number - 2} -> {LONGEST + 2 * number}" in said
            assert node.broker.snapshot().adds_up
            new = await deferToThread(lambda: RealPeer.connect(loaded.endpoint).login("new"))
            await deferToThread(loaded.expect_in_force, number, old, new)
            assert await deferToThread(new.quit) == []
            assert load.goes_on
        copies = await deferToThread(load.end)
        assert await deferToThread(old.quit) == []
    finally:
        load.close()
        old.close()
    await until(lambda: not node.peers.connections, "the node has seen everybody go")
    totals = node.broker.snapshot()
    assert (totals.accepted, totals.delivered, totals.queued) == (copies, copies, 0)
    assert not totals.returned and not totals.dropped
    assert node.peers.closed == {CloseReason.QUIT: RELOADS + SENDERS + RECEIVERS + 2}
    assert (node.reloads.applied, node.reloads.refused) == (RELOADS, 0)
