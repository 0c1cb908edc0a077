"""Options that name other nodes, and reloads of them, on real sockets over TLS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from nettool.cluster.identity import Identity
from nettool.cluster.identity.keys import KEY_FILE
from nettool.embed.inside import InsideEndpoint
from nettool.reloading import ReloadableNode
from nettool.settings import LinkSettings, Settings
from nettool.tap import Options, makeService
from tests.cluster.peers import Talker

LOCAL = "tcp:0:interface=127.0.0.1"


class Told:
    """A node that is told by a file of its own, which has a key before it starts."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        directory.mkdir()
        self.name = name
        self.trusted = directory / "trusted-nodes"
        self.identity = Identity.kept_in(str(directory), name.encode())
        self.node: Any = None

    def write(self, **keys: Any) -> None:
        text = "".join(f"{key.replace('_', '-')} = {json.dumps(value)}\n" for key, value in keys.items())
        (self.directory / "nettool.toml").write_text(
            f'[node]\nname = "{self.name}"\nstate-dir = "{self.directory}"\n'
            f'[peers]\nlisten = "{LOCAL}"\n'
            f"[links]\n{text}"
        )

    def trusts(self, *others: Told) -> str:
        self.trusted.write_text("".join(f"{other.identity.public}\n" for other in others))
        return str(self.trusted)

    def start(self, **keys: Any) -> ReloadableNode:
        self.write(**keys)
        options = Options({})
        options.parseOptions(["--config", str(self.directory / "nettool.toml")])
        self.node = makeService(options, reactor)
        self.node.privilegedStartService()
        self.node.startService()
        return self.node  # type: ignore[no-any-return]

    @property
    def address(self) -> str:
        """How others dial it."""
        return next(f"127.0.0.1:{port.getHost().port}" for port in self._ports("other nodes"))

    def _ports(self, purpose: str) -> Iterator[Any]:
        return (listener.port for listener in self.node.listeners if listener.purpose == purpose)

    def reload(self, **keys: Any) -> str:
        self.write(**keys)
        said: str = self.node.reload()
        return said

    @property
    def linked(self) -> list[str]:
        """The nodes with which there is a link."""
        if self.node.links is None:
            return []
        return [n.name.decode() for n in self.node.links.linked.neighbours.values() if n.link is not None]

    def link_to(self, other: Told) -> object:
        """The link itself, to be compared."""
        return self.node.links.linked.neighbours[other.name.encode()].link

    async def peer(self, name: bytes) -> Talker:
        talker = Talker()
        InsideEndpoint(reactor, self.name, self.node.peers, lambda: True).connect(
            Factory.forProtocol(lambda: talker)  # type: ignore[arg-type]
        )
        talker.say(name)
        assert await hears(talker, 1) == [b"ok login %b@%b" % (name, self.name.encode())]
        return talker


async def until(condition: Callable[[], object]) -> None:
    """Turns of the reactor, until it holds; the test's own bound ends it otherwise."""
    while not condition():
        await deferLater(reactor, 0.005)


async def hears(talker: Talker, count: int) -> list[bytes]:
    """The next lines, so many."""
    lines: list[bytes] = []
    while len(lines) < count:
        await deferLater(reactor, 0.005)
        lines += talker.heard()
    return lines


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Callable[[str], Told]]:
    """Nodes by name."""
    nodes: list[Told] = []

    def make(name: str) -> Told:
        nodes.append(Told(tmp_path / name, name))
        return nodes[-1]

    yield make
    for told in nodes:
        if told.node is not None:
            pytest_twisted.blockon(told.node.stopService())


Tell = Callable[[str], Told]


def pair(tell: Tell) -> tuple[Told, Told]:
    """Two that run and trust each other; the second one dials the first."""
    one, two = tell("node1"), tell("node2")
    one.start(listen=LOCAL, trusted_nodes=one.trusts(two))
    two.start(connect=f"node1={one.address}", trusted_nodes=two.trusts(one))
    return one, two


@pytest_twisted.ensureDeferred
async def test_two_nodes_link_as_their_options_say_and_carry_lines(tell: Tell) -> None:
    one, two = pair(tell)
    await until(lambda: one.linked == ["node2"] and two.linked == ["node1"])
    alice, bob = await one.peer(b"alice"), await two.peer(b"bob")
    bob.say(b"/join #t")
    assert await hears(bob, 1) == [b"ok join #t"]
    alice.say(b"bob@node2: there")
    assert await hears(bob, 1) == [b"from alice@node1: there"]
    bob.say(b"alice@node1,#t: back")
    assert await hears(alice, 1) == [b"from bob@node2: back"]


def test_a_node_alone_has_no_links_and_makes_no_key(tell: Tell) -> None:
    alone = tell("alone")
    (alone.directory / KEY_FILE).unlink()
    node = alone.start()
    assert node.links is None and not (alone.directory / KEY_FILE).exists()
    assert alone.reload() == "reloaded: nothing changed"
    assert node.links is None and not (alone.directory / KEY_FILE).exists()


@pytest_twisted.ensureDeferred
async def test_a_reload_links_a_node_that_was_alone_with_the_peers_it_has(tell: Tell) -> None:
    one, two = tell("node1"), tell("node2")
    one.start(listen=LOCAL, trusted_nodes=one.trusts(two))
    two.start()
    bob = await two.peer(b"bob")
    bob.say(b"/join #t")
    assert await hears(bob, 1) == [b"ok join #t"]
    said = two.reload(connect=f"node1={one.address}", trusted_nodes=two.trusts(one))
    assert f"links.connect: none -> node1={one.address}" in said
    assert f"links.trusted-nodes: none -> {two.trusted}" in said
    await until(lambda: one.linked == ["node2"])
    alice = await one.peer(b"alice")
    await until(lambda: b"bob@node2" in one.node.broker.directory.far)
    alice.say(b"bob: here already", b"#t: and this")
    assert await hears(bob, 2) == [b"from alice@node1: here already", b"from alice@node1 to #t: and this"]


@pytest_twisted.ensureDeferred
async def test_a_reload_adds_and_removes_links_and_touches_no_other(tell: Tell) -> None:
    one, two = pair(tell)
    await until(lambda: one.linked == ["node2"])
    kept = one.link_to(two)
    three = tell("node3")
    said = one.reload(listen=LOCAL, trusted_nodes=one.trusts(two, three))
    assert said == "reloaded: links.trusted-nodes: node3 is trusted"
    three.start(connect=f"node1={one.address}", trusted_nodes=three.trusts(one))
    await until(lambda: sorted(one.linked) == ["node2", "node3"])
    said = one.reload(listen=LOCAL, trusted_nodes=one.trusts(two))
    assert said == "reloaded: links.trusted-nodes: node3 is trusted no more"
    await until(lambda: one.linked == ["node2"] and three.linked == [])
    assert one.link_to(two) is kept


@pytest_twisted.ensureDeferred
async def test_a_wrong_file_of_trusted_nodes_is_refused_whole_and_links_go_on(tell: Tell) -> None:
    one, two = pair(tell)
    await until(lambda: one.linked == ["node2"])
    kept = one.link_to(two)
    one.trusted.write_text("node2\n")
    said = one.reload(listen=LOCAL, trusted_nodes=str(one.trusted), pending_timeout="5s")
    assert said.startswith("reload refused, and nothing changed: ") and f"{one.trusted}:1: " in said
    assert one.link_to(two) is kept and one.node.live.links.pending_timeout == 30.0
    await deferLater(reactor, 0)
    assert one.linked == ["node2"]


@pytest_twisted.ensureDeferred
async def test_another_key_is_shown_from_the_reload_on_and_the_link_that_there_is_stays(tell: Tell) -> None:
    one, two = pair(tell)
    await until(lambda: one.linked == ["node2"] and two.linked == ["node1"])
    kept = two.link_to(one)
    (two.directory / KEY_FILE).unlink()
    keys = {"connect": f"node1={one.address}", "trusted_nodes": str(two.trusted)}
    said = two.reload(**keys)
    two.identity = Identity.kept_in(str(two.directory), b"node2")
    assert said == f"reloaded: node.state-dir: the node has another key, {two.identity.public}"
    assert two.link_to(one) is kept
    one.reload(listen=LOCAL, trusted_nodes=one.trusts(two))  # which knew the old one
    await until(lambda: two.linked == ["node1"] and two.link_to(one) is not kept)


@pytest_twisted.ensureDeferred
async def test_a_key_that_cannot_be_used_refuses_the_reload(tell: Tell) -> None:
    one, _two = pair(tell)
    await until(lambda: one.linked == ["node2"])
    (one.directory / KEY_FILE).write_text("no key\n")
    said = one.reload(listen=LOCAL, trusted_nodes=str(one.trusted))
    assert said.startswith("reload refused, and nothing changed: ") and KEY_FILE in said
    assert one.linked == ["node2"]


def test_links_without_a_state_directory_or_with_nothing_trusted_are_told(
    tell: Tell, capfd: pytest.CaptureFixture[str]
) -> None:
    options = Options({"HOME": "", "STATE_DIRECTORY": ""})
    with pytest.raises(SystemExit):
        options.parseOptions(["--link-listen", LOCAL, "--state-dir", ""])
    assert "--state-dir" in capfd.readouterr().err
    assert Settings(links=LinkSettings(listen=(LOCAL,))).check()[0].keys == ("node.state-dir", "links.listen")
    one = tell("node1")
    one.start(listen=LOCAL)
    assert one.node.live.settings.warnings() == [
        "trusted-nodes names no file, so no node is trusted, and none can link"
    ]
