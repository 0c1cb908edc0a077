"""The table of servers: how to find each, its version, how to start it so that it drops nothing, what it speaks.

In: a row of `SERVERS`, a core to run on.  Out: a running server on a free port of the loopback interface.
Never: more than one server at a time, a server that outlives its `with` block, an address that others can reach.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.dialects import Dialect, Nats, Nettool

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
ROOT = Path(__file__).resolve().parent.parent


class ServerFailed(Exception):
    """A server is not installed, did not start, or went away."""


@dataclass(frozen=True)
class Server:
    """A server that can be measured: `program` is None where it is not installed."""

    key: str
    install: str
    """What to say to somebody who has not installed it."""
    dialect: Dialect
    program: Callable[[], str | None]
    version: Callable[[str], str]
    command: Callable[[str, int, Path], list[str]]
    """(program, port, a directory of its own) to the command; may write a configuration file there."""


@dataclass(frozen=True)
class Running:
    """A started server."""

    server: Server
    port: int
    pid: int


def _nettool_program() -> str | None:
    twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or shutil.which("twistd")
    return twistd if twistd and importlib.util.find_spec("nettool") else None


def _nettool_command(program: str, port: int, directory: Path) -> list[str]:
    # Bounds and patience so large that senders wait and nothing is dropped; patience stays below the stall timeout.
    return [
        *(sys.executable, program, "--nodaemon", "--pidfile=", "nettool"),
        *("--listen", f"tcp:{port}:interface={HOST}", "--node-name", Nettool.node.decode()),
        *("--state-dir", str(directory / "state")),
        *("--outbox-bytes", "64MiB", "--direct-patience", "600s", "--topic-patience", "600s"),
        *("--stall-timeout", "forever"),
    ]


def _nats_program() -> str | None:
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")


def _nats_command(program: str, port: int, directory: Path) -> list[str]:
    # A connection with more than max_pending unsent, or a write longer than write_deadline, would be closed;
    # producers are held back from three quarters of max_pending on.  No pings: they would be bytes nobody counted.
    config = directory / "nats.conf"
    config.write_text(
        f"listen: {HOST}:{port}\nmax_pending: 8GB\nwrite_deadline: '600s'\nping_interval: '3600s'\nmax_payload: 1MB\n"
    )
    return [program, "--config", str(config)]


def _first_line(*command: str) -> str:
    """The first line that a command prints, for versions."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]


SERVERS: dict[str, Server] = {
    server.key: server
    for server in (
        Server(
            key="nettool",
            install=f"nettool and twistd are not there for {sys.executable}: pip install -e .",
            dialect=Nettool(),
            program=_nettool_program,
            version=lambda program: machine.nettool_version(ROOT),
            command=_nettool_command,
        ),
        Server(
            key="nats",
            install="nats-server is not installed: apt install nats-server",
            dialect=Nats(),
            program=_nats_program,
            version=lambda program: _first_line(program, "--version").removeprefix("nats-server: "),
            command=_nats_command,
        ),
    )
}


@contextmanager
def running(server: Server, core: int | None) -> Iterator[Running]:
    """Start a server on this core, wait until it accepts, and end it afterwards."""
    program = server.program()
    if program is None:
        raise ServerFailed(server.install)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, open(Path(name) / "output", "wb+") as output:
        command = server.command(program, port, Path(name))
        process = _spawn(command, output.fileno(), core)
        try:
            if not _accepts(process, port):
                said = (Path(name) / "output").read_text(errors="replace")[-2000:]
                raise ServerFailed(f"{server.key} did not start: {' '.join(command)}\n{said}")
            yield Running(server, port, process.pid)
        finally:
            _end(process)


def _spawn(command: list[str], output: int, core: int | None) -> subprocess.Popen[bytes]:
    """Start a process on one core: it inherits this one's, so that Go sees one core from its first instruction."""
    # The node of this checkout is measured, whichever is installed.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    with machine.pinned(core):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, env=environment
        )


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
