"""A server as processes: one, or several linked ones, started on one core with directories of their own, and ended.

In: a row of `SERVERS`, a core to run on.  Out: a running server on free ports of the loopback interface.
Never: more than one server at a time, a server that outlives its `with` block, options from this process's environment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.relay import Relay
from bench.servers import HOST, ROOT, Place, Server

START_SECONDS = 20.0
STOP_SECONDS = 5.0


class ServerFailed(Exception):
    """A server is not installed, did not start, or went away."""


@dataclass(frozen=True)
class Running:
    """A started server: its nodes by number, usually one."""

    server: Server
    ports: tuple[int, ...]
    pids: tuple[int, ...]

    @property
    def port(self) -> int:
        """Of the only node, or the first."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        """Of the only node, or the first."""
        return self.pids[0]


@contextmanager
def running(
    server: Server, core: int | None, own_bounds: bool = False, nodes: int = 1, relay: Relay | None = None
) -> Iterator[Running]:
    """Start a server on this core, wait until it accepts, and end it afterwards.

    `own_bounds` leaves the bounds on what waits for a slow reader as the server has them by default.  Of several nodes
    each dials those after it, the last one by way of the relay, if there is one; whether they are linked is not waited
    for.
    """
    program = server.program()
    if program is None:
        raise ServerFailed(server.install)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        places = _places(root, nodes, relay)
        pids = {}
        # The one that is dialled before those who dial it: it answers the first time.
        for number in reversed(range(nodes)):
            command = server.command(program, places, number, own_bounds)
            pids[number] = stack.enter_context(_started(server, command, places[number], core))
        yield Running(server, tuple(place.port for place in places), tuple(pids[number] for number in range(nodes)))


def _places(root: Path, nodes: int, relay: Relay | None) -> Sequence[Place]:
    """A place for each node; the last one is reached through the relay."""
    ports = _free_ports(2 * nodes)
    places = []
    for number in range(nodes):
        directory = root / str(number)
        directory.mkdir()
        port, link_port = ports[2 * number : 2 * number + 2]
        dialled = relay.leads_to(link_port) if relay is not None and number == nodes - 1 else link_port
        places.append(Place(number, port, link_port, dialled, directory))
    return places


@contextmanager
def _started(server: Server, command: list[str], place: Place, core: int | None) -> Iterator[int]:
    """One process that accepts; its number."""
    with open(place.directory / "output", "wb+") as output:
        process = _spawn(command, output.fileno(), core)
        try:
            if not _accepts(process, place.port):
                said = (place.directory / "output").read_text(errors="replace")[-2000:]
                raise ServerFailed(f"{server.key} did not start: {' '.join(command)}\n{said}")
            yield process.pid
        finally:
            _end(process)


def _spawn(command: list[str], output: int, core: int | None) -> subprocess.Popen[bytes]:
    """Start a process on one core: it inherits this one's, so that Go sees one core from its first instruction."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NETTOOL_")}
    # The node of this checkout is measured, whichever is installed.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
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


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
