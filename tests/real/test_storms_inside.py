"""Storms on a node in the test's own process, on the real reactor: its ledger adds up at every moment, and nothing of
those who have gone is left in memory.

These tests alone may look inside; the clients are those of the other storms, in a thread.
"""

import gc
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.tcp import Connection
from twisted.internet.threads import blockingCallFromThread, deferToThread

from nettool.peers.factory import REMEMBERED
from nettool.tap import Options, makeService
from tests.real.books import Totals
from tests.real.node import PATIENCE, TCP, RealPeer, eventually, who
from tests.real.storm import OPTIONS, Ending, Storm
from tests.real.test_seeded_storms import seeds, told_how_to_repeat


class Inside:
    """A node on the test's reactor, whose ledger is looked at every few milliseconds."""

    def __init__(self, taken: str) -> None:
        options = Options()
        words = [word for pair in OPTIONS for word in pair]
        options.parseOptions(
            ["--listen", TCP, "--node-name", "node1", "--on-name-taken", taken, "--drain-timeout", "20s", *words]
        )
        self.service = makeService(options, reactor)
        self.service.privilegedStartService()
        self.service.startService()
        self.endpoint: str = self.service.listeners[0].where
        self.looks = 0
        self._before = self.totals()
        self._watch = LoopingCall(self._look)
        self._watched = self._watch.start(0.003)
        self._stopped: Deferred[None] | None = None

    def totals(self) -> Totals:
        """The ledger now, as the log would tell it."""
        return Totals(str(self.service.broker.snapshot()))

    def _look(self) -> None:
        """What must hold at every moment."""
        now = self.totals()
        now.expect_balance()
        for word, count in self._before.counts.items():
            assert word == "queued" or count <= now.counts[word], f"{self._before.text}, then {now.text}"
        for connection in self.service.peers.connections:
            backlog = connection.session.outbox.backlog
            if backlog is not None:
                held = backlog.direct.held + backlog.topic.held
                assert held >= sum(len(batch.data) for batch in backlog.batches()), "less is counted than is held"
        self._before = now
        self.looks += 1

    async def alone(self) -> None:
        """When the node, too, has seen that all clients have gone."""
        deadline = time.monotonic() + PATIENCE
        while self.service.peers.connections:
            assert time.monotonic() < deadline, f"still there: {self.service.peers.connections}"
            await deferLater(reactor, 0)

    def stop(self) -> None:
        """Begin to drain; a second time, cut it short.  From whatever thread."""
        if self._stopped is None:
            blockingCallFromThread(reactor, self._stop)
        else:
            blockingCallFromThread(reactor, self.service.abort)

    def _stop(self) -> None:
        self._stopped = self.service.stopService()

    async def ended(self) -> Totals:
        """The end of the drain, and the ledger then."""
        if self._stopped is None:
            self._stop()
        assert self._stopped is not None
        await self._stopped
        if self._watch.running:
            self._watch.stop()
        await self._watched
        return self.totals()


@pytest.fixture
def inside(request: pytest.FixtureRequest) -> Iterator[Inside]:
    """A node in this process; it is drained with the test."""
    node = Inside(getattr(request, "param", "reject"))
    yield node
    pytest_twisted.blockon(Deferred.fromCoroutine(node.ended()))


def of_the_node() -> Counter[str]:
    """How many objects of the node's and of its connections there are, by type."""
    for _ in range(3):
        gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    found = Counter(
        kind.__qualname__
        for kind in kinds
        # A class may have a property of that name for its instances.
        if str(kind.__module__).startswith("nettool.") or issubclass(kind, Connection)
    )
    # Not by type: the reactor keeps cancelled ones for a while, and the test has some of its own.
    for call in reactor.getDelayedCalls():
        func = getattr(call, "func", None)
        found[f"delayed {func!r}"] += getattr(func, "__module__", "").startswith("nettool.")
    return found


async def more_than(before: Counter[str]) -> list[str]:
    """What there is more of than before, but for the one plan that routing keeps, and the bounded lists of the gone."""
    await deferLater(reactor, 0)  # the end of a turn, if one is due
    more = of_the_node() - before - Counter(Plan=1, ClosedConnection=2 * REMEMBERED)
    return [f"{count} more {kind}" for kind, count in sorted(more.items())]


def in_thread(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """The clients' part, while the reactor is the node's."""
    return deferToThread(call, *arguments)


@pytest.mark.parametrize("inside", ["reject", "takeover"], indirect=True)
@pytest.mark.parametrize("seed", seeds(3))
async def test_the_ledger_adds_up_at_every_moment_and_nobody_who_has_gone_is_left(
    request: pytest.FixtureRequest, inside: Inside, seed: int
) -> None:
    taken = request.node.callspec.params["inside"]
    with told_how_to_repeat(request, seed):
        assert not any(inside.totals().counts.values())
        before = of_the_node()
        storm = Storm(f"{seed} inside {taken}", inside.endpoint, takeover=taken == "takeover")
        try:
            await in_thread(blow_over, storm)
            await inside.alone()
            storm.close_books(inside.totals().text, strict=True)
            assert inside.looks > 10
            assert await more_than(before) == []
        finally:
            storm.crowd.close()


@pytest.mark.parametrize("ending", [Ending.SUDDEN, Ending.TWICE], ids=lambda ending: ending.value)
@pytest.mark.parametrize("seed", seeds(4))
async def test_the_ledger_adds_up_at_every_moment_of_a_drain(
    request: pytest.FixtureRequest, inside: Inside, seed: int, ending: Ending
) -> None:
    with told_how_to_repeat(request, seed):
        before = of_the_node()
        storm = Storm(f"{seed} inside {ending.value}", inside.endpoint, takeover=False)
        try:
            await in_thread(blow_and_end, storm, ending, inside.stop)
            storm.close_books((await inside.ended()).text, strict=ending is Ending.SUDDEN)
            assert await more_than(before) == []
        finally:
            storm.crowd.close()


def blow_and_end(storm: Storm, ending: Ending, stop: Callable[[], None]) -> None:
    """A storm in the middle of which the node is stopped."""
    storm.set_up()
    storm.blow()
    storm.end(ending, stop)


MIXED = (
    b"",
    b"fleeting%d\n",
    b"fleeting%d\n/join #a, #b\n#a: hello\nsteady: hello\n",
    b"steady\n",
    b"fleeting%d\n/quit\n",
    b"%d" + b"x" * 20_000 + b"\n",
    b"fleeting%d\n/watch\n/who\nsteady, #a: hello\n#a, #b: hello\n",
    b"flee",
)


async def test_nothing_of_2000_fleeting_connections_is_left(inside: Inside) -> None:
    host, _, port = inside.endpoint.removeprefix("tcp:").rpartition(":")

    def come_and_go(rounds: int) -> None:
        for number in range(rounds):
            with socket.create_connection((host, int(port)), PATIENCE) as stream:
                words = MIXED[number % len(MIXED)]
                stream.sendall(words % number if b"%d" in words else words)
                match number // len(MIXED) % 4:
                    case 0:  # a reset
                        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    case 1:
                        stream.shutdown(socket.SHUT_WR)
                        while stream.recv(65536):
                            pass
                    case _:
                        pass

    def alone() -> None:
        eventually(lambda: who(steady) == [b"steady"], "all have gone")

    steady = RealPeer.connect(inside.endpoint)
    try:
        await in_thread(steady.login, "steady")
        await in_thread(come_and_go, len(MIXED))
        await in_thread(alone)
        before = of_the_node()
        await in_thread(come_and_go, 2000)
        await in_thread(alone)
        assert await more_than(before) == []
        assert inside.service.broker.directory.topics == {}
        assert len(inside.service.peers.connections) == 1
    finally:
        steady.close()


def blow_over(storm: Storm) -> None:
    """A storm after which everybody goes, and the node stays."""
    storm.set_up()
    storm.blow()
    storm.everybody_is_answered()
    storm.everybody_goes()
