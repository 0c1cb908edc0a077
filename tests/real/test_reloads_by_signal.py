"""Fifty times HUP for a process that has more to do than it can: every limit is in force at once, nobody is dropped."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.load import Load
from tests.real.node import RealPeer, Street

RELOADS = 50
LONGEST = 1001

CONFIGURATION = """\
[peers]
max-line = {max_line}

[delivery]
direct-patience = "forever"
topic-patience = "forever"
stall-timeout = "forever"
"""


def limit(number: int) -> int:
    """The longest line that the configuration of this number allows."""
    return LONGEST + 2 * number


def write(path: Path, number: int) -> None:
    path.write_text(CONFIGURATION.format(max_line=limit(number)))


def expect_in_force(number: int, *peers: RealPeer) -> None:
    for peer in peers:
        peer.say(b"x" * limit(number), b"x" * (limit(number) + 1))
        assert peer.barrier() == [b"error bad-line: " + b"x" * 60, b"error line-too-long: %d" % limit(number)]


@pytest.mark.bound(300)
def test_fifty_hups_at_full_load_drop_nobody_and_lose_nothing(
    start: Callable[..., Street], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("c") / "nettool.toml"
    write(path, 0)
    street = start("--config", str(path))
    old = street.peer("old")
    load = Load(street.node.endpoint())
    try:
        for number in range(1, RELOADS + 1):
            write(path, number)
            street.node.signal(signal.SIGHUP)
            street.node.wait_for_log(rf"peers\.max-line: {limit(number - 1)} -> {limit(number)}\b")
            new = street.peer("new")
            expect_in_force(number, old, new)
            assert new.quit() == []
            assert load.goes_on
        copies = load.end()
        assert old.quit() == []
    finally:
        load.close()
    street.node.terminate()
    totals = street.node.totals()
    assert (totals["accepted"], totals["delivered"]) == (copies, copies)
