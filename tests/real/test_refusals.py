"""What a node refuses to start with: one line on standard error, the right status, and no traceback anywhere.

In the foreground, as a daemon, and under `twist`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.node import PATIENCE, RealPeer, eventually, free_port
from tests.support.certificates import certificate_and_key, write_key, write_pair

BIN = Path(sys.executable).parent
RUNNERS = {"foreground": ["twistd", "-n"], "daemon": ["twistd"], "twist": ["twist"]}


def run(
    directory: Path, runner: str, *options: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = RUNNERS[runner]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NETTOOL_")}
    return subprocess.run(
        [BIN / words[0], *words[1:], "nettool", *options],
        cwd=directory,
        env=kept | {"HOME": str(directory)} | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def expect_refused(
    directory: Path, runner: str, status: int, *options: str, environment: dict[str, str] | None = None
) -> str:
    """The line that says why."""
    done = run(directory, runner, *options, environment=environment)
    log = directory / "twistd.log"
    written = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert done.returncode == status, written
    assert "Traceback" not in written
    assert done.stderr.startswith("nettool: ") and done.stderr.count("\n") == 1, done.stderr
    assert not (directory / "twistd.pid").exists()
    return done.stderr.removeprefix("nettool: ").rstrip("\n")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with files of many kinds."""
    key, certificate = write_pair(tmp_path)
    (tmp_path / "open.pem").write_bytes(key.read_bytes())
    (tmp_path / "open.pem").chmod(0o644)
    write_key(tmp_path / "others.pem", certificate_and_key()[1])
    (tmp_path / "unknown.toml").write_text("[peers]\nmax-lines = 100\n")
    (tmp_path / "unit.toml").write_text('[peers]\nmax-line = "64kb"\n')
    (tmp_path / "negative.toml").write_text("[delivery]\noutbox-bytes = -1\n")
    (tmp_path / "broken.toml").write_text("[peers\n")
    (tmp_path / "latin.toml").write_bytes("[node]\nname = 'zoë'\n".encode("latin-1"))
    (tmp_path / "manhole.toml").write_text('[manhole]\nlisten = "tcp:6022"\n')
    assert certificate.exists()
    return tmp_path


REFUSED = [
    (["--config=unknown.toml"], "unknown.toml:2: peers.max-lines: there is no such key; did you mean peers.max-line?"),
    (["--config=unit.toml"], "unit.toml:2: peers.max-line: expected a size such as 64KiB"),
    (["--config=negative.toml"], "negative.toml:2: delivery.outbox-bytes: expected a size"),
    (["--config=broken.toml"], "broken.toml: expected TOML: "),
    (["--config=latin.toml"], "latin.toml:2: expected UTF-8, which the byte 0xeb is not"),
    (["--config=none.toml"], "none.toml: expected a file that can be read: No such file or directory"),
    (["--config=."], ".: expected a file that can be read: it is a directory"),
    (["--config=manhole.toml"], "manhole.toml:2: manhole.authorized-keys: expected a file of public keys"),
    (["--manhole=tcp:6022"], "--manhole: manhole.authorized-keys: expected a file of public keys"),
    (["--listen=ssl:0:privateKey=key.pem:certKey=none.pem"], "none.pem: No such file or directory"),
    (
        ["--listen=ssl:0:privateKey=open.pem:certKey=certificate.pem"],
        "open.pem, whose mode is 0644: chmod 600 open.pem",
    ),
    (["--listen=ssl:0:privateKey=others.pem:certKey=certificate.pem"], "keys do not match"),
]


@pytest.mark.parametrize(("options", "told"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_refused_in_one_line(files: Path, options: list[str], told: str) -> None:
    assert told in expect_refused(files, "foreground", 78, *options)


@pytest.mark.parametrize("runner", ["daemon", "twist"])
def test_it_is_refused_whatever_starts_the_node(files: Path, runner: str) -> None:
    for options, told in REFUSED[0], REFUSED[-2]:
        assert told in expect_refused(files, runner, 78, *options)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_variable_that_is_no_option_is_refused(tmp_path: Path, runner: str) -> None:
    environment = {"NETTOOL_MAXLINE": "1KiB", "NETTOOL_NAME": "alice", "NETTOOL_LISTEN": ""}
    said = expect_refused(tmp_path, runner, 78, environment=environment)
    assert said == "NETTOOL_MAXLINE: there is no such option; did you mean NETTOOL_MAX_LINE?"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_address_in_use_is_refused_with_a_status_of_its_own(tmp_path: Path, runner: str, taken: int) -> None:
    first = f"--listen=tcp:{free_port()}:interface=127.0.0.1"
    said = expect_refused(tmp_path, runner, 69, first, f"--listen=tcp:{taken}:interface=127.0.0.1")
    assert said == f"listen: Couldn't listen on 127.0.0.1:{taken}: [Errno 98] Address already in use."


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_unix_socket_that_cannot_be_is_refused(tmp_path: Path, runner: str) -> None:
    assert str(tmp_path / "none") in expect_refused(tmp_path, runner, 69, f"--listen=unix:{tmp_path}/none/socket")
    assert "listen: " in expect_refused(tmp_path, runner, 69, f"--listen=unix:{tmp_path}/{'long' * 50}")


def test_a_daemon_says_in_its_log_too_why_it_cannot_start(tmp_path: Path, taken: int) -> None:
    said = expect_refused(tmp_path, "daemon", 69, f"--listen=tcp:{taken}:interface=127.0.0.1")
    assert f"cannot start: {said}" in (tmp_path / "twistd.log").read_text()


def test_a_daemon_that_can_start_does_and_its_parent_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "nettool.toml").write_text(f'[peers]\nlisten = "unix:{tmp_path}/socket"\n[node]\nname = "node1"\n')
    done = run(tmp_path, "daemon", "--config=nettool.toml")
    pid_file = tmp_path / "twistd.pid"
    pid = int(pid_file.read_text())
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        peer = RealPeer.connect(f"unix:{tmp_path}/socket").login("alice")
        assert peer.quit() == []
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not pid_file.exists(), "the daemon has ended")
    assert "totals: " in (tmp_path / "twistd.log").read_text()


def test_a_daemon_that_cannot_start_leaves_somebody_elses_pid_file_alone(tmp_path: Path, taken: int) -> None:
    (tmp_path / "twistd.pid").write_text("99999999")
    done = run(tmp_path, "daemon", "--max-line=x")
    assert done.returncode == 78
    assert (tmp_path / "twistd.pid").read_text() == "99999999"
