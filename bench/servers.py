"""The table of servers: how to find each, its version, how to start it so that it drops nothing, what it speaks.

In: nothing.  Out: `SERVERS`, whose rows `launch.py` starts.
Never: a process started, other than to ask for a version; an address that others can reach.

Each has two configurations: with bounds so high that nothing is dropped, for all that counts deliveries, and with its
own default bounds, for the slow reader.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.dialects import Dialect, Mosquitto, Nats, Nettool, Redis

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """A server that can be measured: `program` is None where it is not installed."""

    key: str
    title: str
    install: str
    """What to say to somebody who has not installed it."""
    dialect: Dialect
    program: Callable[[], str | None]
    version: Callable[[str], str]
    command: Callable[[str, int, Path, bool], list[str]]
    """(program, port, a directory of its own, default bounds) to the command; may write a configuration file there."""


def _nettool_program() -> str | None:
    twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or shutil.which("twistd")
    return twistd if twistd and importlib.util.find_spec("nettool") else None


def _nettool_command(program: str, port: int, directory: Path, own_bounds: bool) -> list[str]:
    command = [
        *(sys.executable, program, "--nodaemon", "--pidfile=", "nettool"),
        *("--listen", f"tcp:{port}:interface={HOST}", "--node-name", Nettool.node.decode()),
        *("--state-dir", str(directory / "state"), "--max-peers", "0"),
    ]
    if own_bounds:
        return command
    # Senders wait and nothing is dropped; patience stays below the stall timeout.
    return [
        *command,
        *("--outbox-bytes", "64MiB", "--direct-patience", "600s", "--topic-patience", "600s"),
        *("--stall-timeout", "forever"),
    ]


def _nats_command(program: str, port: int, directory: Path, own_bounds: bool) -> list[str]:
    # No pings: they would be bytes nobody counted.
    lines = [f"listen: {HOST}:{port}", "ping_interval: '3600s'"]
    if not own_bounds:
        # A connection with more than max_pending unsent, or a write longer than write_deadline, would be closed;
        # producers are held back from three quarters of max_pending on.
        lines += ["max_pending: 8GB", "write_deadline: '600s'"]
    return [program, "--config", _written(directory / "nats.conf", lines)]


def _redis_command(program: str, port: int, directory: Path, own_bounds: bool) -> list[str]:
    # Nothing is saved.  maxclients and the backlog are for many connections, as nettool's --max-peers; they come from
    # several loopback addresses, of which protected-mode takes only 127.0.0.1.
    lines = [f"bind {HOST}", f"port {port}", f"dir {directory}", 'save ""', "appendonly no"]
    lines += ["maxclients 20000", "tcp-backlog 4096", "protected-mode no"]
    if not own_bounds:
        # A subscriber with 32 MB unsent, or 8 MB for a minute, would be closed.  Publishers are never held back.
        lines += ["client-output-buffer-limit pubsub 0 0 0"]
    return [program, _written(directory / "redis.conf", lines)]


def _mosquitto_command(program: str, port: int, directory: Path, own_bounds: bool) -> list[str]:
    # No delay: the benchmark's own sockets have none, and the other servers set this themselves.  No $SYS messages
    # and no log of each connection: the others write neither.
    lines = [f"listener {port} {HOST}", "allow_anonymous true", "persistence false", "set_tcp_nodelay true"]
    lines += ["sys_interval 0", "log_type error", "log_type warning"]
    if not own_bounds:
        # From 1,000 packets unsent on, further messages of QoS 0 to that connection would be dropped without a word.
        # Publishers are never held back.
        lines += ["max_queued_messages 0", "max_queued_bytes 0"]
    return [program, "-c", _written(directory / "mosquitto.conf", lines)]


def _written(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def _system_program(name: str) -> Callable[[], str | None]:
    """Debian's servers are in directories that not every PATH has."""
    return lambda: shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def _word_of(option: str, start: str) -> Callable[[str], str]:
    """The word after `start` in what a program prints when asked with `option`."""

    def version(program: str) -> str:
        done = subprocess.run([program, option], capture_output=True, text=True, timeout=20, check=False)
        return (*(done.stdout + done.stderr).partition(start)[2].split(), "?")[0]

    return version


SERVERS: dict[str, Server] = {
    server.key: server
    for server in (
        Server(
            key="nettool",
            title="nettool",
            install=f"nettool and twistd are not there for {sys.executable}: pip install -e .",
            dialect=Nettool(),
            program=_nettool_program,
            version=lambda program: machine.nettool_version(ROOT),
            command=_nettool_command,
        ),
        Server(
            key="nats",
            title="nats-server",
            install="nats-server is not installed: apt install nats-server",
            dialect=Nats(),
            program=_system_program("nats-server"),
            version=_word_of("--version", "nats-server: v"),
            command=_nats_command,
        ),
        Server(
            key="redis",
            title="Redis",
            install="redis-server is not installed: apt install redis-server",
            dialect=Redis(),
            program=_system_program("redis-server"),
            version=_word_of("--version", "v="),
            command=_redis_command,
        ),
        Server(
            key="mosquitto",
            title="Mosquitto",
            install="mosquitto is not installed: apt install mosquitto",
            dialect=Mosquitto(),
            program=_system_program("mosquitto"),
            version=_word_of("-h", "version "),
            command=_mosquitto_command,
        ),
    )
}
