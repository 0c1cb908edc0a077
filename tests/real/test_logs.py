"""The log of a real process: its formats, its bursts, and what becomes of it when nobody reads or the disk is full."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.conftest import Start
from tests.real.node import DAEMON, NODE_NAME, PATIENCE, TWIST, TWISTD, RealPeer, Street, eventually
from tests.real.test_signals import WAYS, logged

FOREGROUND = pytest.mark.parametrize("program", [TWISTD, TWIST], ids=["twistd -n", "twist"])
TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error|critical) +\S.* \[[\w.-]+( .*)?\]")


def ended(street: Street) -> list[str]:
    """The log of a node that is ended now."""
    assert street.node.terminate() == 0
    return [line for line in street.node.out if not line.startswith("daemon ")]


# --- formats and levels


@pytest.mark.parametrize("program", WAYS.values(), ids=WAYS)
def test_where_no_terminal_reads_it_every_line_is_a_json_object(start: Start, program: tuple[str, ...]) -> None:
    street = start(program=program)
    street.peer("alice").quit()
    entries = [json.loads(line) for line in ended(street)]
    assert all(
        {"time", "level", "namespace", "event", "message", "fields"} <= entry.keys() and entry["level"] == "info"
        for entry in entries
    )
    events = [entry["event"] for entry in entries if entry["event"]]
    assert events == ["listening", "draining", "closed", "totals"]
    [totals] = logged(street, "totals")
    assert totals["fields"]["ledger"]["accepted"] == 0


@pytest.mark.parametrize("program", WAYS.values(), ids=WAYS)
def test_text_is_a_line_for_each_event(start: Start, program: tuple[str, ...]) -> None:
    lines = ended(start("--log-format=text", program=program))
    assert [line for line in lines if not TEXT.fullmatch(line)] == []
    assert any(re.search(rf"info +{NODE_NAME} listening on tcp:127.0.0.1:\d+ \[listening\]$", line) for line in lines)
    assert any("info     totals: accepted=0 " in line for line in lines)


@pytest.mark.parametrize("program", [TWISTD, DAEMON, TWIST], ids=["twistd -n", "daemon", "twist"])
def test_what_is_below_the_level_is_left_out(start: Start, program: tuple[str, ...], tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    street = start("--log-level=warn", "--on-name-taken=takeover", "--listen", address, listen=(), program=program)
    street.node.wait_for_log("config-warning")
    assert {json.loads(line)["level"] for line in ended(street)} == {"warn"}


def on_a_terminal(program: Sequence[str], *options: str) -> Iterator[str]:
    """The log of a node that has a terminal, line by line."""
    leader, follower = pty.openpty()
    command = [str(Path(sys.executable).parent / program[0]), *program[1:], "nettool", "--listen=tcp:0", *options]
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as node:
        os.close(follower)
        with open(leader, encoding="utf-8") as terminal:
            try:
                for line in terminal:
                    if "listening on" in line:
                        node.send_signal(signal.SIGTERM)
                    yield line.rstrip()
            except OSError:  # its end, where a terminal has one
                pass
        assert node.wait(PATIENCE) == 0


@FOREGROUND
def test_on_a_terminal_it_is_text_unless_it_is_told_otherwise(
    program: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(on_a_terminal(program))
    assert any("totals" in line for line in lines)
    assert [line for line in lines if not TEXT.fullmatch(line)] == []
    assert all(json.loads(line) for line in on_a_terminal(program, "--log-format=json"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--log-format=xml", "--log-format: expected text or json, not 'xml'"),
        ("--log-level=loud", "--log-level: expected debug or info or warn or error or critical, not 'loud'"),
    ],
)
def test_what_is_no_format_or_level_is_told_in_one_line(option: str, said: str) -> None:
    command = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "nettool", option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (78, "", f"nettool: {said}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", "--logfile=/none/x.log"], "logfile: /none/x.log: No such file or directory"),
        (["--logfile=-"], "logfile: a daemon cannot log to its standard output; name a file, or add -n"),
    ],
)
def test_a_log_that_cannot_be_opened_is_told_in_one_line(words: list[str], said: str) -> None:
    command = [str(Path(sys.executable).parent / "twistd"), "--pidfile=", *words, "nettool", "--listen=tcp:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (78, "", f"nettool: {said}\n")


# --- where else twistd logs


def test_with_a_logger_named_that_one_has_the_log_and_signals_work(start: Start, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "import sys\nfrom twisted.logger import textFileLogObserver\n"
        "def observer():\n    print('theirs', flush=True)\n    return textFileLogObserver(sys.stdout)\n"
    )
    program = (*TWISTD, "--logger=theirs.observer")
    street = start(program=program, environment={"PYTHONPATH": str(tmp_path)})
    alice = street.peer("alice")
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2):
        street.node.signal(number)
        assert alice.barrier() == []
    street.node.wait_for_log("reloaded: nothing changed")
    lines = ended(street)
    assert lines[0] == "theirs"
    assert not [line for line in lines if line.startswith("{")]


def test_with_syslog_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    program = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "--syslog", "nettool"]
    path = tmp_path / "socket"
    with subprocess.Popen([*program, f"--listen=unix:{path}"], cwd=tmp_path, stdout=subprocess.PIPE) as node:
        peer = connect_when_there(path)
        peer.login("alice", socket.gethostname().partition(".")[0])
        node.send_signal(signal.SIGTERM)
        assert peer.to_end() == [b"bye shutdown"]
        peer.close()
        assert node.wait(PATIENCE) == 0
        assert node.stdout is not None
        assert node.stdout.read() == b""
    assert [each.name for each in tmp_path.iterdir()] == []


# --- bursts


def test_connections_without_descriptors_are_a_few_lines_and_a_count_that_is_right(start: Start) -> None:
    street = start(descriptors=48)
    alice = street.peer("alice")
    for _ in range(8):
        crowd = [street.connect() for _ in range(100)]
        assert alice.barrier() == []
        street.close_only(*crowd)
    alice.quit()
    lines = ended(street)
    refused = logged(street, "connection-refused")
    counted = sum(entry["fields"].get("repeated", 1) for entry in refused)
    assert counted > 200
    assert len(refused) < 30 < counted
    assert {entry["level"] for entry in refused} == {"warn"}
    assert len(lines) < 100
    assert logged(street, "out-of-descriptors")


@contextmanager
def muted(tmp_path: Path, *words: str, size: int = 4096) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A node whose standard output is a pipe that nobody reads: the node, the pipe's other end, its address."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
    path = tmp_path / "socket"
    program = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", *words, "nettool"]
    command = [*program, f"--listen=unix:{path}", f"--node-name={NODE_NAME}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=writer) as node:
        os.close(writer)
        try:
            yield node, reader, path
        finally:
            node.kill()


def connect_when_there(path: Path) -> RealPeer:
    """A peer of a node whose log cannot tell where it listens."""

    def connected() -> RealPeer | None:
        try:
            return RealPeer.connect(f"unix:{path}")
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)  # nothing else can be asked until it is there
            return None

    return eventually(connected, "the node listens")


def test_a_reader_of_the_log_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with muted(tmp_path) as (node, reader, path):
        alice = connect_when_there(path).login("alice")
        for _ in range(200):  # each writes a line, which is much more than the pipe takes
            node.send_signal(signal.SIGHUP)
            assert alice.barrier() == []
        alice.close()
        node.send_signal(signal.SIGTERM)
        assert node.wait(PATIENCE) == 0
        with open(reader, "rb") as stream:
            assert [json.loads(line)["level"] for line in stream.read().splitlines()[:1]] == ["info"]


def test_a_reader_of_the_log_that_reads_late_gets_all_in_order(tmp_path: Path) -> None:
    with muted(tmp_path) as (node, reader, path), open(reader, encoding="utf-8") as stream:
        alice = connect_when_there(path).login("alice")
        for _ in range(50):
            node.send_signal(signal.SIGHUP)
            assert alice.barrier() == []
        node.send_signal(signal.SIGUSR2)
        found = []
        for line in stream:
            found.append(json.loads(line)["event"])
            if found[-1] == "dumped":
                node.send_signal(signal.SIGTERM)
        assert node.wait(PATIENCE) == 0
        alice.close()
    assert "reloaded" in found
    assert found[-3:] == ["totals", None, None]
    assert "log-lost" not in found


def test_a_reader_of_the_log_that_has_gone_harms_nothing(tmp_path: Path) -> None:
    with muted(tmp_path) as (node, reader, path):
        alice = connect_when_there(path).login("alice")
        os.close(reader)
        for _ in range(20):
            node.send_signal(signal.SIGHUP)
            assert alice.barrier() == []
        alice.close()
        node.send_signal(signal.SIGTERM)
        assert node.wait(PATIENCE) == 0


def test_a_full_disk_harms_nothing(tmp_path: Path) -> None:
    with muted(tmp_path, "--logfile=/dev/full") as (node, reader, path):
        alice = connect_when_there(path).login("alice")
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            node.send_signal(number)
            assert alice.barrier() == []
        alice.close()
        node.send_signal(signal.SIGTERM)
        assert node.wait(PATIENCE) == 0
        os.close(reader)
    assert Path("/dev/full").is_char_device(), "USR1 must not rename it"
