"""This machine: its cores, what runs on which, processor time, and the versions that belong beside a figure.

In: nothing but the operating system.  Out: plain values; None where the system does not tell.
Never: a failure because a system lacks `sched_setaffinity` or `/proc`: then nothing is pinned, and the report says so.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path


def usable_cores() -> list[int]:
    """The cores that this process may be pinned to; empty where pinning is not possible."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core for a while."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Stopwatch:
    """Times a `with` block: seconds, and what share of a core this process, the server and everybody else used."""

    def __init__(self, *server_pids: int) -> None:
        """Linked nodes are one server: their processor time is added up."""
        self.server_pids = server_pids
        self.seconds = 0.0
        self.load_share = 0.0
        self.server_share: float | None = None
        self.others_share: float | None = None
        """Of all cores together: 1.0 is one core that somebody else kept busy."""

    def __enter__(self) -> None:
        self._machine, self._server, self._own = _machine_cpu(), self._cpu_of_server(), time.process_time()
        self._started = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._started
        own = time.process_time() - self._own
        self.load_share = own / self.seconds
        everything, server = _machine_cpu(), self._cpu_of_server()
        if server is None or self._server is None:
            return
        server -= self._server
        self.server_share = server / self.seconds
        if everything is not None and self._machine is not None:
            self.others_share = max(0.0, (everything - self._machine - own - server) / self.seconds)

    def _cpu_of_server(self) -> float | None:
        used = [_cpu_of(pid) for pid in self.server_pids]
        return None if None in used else sum(filter(None, used))


def _cpu_of(pid: int) -> float | None:
    """Processor time of a process so far, all its threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _machine_cpu() -> float | None:
    """Processor time of all processes so far, without interrupts, which belong to nobody."""
    try:
        user, nice, system = Path("/proc/stat").read_text().split(maxsplit=4)[1:4]
    except OSError:
        return None
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int | None:
    """Bytes of a process that are in memory now, as the system counts them (VmRSS)."""
    return _memory(pid, "VmRSS:")


def peak_memory(pid: int) -> int | None:
    """The most bytes of a process that were in memory since `forget_peak`, or since it began."""
    return _memory(pid, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Let `peak_memory` begin again, where the system can."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass


def _memory(pid: int, field: str) -> int | None:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def description() -> dict[str, str]:
    """The machine and its software, in the words that go above the table."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "twisted": _package_version("Twisted"),
    }


def nettool_version(root: Path) -> str:
    """The version of the package, with the commit where the source is a checkout."""
    version = str(getattr(importlib.import_module("nettool"), "__version__", "?"))
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        commit = ""
    return f"{version} ({commit})" if commit else version


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "?"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    except OSError:
        pass
    return platform.processor() or platform.machine()
