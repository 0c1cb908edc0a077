"""Network namespaces and the wires between them, which can be bad.

In: names of places, what is wrong with a wire.  Out: places where programs run and sockets are opened, each wired to
each other.  Never: anything outside of the namespaces that the process was started in (`unshare`): they end with it,
whatever ends it.

A wire is two veth pairs.  One end of each is in its place, the others are here, and what comes out of one goes into the
other by way of `Wires`, which loses and delays.  `tc netem` would do that too, but many kernels are built without it,
and it neither draws from a seed nor resets a connection.
"""

import ctypes
import heapq
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, count
from pathlib import Path
from random import Random

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
VNET_HEADER = 10
"""Bytes before each frame: what is left to do, checksums and cuts, which the kernel does where the frame goes in."""

ETHERNET = 14
TCP, ACK, RST = 6, 0x10, 0x04


@dataclass
class Way:
    """One direction of a wire, and what is wrong with it."""

    number: int
    source: socket.socket
    target: socket.socket
    loss: float = 0.0
    delay: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds at most on top of the delay, drawn for each frame: frames overtake each other."""
    cut: bool = False
    """Nothing comes through, and nobody is told."""
    tears: int = 0
    """So many more frames with data become resets, to both ends."""
    passed: int = 0
    lost: int = 0


class Wires:
    """All wires, and the thread that carries frames.

    Invariant: only the thread uses the sockets; others only set what is wrong with a way.
    """

    def __init__(self, seed: str) -> None:
        self._chance = Random(seed)
        self._ways: dict[int, Way] = {}
        self._poll = select.epoll()
        self._due: list[tuple[float, int, Way, bytes]] = []
        self._numbers = count()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def add(self, one: str, other: str) -> tuple[Way, Way]:
        """A wire between these two interfaces of this place: its two ways."""
        sockets = [_tap(one), _tap(other)]
        ways = [Way(len(self._ways) + n, sockets[n], sockets[1 - n]) for n in range(2)]
        for way in ways:
            self._ways[way.source.fileno()] = way
            self._poll.register(way.source, select.EPOLLIN)
        return ways[0], ways[1]

    def begin(self) -> None:
        """Carry from now on, until the process ends."""
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that did not come through."""
        return sum(way.lost for way in self._ways.values())

    def _carry(self) -> None:
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1.0
            for number, _ in self._poll.poll(wait):
                self._take(self._ways[number])
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, _, way, frame = heapq.heappop(self._due)
                _put(way.target, frame)

    def _take(self, way: Way) -> None:
        try:
            frame = way.source.recv(128 * 1024)
        except OSError:  # the interface is down
            return
        if way.cut or self._chance.random() < way.loss:
            way.lost += 1
            return
        if way.tears and (resets := _resets(frame)):
            way.tears -= 1
            way.lost += 1
            _put(way.target, resets[0])
            _put(way.source, resets[1])
            return
        way.passed += 1
        if way.delay or way.jitter:
            due = time.monotonic() + way.delay + way.jitter * self._chance.random()
            heapq.heappush(self._due, (due, next(self._numbers), way, frame))
        else:
            _put(way.target, frame)


def _tap(interface: str) -> socket.socket:
    """A socket that has what comes out of an interface, and can put something in."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    tap.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    tap.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    tap.bind((interface, _ETH_P_ALL))
    return tap


def _put(tap: socket.socket, frame: bytes) -> None:
    try:
        tap.send(frame)
    except OSError:  # the interface is down, or full: lost, as frames are
        pass


def _resets(frame: bytes) -> tuple[bytes, bytes] | None:
    """Instead of a TCP frame with data: a reset for whom it was for, and one for who sent it; nothing for others."""
    packet = frame[VNET_HEADER + ETHERNET :]
    if frame[VNET_HEADER + 12 : VNET_HEADER + ETHERNET] != b"\x08\x00" or packet[9] != TCP:
        return None
    segment = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
    sequence, acknowledged = struct.unpack_from("!II", segment, 4)
    if len(segment) <= (segment[12] >> 4) * 4 or not segment[13] & ACK:
        return None
    there, back, ports = packet[16:20], packet[12:16], segment[:4]
    to, by = frame[VNET_HEADER : VNET_HEADER + 6], frame[VNET_HEADER + 6 : VNET_HEADER + 12]
    return (
        _reset(to, by, back, there, ports, sequence),
        _reset(by, to, there, back, ports[2:] + ports[:2], acknowledged),
    )


def _reset(to: bytes, by: bytes, source: bytes, target: bytes, ports: bytes, sequence: int) -> bytes:
    def segment(checksum: int) -> bytes:
        return ports + struct.pack("!IIBBHHH", sequence, 0, 5 << 4, RST, 0, checksum, 0)

    def packet(checksum: int) -> bytes:
        return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, TCP, checksum) + source + target

    pseudo = source + target + struct.pack("!HH", TCP, 20)
    data = packet(_checksum(packet(0))) + segment(_checksum(pseudo + segment(0)))
    return bytes(VNET_HEADER) + to + by + b"\x08\x00" + data


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


# --- places


def ip(*commands: str) -> None:
    """These commands of `ip`."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{done.stdout}\nof\n" + "\n".join(commands)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Sockets that are opened meanwhile, in this thread, are this place's."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{place}", os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(there)
        os.close(home)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Cable:
    """The wire between two places.

    When it is pulled both places see that there is no carrier.  A way that is `cut` looks as if nobody spoke.
    """

    one: str
    other: str
    ends: tuple[str, str]
    """The interfaces here."""
    ways: tuple[Way, Way]
    pulled: bool = field(default=False)

    def pull(self) -> None:
        """Take it out."""
        self.pulled = True
        ip(*(f"link set {end} down" for end in self.ends))

    def put_back(self) -> None:
        """And in again."""
        self.pulled = False
        ip(*(f"link set {end} up" for end in self.ends))

    def mend(self) -> None:
        """Nothing is wrong with it any more."""
        if self.pulled:
            self.put_back()
        for way in self.ways:
            way.cut, way.loss, way.delay, way.jitter, way.tears = False, 0.0, 0.0, 0.0, 0

    def __str__(self) -> str:
        return f"{self.one}-{self.other}"


class Yard:
    """Places, each wired to each other."""

    def __init__(self, places: list[str], seed: str) -> None:
        """The process is in namespaces of its own, and may do in them what it wants."""
        self.places = places
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)  # where ip keeps the names of namespaces
        Path("/run/netns").mkdir()
        self.wires = Wires(seed)
        self.cables: list[Cable] = []
        ip("link set lo up", *(f"netns add {place}" for place in places))
        for place in places:
            _ip_in(place, "link set lo up")
        for one, other in combinations(range(len(places)), 2):
            self._wire(one, other)
        self.wires.begin()

    def _wire(self, one: int, other: int) -> None:
        ends = f"w{one}-{other}", f"w{other}-{one}"
        for end, here, there in ((ends[0], one, other), (ends[1], other, one)):
            place, device = self.places[here], f"to-{self.places[there]}"
            ip(
                f"link add {end} type veth peer name {device} netns {place}",
                f"link set {end} addrgenmode none",
                f"link set {end} up",
            )
            address = self.address(self.places[here], self.places[there])
            _ip_in(place, f"address add {address}/24 dev {device}", f"link set {device} up")
        self.cables.append(Cable(self.places[one], self.places[other], ends, self.wires.add(*ends)))

    def address(self, here: str, there: str) -> str:
        """Of a place, on the wire to another."""
        low, high = sorted((self.places.index(here), self.places.index(there)))
        return f"10.{low}.{high}.{1 + self.places.index(here)}"

    def cable(self, one: str, other: str) -> Cable:
        """The wire between these two."""
        return next(cable for cable in self.cables if {cable.one, cable.other} == {one, other})


def _ip_in(place: str, *commands: str) -> None:
    with inside(place):
        ip(*commands)
