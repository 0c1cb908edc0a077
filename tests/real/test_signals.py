"""Signals, in each of the ways in which a node is started: in the foreground, as a daemon, and by twist."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import Start
from tests.real.node import DAEMON, KIB, ROOT, TWIST, TWISTD, Street, eventually

WAYS = {"twistd -n": TWISTD, "daemon": DAEMON, "twist": TWIST}
TEXT = b"x" * 1000

each_way = pytest.mark.parametrize("program", WAYS.values(), ids=WAYS)


def logged(street: Street, event: str) -> list[dict[str, Any]]:
    """The entries of this name that the node has logged so far."""
    entries = [json.loads(line) for line in list(street.node.out) if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == event]


def wait_for(street: Street, event: str) -> dict[str, Any]:
    street.node.wait_for_log(f'"event": "{event}"')
    return logged(street, event)[0]


@each_way
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_it_is_drained_and_ends_with_status_0(start: Start, program: tuple[str, ...], number: signal.Signals) -> None:
    street = start(program=program)
    alice, bob = street.peers("alice", "bob")
    alice.say(b"bob: hi")
    assert alice.barrier() == []
    street.node.signal(number)
    assert alice.to_end() == [b"bye shutdown"]
    assert bob.to_end() == [b"from alice: hi", b"bye shutdown"]
    alice.close()
    bob.close()
    assert street.node.wait() == 0
    assert street.node.totals()["delivered"] == 1
    [closed] = logged(street, "closed")
    assert closed["fields"] == {"closed": {"shutdown": 2}}


@each_way
def test_a_second_one_ends_it_at_once(start: Start, program: tuple[str, ...]) -> None:
    street = start("--drain-timeout=300s", "--stall-timeout=300s", program=program)
    alice, _bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(3000)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    wait_for(street, "draining")
    street.node.signal(signal.SIGINT)
    assert street.node.wait() == 0  # within 300 s, which is more than it is waited for
    [line] = logged(street, "stopping-at-once")
    assert line["level"] == "warn"


@each_way
def test_hup_keeps_every_peer_and_is_answered_in_the_log(start: Start, program: tuple[str, ...]) -> None:
    street = start(program=program)
    alice = street.peer("alice")
    for _ in range(3):
        street.node.signal(signal.SIGHUP)
        eventually(lambda: alice.barrier() == [] and logged(street, "reloaded"), "it has read its configuration again")
    assert street.node.terminate() == 0


@each_way
def test_usr2_writes_the_node_its_peers_topics_and_queues_to_the_log(start: Start, program: tuple[str, ...]) -> None:
    street = start("--stall-timeout=300s", "--drain-timeout=100ms", program=program)
    alice, bob = street.hearer("alice", b"#news"), street.peer("bob", receive_buffer=64 * KIB)
    alice.say(*(b"bob: %d %s" % (number, TEXT) for number in range(3000)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGUSR2)
    assert wait_for(street, "dumped")["fields"] == {"rows": 5}
    rows = [entry["fields"] for entry in logged(street, "dump")]
    assert [row["kind"] for row in rows] == ["node", "peer", "peer", "topic", "queue"]
    node, _, slow, topic, queue = [row["row"] for row in rows]
    assert node["state"] == "running"
    assert (slow["name"], topic) == ("bob", {"name": "#news", "hearers": 1})
    assert slow["queued_bytes"] > 1_000_000
    assert queue["fillers"][0]["name"] == "alice"
    assert alice.barrier() == []
    bob.close()
    alice.close()
    assert street.node.terminate() == 0


@pytest.mark.parametrize("program", [TWISTD, TWIST], ids=["twistd -n", "twist"])
def test_usr1_without_a_log_file_does_nothing(start: Start, program: tuple[str, ...]) -> None:
    street = start(program=program)
    alice = street.peer("alice")
    for _ in range(3):
        street.node.signal(signal.SIGUSR1)
        assert alice.barrier() == []
    assert street.node.terminate() == 0
    assert logged(street, "log-rotated") == []


# --- rotation


def start_with_file(start: Start, program: tuple[str, ...], log: Path) -> Street:
    """A node that logs to a file."""
    options = (f"--log-file={log}", "--log-format=json") if program == TWIST else (f"--logfile={log}",)
    return start(program=(*program, *options), log_file=log)


@each_way
def test_a_log_file_that_was_moved_away_is_made_anew(start: Start, program: tuple[str, ...], tmp_path: Path) -> None:
    log = tmp_path / "twistd.log"
    street = start_with_file(start, program, log)
    alice = street.peer("alice")
    mode = log.stat().st_mode
    for number in range(1, 4):
        moved = log.rename(tmp_path / f"twistd.log-{number}")
        street.node.signal(signal.SIGUSR1)
        eventually(lambda: alice.barrier() == [] and log.exists() and log.read_text(), "there is a new log file")
        first = json.loads(log.read_text().splitlines()[0])
        assert (first["event"], first["fields"]) == ("log-rotated", {"path": str(log)})
        assert log.stat().st_mode == mode
        before = moved.read_bytes()
        street.node.signal(signal.SIGHUP)
        eventually(lambda: alice.barrier() == [] and "reloaded" in log.read_text(), "it writes to the new one")
        assert moved.read_bytes() == before
    alice.close()
    assert street.node.terminate() == 0
    assert "totals" in log.read_text()


@each_way
def test_a_log_file_that_nobody_moved_is_moved_as_twistd_does_it(
    start: Start, program: tuple[str, ...], tmp_path: Path
) -> None:
    log = tmp_path / "twistd.log"
    street = start_with_file(start, program, log)
    alice = street.peer("alice")
    for number in (1, 2):
        street.node.signal(signal.SIGUSR1)
        older = tmp_path / f"twistd.log.{number}"
        eventually(lambda older=older: alice.barrier() == [] and older.exists(), "the file has moved")  # type: ignore[misc]
    assert "listening on" in older.read_text()
    eventually(lambda: alice.barrier() == [] and "log-rotated" in log.read_text(), "there is a new one")
    alice.close()
    assert street.node.terminate() == 0
    assert sorted(path.name for path in tmp_path.glob("twistd.log*")) == ["twistd.log", "twistd.log.1", "twistd.log.2"]


# --- before the reactor runs

EARLY = '''
import os
import signal
import sys

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer


class Early(TCP4ServerEndpoint):
    """Is bound where signals come in the meantime: the reactor does not run yet."""

    def listen(self, factory):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        return super().listen(factory)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "early"

    def parseStreamServer(self, reactor):
        return Early(reactor, 0, interface="127.0.0.1")


parser = Parser()
'''


@each_way
def test_what_comes_while_it_starts_does_not_kill_it_and_is_done_later(
    start: Start, program: tuple[str, ...], tmp_path: Path
) -> None:
    plugins = tmp_path / "path" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "early.py").write_text(EARLY)
    environment = {"PYTHONPATH": str(tmp_path / "path")}
    street = start(program=program, listen=("early", "tcp:0:interface=127.0.0.1"), environment=environment)
    wait_for(street, "dumped")
    assert street.peer("alice").barrier() == []
    assert street.node.terminate() == 0
    # A daemon's log was rotated meanwhile, since USR1 came too.
    written = [path.read_text() for path in tmp_path.glob("twistd.log*")] or street.node.out
    assert sum(text.count('"event": "reloaded"') for text in written) == 1


@pytest.mark.system("logrotate")
def test_logrotate_rotates_the_log_of_a_daemon_as_we_tell_it_to(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "nettool.log"
    street = start(program=(*DAEMON, f"--logfile={log}"), log_file=log)
    alice = street.peer("alice")
    configuration = tmp_path / "configuration"
    text = (ROOT / "contrib" / "logrotate" / "nettool").read_text()
    for ours, here in (("/var/log/nettool/nettool.log", log), ("/run/nettool.pid", tmp_path / "twistd.pid")):
        assert ours in text
        text = text.replace(ours, str(here))
    configuration.write_text(text)
    for number in (1, 2):
        subprocess.run(["logrotate", "--force", "--state", tmp_path / "state", configuration], check=True)
        eventually(lambda: alice.barrier() == [] and log.exists() and log.read_text(), "there is a new log file")
        assert "log-rotated" in log.read_text()
        assert (tmp_path / "nettool.log.1").exists()
        assert (tmp_path / "nettool.log.2.gz").exists() == (number == 2)
    alice.close()
    assert street.node.terminate() == 0
