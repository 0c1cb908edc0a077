"""A server as a process: started on one core with a directory of its own, awaited, ended.

In: a row of `SERVERS`, a core to run on.  Out: a running server on a free port of the loopback interface.
Never: more than one server at a time, a server that outlives its `with` block, options from this process's environment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.servers import HOST, ROOT, Server

START_SECONDS = 20.0
STOP_SECONDS = 5.0


class ServerFailed(Exception):
    """A server is not installed, did not start, or went away."""


@dataclass(frozen=True)
class Running:
    """A started server."""

    server: Server
    port: int
    pid: int


@contextmanager
def running(server: Server, core: int | None, own_bounds: bool = False) -> Iterator[Running]:
    """Start a server on this core, wait until it accepts, and end it afterwards.

    `own_bounds` leaves the bounds on what waits for a slow reader as the server has them by default.
    """
    program = server.program()
    if program is None:
        raise ServerFailed(server.install)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, open(Path(name) / "output", "wb+") as output:
        command = server.command(program, port, Path(name), own_bounds)
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
