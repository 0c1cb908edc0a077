"""Two node processes with a link between them, as an operator starts them: keys, trusted nodes, a kill, a restart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.node import TCP, RealNode, RealPeer, Street, who

NETTOOL = str(Path(sys.executable).parent / "nettool")


def new_key(directory: Path, name: str) -> str:
    command = [NETTOOL, "identity", "new", "--state-dir", str(directory / name), "--node-name", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Pair:
    """`node1`, which waits for links, and `node2`, which dials it."""

    def __init__(self, directory: Path, run: Callable[..., Street]) -> None:
        self._directory = directory
        self._run = run
        (directory / "trusted-nodes").write_text(new_key(directory, "node1") + new_key(directory, "node2"))
        self.one = self.start("node1", "--link-listen", TCP, "--pending-timeout=1s")
        link = self.one.node.wait_for_log(r"listening on tcp:127\.0\.0\.1:\d+ for other nodes")
        found = re.search(r"tcp:([\d.]+:\d+) for other", link)
        assert found is not None
        self.address = found[1]
        self.two = self.start_two()

    def start(self, name: str, *options: str) -> Street:
        trusted = str(self._directory / "trusted-nodes")
        state = str(self._directory / name)
        return self._run(name, "--state-dir", state, "--trusted-nodes", trusted, "--log-format=text", *options)

    def start_two(self) -> Street:
        return self.start("node2", "--link-connect", f"node1={self.address}")

    def log_in(self, street: Street, name: str, node: str) -> RealPeer:
        return street.connect().login(name, node)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    streets: list[Street] = []

    def run(name: str, *options: str) -> Street:
        streets.append(Street(RealNode(tmp_path, *options, node_name=name)))
        streets[-1].node.wait_until_it_listens()
        return streets[-1]

    try:
        yield Pair(tmp_path, run)
    finally:
        for street in streets:
            street.close()
            street.node.kill()
            print(street.node.report())
    for street in streets:
        street.node.expect_no_surprise()


def wait_for(peer: RealPeer, name: bytes) -> None:
    """Until the peer's node lists it."""
    while name not in who(peer):
        pass


def test_lines_cross_a_link_and_a_killed_node_gives_them_back_until_it_is_there_again(pair: Pair) -> None:
    alice = pair.log_in(pair.one, "alice", "node1")
    bob = pair.log_in(pair.two, "bob", "node2")
    wait_for(alice, b"bob@node2")
    alice.say(b"bob@node2: one", b"bob: two")
    bob.expect(b"from alice@node1: one", b"from alice@node1: two")

    pair.two.node.kill()
    pair.one.node.wait_for_log(r"the link with node2 at 127\.0\.0\.1:\d+ ended: lost")
    alice.say(b"bob@node2: three")
    alice.expect(b"returned bob@node2 node-unreachable: three")

    pair.two = pair.start_two()
    bob = pair.log_in(pair.two, "bob", "node2")
    wait_for(alice, b"bob@node2")
    alice.say(b"bob@node2: four")
    bob.expect(b"from alice@node1: four")
    bob.say(b"alice: five")
    alice.expect(b"from bob@node2: five")

    bob.quit()
    alice.quit()
    assert pair.two.node.terminate() == 0, pair.two.node.report()
    assert pair.one.node.terminate() == 0, pair.one.node.report()
    for node in (pair.one.node, pair.two.node):
        totals = node.totals()
        assert totals["queued"] == 0, totals
        assert totals["accepted"] == totals["delivered"] + totals["returned"] + totals["dropped"], totals


def test_a_node_that_is_not_trusted_is_told_what_to_do_in_both_logs(pair: Pair, tmp_path: Path) -> None:
    line = new_key(tmp_path, "node3").strip()
    three = pair.start("node3", "--link-connect", f"node1={pair.address}")
    pair.one.node.wait_for_log(
        rf"node3 is not trusted; .*add to .*trusted-nodes the line, and reload: {re.escape(line)}"
    )
    three.node.wait_for_log(
        rf"refused: not-trusted: node1 does not trust this node; .*needs the line: {re.escape(line)}"
    )


def test_a_node_that_cannot_be_reached_is_told_once_with_the_reason(pair: Pair) -> None:
    assert pair.one.node.terminate() == 0
    said = pair.two.node.wait_for_log(r"node1 cannot be reached at ")
    assert "refused" in said
    pair.two.node.wait_for_log(r"retry 2 to connect node1 in")
    assert sum("cannot be reached" in line for line in pair.two.node.out) == 1
