"""The table of servers: how to find each, its version, how to start it so that it drops nothing, what it speaks.

In: nothing.  Out: `SERVERS`, whose rows `launch.py` starts.
Never: a process started, other than to ask for a version; an address that others can reach.

Each has two configurations: with bounds so high that nothing is dropped, for all that counts deliveries, and with its
own default bounds, for the slow reader.  Some can also be started as several nodes that are linked to each other.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import machine
from bench.dialects import Dialect, Mosquitto, Nats, Nettool, Redis
from bench.identities import certificate_for, trusted_nodes

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
BARE = Path(__file__).resolve().parent / "bare.py"


@dataclass(frozen=True)
class Place:
    """Where one node runs: alone, or as one of several.  The ports are those of the loopback interface."""

    number: int
    port: int
    """For peers."""
    link_port: int
    """For other nodes."""
    dialled: int
    """How other nodes reach that port: itself, or a relay's."""
    directory: Path
    """Its own."""


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
    command: Callable[[str, Sequence[Place], int, bool], list[str]]
    """(program, all places, the number of this one, default bounds) to the command; may write files in the
    directories.  Each node of several dials those after it."""
    alone: bool = True
    """Whether it is measured as one node."""
    linked: bool = False
    """Whether it is measured as several."""
    usual: bool = True
    """Whether it is measured where nobody says which servers."""

    def fits(self, nodes: int) -> bool:
        """Whether it is measured as so many nodes."""
        return self.alone if nodes == 1 else self.linked


def _nettool_program() -> str | None:
    twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or shutil.which("twistd")
    return twistd if twistd and importlib.util.find_spec("nettool") else None


def _nettool_command(program: str, places: Sequence[Place], number: int, own_bounds: bool) -> list[str]:
    place = places[number]
    command = [
        *(sys.executable, program, "--nodaemon", "--pidfile=", "nettool"),
        *("--listen", f"tcp:{place.port}:interface={HOST}", "--node-name", Nettool.node(number).decode()),
        *("--state-dir", str(place.directory / "state"), "--max-peers", "0"),
    ]
    if len(places) > 1:
        command += _nettool_links(places, place)
    if own_bounds:
        return command
    # Senders wait and nothing is dropped; patience stays below the stall timeout.
    return [
        *command,
        *("--outbox-bytes", "64MiB", "--direct-patience", "600s", "--topic-patience", "600s"),
        *("--stall-timeout", "forever"),
    ]


def _nettool_links(places: Sequence[Place], place: Place) -> list[str]:
    states = {Nettool.node(other.number): other.directory / "state" for other in places}
    trusted = _written(place.directory / "trusted-nodes", trusted_nodes(states))
    options = ["--link-listen", f"tcp:{place.link_port}:interface={HOST}", "--trusted-nodes", trusted]
    for other in places[place.number + 1 :]:
        options += ["--link-connect", f"{Nettool.node(other.number).decode()}={HOST}:{other.dialled}"]
    return options


def _nats_command(program: str, places: Sequence[Place], number: int, own_bounds: bool) -> list[str]:
    return _nats(program, places, number, own_bounds, [])


def _nats_tls_command(program: str, places: Sequence[Place], number: int, own_bounds: bool) -> list[str]:
    key = certificate_for(places[0].directory / "route.pem", HOST)
    # Verified by both ends, as between nettool's nodes.
    files = f"cert_file: '{key}', key_file: '{key}', ca_file: '{key}'"
    return _nats(program, places, number, own_bounds, [f"tls {{ {files}, verify: true, timeout: 5 }}"])


def _nats(program: str, places: Sequence[Place], number: int, own_bounds: bool, routes: list[str]) -> list[str]:
    place = places[number]
    # No pings: they would be bytes nobody counted.
    lines = [f"listen: {HOST}:{place.port}", "ping_interval: '3600s'"]
    if len(places) > 1:
        dialled = ", ".join(f"'nats-route://{HOST}:{other.dialled}'" for other in places[number + 1 :])
        routes = [
            f"listen: {HOST}:{place.link_port}",
            "name: bench",
            f"routes: [{dialled}]",
            "no_advertise: true",
            *routes,
        ]
        lines += [f"server_name: bench{number}", "cluster {", *routes, "}"]
    if not own_bounds:
        # A connection with more than max_pending unsent, or a write longer than write_deadline, would be closed;
        # producers are held back from three quarters of max_pending on.
        lines += ["max_pending: 8GB", "write_deadline: '600s'"]
    return [program, "--config", _written(place.directory / "nats.conf", lines)]


def _redis_command(program: str, places: Sequence[Place], number: int, own_bounds: bool) -> list[str]:
    port, directory = places[number].port, places[number].directory
    # Nothing is saved.  maxclients and the backlog are for many connections, as nettool's --max-peers; they come from
    # several loopback addresses, of which protected-mode takes only 127.0.0.1.
    lines = [f"bind {HOST}", f"port {port}", f"dir {directory}", 'save ""', "appendonly no"]
    lines += ["maxclients 20000", "tcp-backlog 4096", "protected-mode no"]
    if not own_bounds:
        # A subscriber with 32 MB unsent, or 8 MB for a minute, would be closed.  Publishers are never held back.
        lines += ["client-output-buffer-limit pubsub 0 0 0"]
    return [program, _written(directory / "redis.conf", lines)]


def _mosquitto_command(program: str, places: Sequence[Place], number: int, own_bounds: bool) -> list[str]:
    port, directory = places[number].port, places[number].directory
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


_NATS = Server(
    key="nats",
    title="nats-server",
    install="nats-server is not installed: apt install nats-server",
    dialect=Nats(),
    program=_system_program("nats-server"),
    version=_word_of("--version", "nats-server: v"),
    command=_nats_command,
    linked=True,
)

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
            linked=True,
        ),
        _NATS,
        replace(_NATS, key="nats-tls", title="nats-server, routes over TLS", command=_nats_tls_command, alone=False),
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
        Server(
            key="bare",
            title="bare loop",
            install="",
            dialect=Nettool(),
            program=lambda: sys.executable,
            version=lambda program: f"CPython {platform.python_version()}",
            command=lambda program, places, number, own_bounds: [program, str(BARE), HOST, str(places[number].port)],
            usual=False,
        ),
    )
}
