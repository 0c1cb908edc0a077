"""A node as systemd runs it: what it tells, sockets that it is given, and the unit files."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, PATIENCE, ROOT, TWIST, TWISTD, Street

CONTRIB = ROOT / "contrib" / "systemd"
ACTIVATE = str(Path(__file__).with_name("activate.py"))


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE)
        self.environment = {"NOTIFY_SOCKET": address}

    def next(self) -> dict[str, str]:
        """The next message."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def until(self, key: str) -> list[dict[str, str]]:
        """All messages up to the first that assigns this, with it."""
        messages = [self.next()]
        while key not in messages[-1]:
            messages.append(self.next())
        return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@nettool-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


@pytest.mark.parametrize("program", [TWISTD, TWIST], ids=["twistd -n", "twist"])
def test_it_says_when_it_is_ready_when_it_reloads_and_when_it_stops(
    start: Start, program: tuple[str, ...], manager: Manager
) -> None:
    street = start(program=program, environment=manager.environment)
    ready = manager.next()
    assert ready["READY"] == "1"
    assert ready["STATUS"] == "0 connections"
    street.node.signal(signal.SIGHUP)
    reloading = manager.next()
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.next()["READY"] == "1"
    assert street.node.terminate() == 0
    assert manager.next() == {"STOPPING": "1", "STATUS": "draining"}
    assert int(manager.next()["EXTEND_TIMEOUT_USEC"]) > 5_000_000


def test_ready_means_that_every_listener_is_bound(start: Start, manager: Manager, tmp_path: Path) -> None:
    paths = [tmp_path / f"socket{number}" for number in range(3)]
    start(listen=tuple(f"unix:{path}" for path in paths), environment=manager.environment)
    assert manager.next()["READY"] == "1"
    for path in paths:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))


def test_it_gives_signs_of_life_twice_in_the_time_while_idle_and_while_it_drains(
    start: Start, manager: Manager
) -> None:
    environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
    street = start("--drain-timeout=60s", "--stall-timeout=300s", environment=environment)
    assert manager.until("READY")
    assert len([message for message in (manager.next() for _ in range(4)) if "WATCHDOG" in message]) == 4
    alice, bob = street.peer("alice"), street.peer("bob", receive_buffer=64 * KIB)
    alice.say(*(b"bob: %d %s" % (number, b"x" * 1000) for number in range(3000)))
    assert alice.barrier() == []
    street.node.signal(signal.SIGTERM)
    manager.until("STOPPING")
    manager.until("WATCHDOG")
    manager.until("WATCHDOG")
    street.node.signal(signal.SIGTERM)
    assert street.node.wait() == 0
    for peer in (alice, bob):
        peer.close()


def test_a_process_that_is_stopped_gives_none(start: Start, manager: Manager) -> None:
    street = start(environment={**manager.environment, "WATCHDOG_USEC": "200000"})
    manager.until("WATCHDOG")
    street.node.signal(signal.SIGSTOP)
    try:
        # What it said before is read; then there is silence, for five times as long as between two signs of life.
        os.waitid(os.P_PID, street.node.pid, os.WSTOPPED)
        manager.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                manager.socket.recv(4096)
        assert select.select([manager.socket], [], [], 1.0) == ([], [], [])
    finally:
        street.node.signal(signal.SIGCONT)
    manager.socket.settimeout(PATIENCE)
    manager.until("WATCHDOG")


def test_a_watchdog_that_means_another_process_gets_none(start: Start, manager: Manager) -> None:
    environment = {**manager.environment, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    street = start(environment=environment)
    assert street.node.terminate() == 0
    assert not any("WATCHDOG" in message for message in manager.until("EXTEND_TIMEOUT_USEC"))


def test_a_notify_socket_that_nobody_has_harms_nothing(start: Start, tmp_path: Path) -> None:
    street = start(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    street.node.wait_for_log('"event": "systemd-unreachable"')
    assert street.peer("alice").barrier() == []
    assert street.node.terminate() == 0


# --- sockets that systemd has bound


def activated(start: Start, endpoint: str, *sockets: tuple[str, socket.socket]) -> Street:
    numbers = [each.fileno() for _, each in sockets]
    words = [f"{name}={number}" for (name, _), number in zip(sockets, numbers, strict=True)]
    launcher = (sys.executable, ACTIVATE, *words, "--")
    return start(listen=(endpoint,), launcher=launcher, descriptors_passed=numbers)


def bound() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


@pytest.mark.parametrize("endpoint", ["systemd:domain=INET:index=0", "systemd:domain=INET:name=peers"])
def test_a_socket_that_is_passed_is_listened_on_and_who_came_before_is_served(start: Start, endpoint: str) -> None:
    with bound() as listening:
        early = socket.create_connection(listening.getsockname())
        early.sendall(b"early\n")  # it waits in the kernel's queue
        street = activated(start, endpoint, ("peers", listening))
        assert street.node.endpoint() == f"tcp:127.0.0.1:{listening.getsockname()[1]}"
    with early, early.makefile("rb") as lines:
        assert lines.readline() == b"ok login early@node1\n"
        street.peer("bob").say(b"early: hi")
        assert lines.readline() == b"from bob: hi\n"
    assert street.node.terminate() == 0


def test_the_socket_outlives_the_node(start: Start) -> None:
    with bound() as listening:
        for _ in range(2):
            street = activated(start, "systemd:domain=INET:name=peers", ("peers", listening))
            street.peer("alice").quit()
            assert street.node.terminate() == 0
            socket.create_connection(listening.getsockname()).close()


def test_of_several_sockets_each_has_its_name_and_a_unix_socket_will_do(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "peers"
    with bound() as other, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        street = activated(start, "systemd:domain=UNIX:name=peers", ("other", other), ("peers", listening))
        assert street.node.endpoint("unix") == f"unix:{path}"
        assert street.peer("alice", "unix").barrier() == []
        assert street.node.terminate() == 0


def test_a_socket_that_nobody_passes_is_told_in_one_line(tmp_path: Path) -> None:
    program = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "nettool"]
    done = subprocess.run(
        [*program, "--listen=systemd:domain=INET:name=peers"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert re.fullmatch(
        r"nettool: peers\.listen: expected an endpoint that can be used, not 'systemd:domain=INET:name=peers': .*\n",
        done.stderr,
    )


# --- the unit files


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit files, with the twistd of this environment in the place of the one that is to be installed."""
    for path in CONTRIB.rglob("*.*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(CONTRIB)
            copy.parent.mkdir(exist_ok=True)
            text = path.read_text()
            assert "/opt/nettool/bin/twistd" in text or path.suffix == ".socket"
            copy.write_text(text.replace("/opt/nettool/bin/twistd", str(Path(sys.executable).parent / "twistd")))
    return tmp_path


@pytest.mark.system("systemd-analyze")
@pytest.mark.parametrize("names", [["nettool.service"], ["nettool.service", "nettool.socket"]], ids="+".join)
@pytest.mark.parametrize("with_socket", [True, False], ids=["with the socket", "alone"])
def test_systemd_accepts_the_unit_files_without_a_word(names: list[str], with_socket: bool, units: Path) -> None:
    if not with_socket:
        (units / "nettool.service.d" / "socket.conf").unlink()
    command = ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.system("systemd-analyze")
def test_systemd_finds_little_that_the_service_could_do_to_the_machine(units: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(units / "nettool.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    level = re.search(r"Overall exposure level for nettool.service: ([\d.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= 1.5


def test_the_options_in_the_unit_files_are_options_of_the_node(units: Path) -> None:
    lines = [
        line
        for path in units.rglob("*")
        if path.is_file()
        for line in path.read_text().splitlines()
        if line.startswith("ExecStart=/")
    ]
    assert len(lines) == 2
    command = [str(Path(sys.executable).parent / "twistd"), "nettool", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in lines:
        words = line.partition(" nettool ")[2].split()
        assert words
        assert all(word.partition("=")[0] + "=" in shown.stdout for word in words)
