"""The load on the mesh's hubs, and the runs beside a connection that never reads.

In: an address.  Out: rates, round trips.  Never: an envelope counted that did not come back whole.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
import time
from statistics import median
from typing import Any, NamedTuple

from bench.machine import Stopwatch
from bench.servers import ROOT

WINDOW = 1024 * 1024
"""Bytes that a connection may have under way."""
BLOCK = 400
"""Envelopes in a block, which is sent again and again; no two of them are equal."""
READ = 256 * 1024
"""Bytes that are read at a time."""
STALL_SECONDS = 30.0
"""Without a byte for so long, what is missing is lost."""


class Result(NamedTuple):
    """One run: envelopes a second, by the clock and by the hub's processor time."""

    rate: float
    per_cpu: float


def _payload(number: int, size: int) -> bytes:
    return (b"%d " % number * size)[:size]


def _endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


class Load:
    """Raw sockets, as fast as the hub takes it; what comes back is compared block by block."""

    def __init__(self, address: str, connections: int, size: int, mixed: bool) -> None:
        sizes = [size - 10 + number % 20 if mixed else size for number in range(BLOCK)]
        self.block = b"".join(struct.pack(">I", length) + _payload(n, length) for n, length in enumerate(sizes))
        self._due = self.block * (READ // len(self.block) + 3)
        self._ring = memoryview(self._due)
        self._sockets: dict[int, list[Any]] = {}
        self._poll = select.epoll()
        for _ in range(connections):
            sock = socket.create_connection(_endpoint(address))
            sock.setblocking(False)
            self._sockets[sock.fileno()] = [sock, 0, 0]
            self._poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def run(self, pid: int, seconds: float) -> Result:
        """Warm up, send for so long, then read until all is back."""
        self._pass(time.perf_counter() + seconds / 5)
        watch = Stopwatch(pid)
        with watch:
            count = self._pass(time.perf_counter() + seconds)
        for sock, *_ in self._sockets.values():
            sock.close()
        self._poll.close()
        return Result(count / watch.seconds, count / (watch.seconds * (watch.server_share or float("nan"))))

    def _pass(self, end: float) -> int:
        """Send until then, whole blocks, and read them back; how many envelopes came."""
        states = self._sockets
        for state in states.values():
            state[1:] = [0, 0]
            self._poll.modify(state[0].fileno(), select.EPOLLIN | select.EPOLLOUT)
        size, waiting = len(self.block), len(states)
        done: set[int] = set()
        heard = time.perf_counter()
        while waiting:
            now = time.perf_counter()
            sending = now < end
            for number, event in self._poll.poll(0.1):
                state = states[number]
                if event & select.EPOLLIN:
                    heard = now
                    self._read(state)
                sent, back = state[1], state[2]
                if sending or sent % size or not sent:  # each at least a block, however short the time
                    if sent - back < WINDOW:
                        self._send(state, sending)
                        self._poll.modify(number, select.EPOLLIN | select.EPOLLOUT)
                    else:
                        self._poll.modify(number, select.EPOLLIN)
                elif sent == back:
                    if number not in done:
                        done.add(number)
                        waiting -= 1
                    self._poll.modify(number, 0)
                else:
                    self._poll.modify(number, select.EPOLLIN)
            if now - heard > STALL_SECONDS:
                missing = sum(state[1] - state[2] for state in states.values())
                raise SystemExit(f"bench.mesh: {missing} bytes did not come back")
        blocks: int = sum(state[2] // size for state in states.values())
        return blocks * BLOCK

    def _send(self, state: list[Any], sending: bool) -> None:
        size = len(self.block)
        at = state[1] % size
        length = 3 * size - at if sending else size - at
        try:
            state[1] += state[0].send(self._ring[at : at + length])
        except BlockingIOError:
            pass

    def _read(self, state: list[Any]) -> None:
        try:
            data = state[0].recv(READ)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise SystemExit(f"bench.mesh: the hub is gone: {error}") from error
        at = state[2] % len(self.block)
        if not data:
            raise SystemExit("bench.mesh: the hub closed a connection")
        if not self._due.startswith(data, at) or state[2] + len(data) > state[1]:
            raise SystemExit("bench.mesh: something else came back than was sent")
        state[2] += len(data)


def dealers(address: str, pid: int, connections: int, size: int, seconds: float) -> Result:
    """The same through pyzmq: DEALERs in one process, each with a window of envelopes."""
    import zmq

    context = zmq.Context()
    sockets = [context.socket(zmq.DEALER) for _ in range(connections)]
    poller = zmq.Poller()
    payload, window = bytes(size), WINDOW // 8 // (size + 4)
    for sock in sockets:
        sock.setsockopt(zmq.SNDHWM, 0)
        sock.setsockopt(zmq.RCVHWM, 0)
        sock.connect(address)
        poller.register(sock, zmq.POLLIN)

    def run(end: float) -> int:
        under_way = dict.fromkeys(sockets, 0)
        count = 0
        while time.perf_counter() < end or any(under_way.values()):
            if time.perf_counter() < end:
                for sock in sockets:
                    for _ in range(window - under_way[sock]):
                        sock.send(payload, copy=True)
                    under_way[sock] = window
            for sock, _ in poller.poll(100):
                try:
                    while True:
                        if sock.recv(zmq.NOBLOCK) != payload:
                            raise SystemExit("bench.mesh: something else came back than was sent")
                        under_way[sock] -= 1
                        count += 1
                except zmq.Again:
                    pass
        return count

    run(time.perf_counter() + seconds / 5)
    watch = Stopwatch(pid)
    with watch:
        count = run(time.perf_counter() + seconds)
    context.destroy(0)
    return Result(count / watch.seconds, count / (watch.seconds * (watch.server_share or float("nan"))))


def round_trips(address: str, size: int, number: int) -> float:
    """Microseconds there and back, one at a time, after a tenth of them to warm up."""
    frame = struct.pack(">I", size) + _payload(7, size)
    with socket.create_connection(_endpoint(address)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(number + number // 10):
            began = time.perf_counter()
            sock.sendall(frame)
            back = sock.recv(65536)
            while frame.startswith(back) and len(back) < len(frame):
                back += sock.recv(65536) or b"the end"
            times.append(time.perf_counter() - began)
            if back != frame:
                raise SystemExit("bench.mesh: something else came back than was sent")
    return median(times[number // 10 :]) * 1e6


def zmq_trips(address: str, size: int, number: int) -> float:
    """The same through pyzmq."""
    import zmq

    context = zmq.Context()
    sock = context.socket(zmq.DEALER)
    sock.connect(address)
    payload, times = bytes(size), []
    for _ in range(number + number // 10):
        began = time.perf_counter()
        sock.send(payload)
        sock.recv()
        times.append(time.perf_counter() - began)
    context.destroy(0)
    return median(times[number // 10 :]) * 1e6


# --- beside one that never reads ------------------------------------------------------------------


def share_beside_slow(scheme: str, directory: str, connections: int, size: int, seconds: float) -> float:
    """The share of their rate that `connections` keep beside one that never reads; all ends are a mesh's."""
    arguments = [scheme, directory, str(connections), str(size), str(seconds)]
    command = [sys.executable, "-m", "bench.meshslow", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120 + 10 * seconds, check=False)
    if done.returncode:
        raise SystemExit(f"bench.mesh: the run beside a slow reader failed\n{done.stderr}")
    return float(done.stdout)
