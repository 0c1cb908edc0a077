"""A node in its own process, and peers that are nothing but sockets.

In: options for a node.  Out: a running process with its endpoints and log, and plain clients of it.
Never: an import from the package under test, or a sleep that waits for something to happen.
"""

import os
import re
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO, Literal, Self, TypeVar

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds until a test gives up on something that must happen; nothing waits this long unless it is broken."""

KIB = 1024
MIB = 1024 * 1024
NODE_NAME = "node1"
TCP = "tcp:0:interface=127.0.0.1"
LISTENING = re.compile(r"listening on ([a-z]+:[^\s\"',\\]+)")

T = TypeVar("T")


def in_background(call: Callable[..., T], *args: object) -> Future[T]:
    """Run the call in a thread of its own, which never keeps the test run alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:  # kept for whoever asks for the result
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    _threads.append(thread)
    thread.start()
    return future


_threads: list[threading.Thread] = []


def join_background() -> None:
    """Wait for all threads of `in_background`; their sockets are closed by now."""
    while _threads:
        thread = _threads.pop()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread of this test does not end"


def eventually(call: Callable[[], T | None], what: str) -> T:
    """Ask again, each time with a whole round trip to the node, until the answer is true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = call()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen within {PATIENCE:.0f} s: {what}"


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EndOfInput(EOFError):
    """The node closed before the line that was waited for."""


class RealPeer:
    """One plain client: what it reads is bytes, and it waits for them, never for time to pass.

    Invariant: `_unread` holds what came from the socket and was not handed out yet.
    """

    _tokens = 0

    def __init__(self, stream: socket.socket, name: str = "") -> None:
        stream.settimeout(PATIENCE)
        self.stream = stream
        self.name = name
        self._unread = bytearray()
        self._ended = False

    @classmethod
    def connect(
        cls,
        endpoint: str,
        *,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Self:
        """Connect to an endpoint as the node's log tells it: `tcp:host:port`, `ssl:host:port`, `unix:/path`."""
        scheme, _, address = endpoint.partition(":")
        stream = socket.socket(socket.AF_UNIX if scheme == "unix" else socket.AF_INET, socket.SOCK_STREAM)
        try:
            stream.settimeout(PATIENCE)
            if receive_buffer is not None:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if send_buffer is not None:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            if scheme == "unix":
                stream.connect(address)
            else:
                host, _, port = address.rpartition(":")
                stream.connect((host, int(port)))
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "ssl":
                assert context is not None
                stream = context.wrap_socket(stream, server_hostname="127.0.0.1")
        except BaseException:
            stream.close()
            raise
        return cls(stream)

    # --- sending

    def send(self, data: bytes) -> None:
        """Send these bytes, all of them."""
        self.stream.sendall(data)

    def say(self, *lines: bytes) -> None:
        """Send whole lines."""
        self.send(b"".join(line + b"\n" for line in lines))

    def send_in_pieces(self, pieces: Sequence[bytes], between: Callable[[], object]) -> None:
        """Send piece by piece, with something between them that takes the node a round trip."""
        for piece in pieces:
            self.send(piece)
            between()

    def login(self, name: str, node: str = NODE_NAME) -> Self:
        """Log in, and read the answer."""
        self.name = name
        self.say(name.encode())
        self.expect(f"ok login {name}@{node}".encode())
        return self

    # --- reading

    def _fill(self) -> None:
        if self._ended:
            raise EndOfInput(f"{self.name!r} is at its end; unread: {bytes(self._unread[:500])!r}")
        try:
            data = self.stream.recv(256 * KIB)
        except TimeoutError:
            raise AssertionError(f"{self.name!r} heard nothing more; unread: {bytes(self._unread[:500])!r}") from None
        if not data:
            self._ended = True
            raise EndOfInput(f"{self.name!r} is at its end; unread: {bytes(self._unread[:500])!r}")
        self._unread += data

    def line(self) -> bytes:
        """The next line, without its LF."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            self._fill()
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def lines(self, count: int) -> list[bytes]:
        """The next so many lines."""
        return [self.line() for _ in range(count)]

    def expect(self, *lines: bytes) -> None:
        """The next lines are exactly these."""
        for expected in lines:
            line = self.line()
            assert line == expected, f"{self.name!r} expected {expected[:300]!r} and heard {line[:300]!r}"

    def expect_stream(self, data: bytes) -> None:
        """The next bytes are exactly these; for streams too long to be compared by line."""
        while len(self._unread) < len(data):
            self._fill()
        if self._unread[: len(data)] != data:
            ours, theirs = data.splitlines(), bytes(self._unread[: len(data)]).splitlines()
            at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
            raise AssertionError(f"line {at}: expected {ours[at][:300]!r}, heard {theirs[at][:300]!r}")
        del self._unread[: len(data)]

    def until(self, line: bytes) -> list[bytes]:
        """All lines up to this one, which is taken too but not among them."""
        first, later = line + b"\n", b"\n" + line + b"\n"
        searched = 0
        while True:
            if self._unread.startswith(first):
                del self._unread[: len(first)]
                return []
            found = self._unread.find(later, searched)
            if found >= 0:
                before = bytes(self._unread[:found])
                del self._unread[: found + len(later)]
                return before.split(b"\n")
            searched = max(0, len(self._unread) - len(later))
            self._fill()

    def barrier(self) -> list[bytes]:
        """What had come before the answer to a ping that is sent now."""
        RealPeer._tokens += 1
        token = b"barrier-%d" % RealPeer._tokens
        self.say(b"/ping " + token)
        return self.until(b"pong " + token)

    def to_end(self) -> list[bytes]:
        """All lines until the node closes, which it does after a whole line."""
        try:
            while True:
                self._fill()
        except EndOfInput:
            pass
        rest = bytes(self._unread)
        self._unread.clear()
        assert not rest or rest.endswith(b"\n"), f"{self.name!r} was left in the middle of a line: {rest[-300:]!r}"
        return rest.split(b"\n")[:-1]

    def is_readable(self) -> bool:
        """Whether something, or the end, is there to be read now."""
        return bool(self._unread) or bool(select.select([self.stream], [], [], 0)[0])

    def wait_readable(self) -> None:
        """Wait until something is there to be read, without reading it."""
        assert self._unread or select.select([self.stream], [], [], PATIENCE)[0], f"{self.name!r}: nothing to read"

    def take(self, size: int) -> int:
        """Read at most so many bytes, to be handed out later; how many came."""
        data = self.stream.recv(size)
        self._unread += data
        return len(data)

    # --- ends

    def half_close(self) -> None:
        """End the input of the node, and go on reading."""
        self.stream.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish with a reset."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()

    def quit(self) -> list[bytes]:
        """Say /quit and read to the end: the lines before the last, which is `bye quit`."""
        self.say(b"/quit")
        lines = self.to_end()
        assert lines[-1:] == [b"bye quit"], lines[-5:]
        self.close()
        return lines[:-1]

    def close(self) -> None:
        """Close, and wake whoever of this test still reads or writes it."""
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.stream.close()


def expect_closed_with(peer: RealPeer, code: bytes) -> bytes:
    """The peer gets `error <code>: ...`, `bye <code>` and the end, and nothing else; the detail of the error."""
    lines = peer.to_end()
    assert len(lines) == 2, lines
    prefix = b"error " + code + b": "
    assert lines[0].startswith(prefix), lines
    assert lines[1] == b"bye " + code, lines
    return lines[0].removeprefix(prefix)


class Pace:
    """Reading at so many bytes a second by the clock; whoever was held up may catch up."""

    def __init__(self, peer: RealPeer, rate: float) -> None:
        self.peer = peer
        self.rate = rate
        self.taken = 0
        self.start = time.monotonic()

    def read_while(self, busy: Callable[[], bool], chunk: int = 64 * KIB) -> None:
        """Read at the pace as long as this is true."""
        while busy():
            allowed = int(self.rate * (time.monotonic() - self.start)) - self.taken
            if allowed < chunk:
                time.sleep((chunk - allowed) / self.rate)
                continue
            if select.select([self.peer.stream], [], [], 0.05)[0]:
                self.taken += self.peer.take(min(allowed, 256 * KIB))


TWISTD = ("twistd", "-n", "--pidfile=")
DAEMON = ("twistd",)
TWIST = ("twist",)


class RealNode:
    """One node process: its options, its endpoints, what it wrote.

    A daemon (`program=DAEMON`) has a process of ours around it, which shows its log and ends as it does.

    Invariant: every line that the process wrote is in `out` or `err` before its end is reported.
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        listen: Sequence[str] = (TCP,),
        node_name: str | None = NODE_NAME,
        descriptors: int | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = TWISTD,
        launcher: Sequence[str] = (),
        descriptors_passed: Sequence[int] = (),
        log_file: Path | None = None,
    ) -> None:
        """`program` and its own options run it; `launcher` is a command that runs this one; `log_file` is where it was
        told to log, if that is not its standard output."""
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self._open_streams = 2
        self._tail: subprocess.Popen[str] | None = None
        self._listeners = len(listen)
        self._is_daemon = "twistd" in program and "-n" not in program
        command = [*launcher, str(Path(sys.executable).parent / program[0]), *program[1:], "nettool"]
        if self._is_daemon:
            supervise = str(Path(__file__).with_name("supervise.py"))
            path = str(log_file or directory / "twistd.log")
            command = [sys.executable, supervise, str(directory / "twistd.pid"), path, *command]
        if node_name is not None:
            command += ["--node-name", node_name]
        for endpoint in listen:
            command += ["--listen", endpoint]
        command += options
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=_environment(directory, environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors_passed,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        if log_file is not None and not self._is_daemon:
            self._follow(log_file)
        for reader in self._readers:
            reader.start()

    def _follow(self, log_file: Path) -> None:
        """Have tail show the log file as it grows, and whatever takes its place, until the node has ended."""
        command = ["tail", "-n", "+1", "-s", "0.1", f"--pid={self.process.pid}", "-F", str(log_file)]
        tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._tail = tail
        self._open_streams += 1
        self._readers.append(threading.Thread(target=self._collect, args=(tail.stdout, self.out), daemon=True))

    def _collect(self, stream: IO[str], lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    # --- what it wrote

    def endpoints(self) -> list[str]:
        """The endpoints that the log has told so far."""
        return [found[1] for line in list(self.out) if (found := LISTENING.search(line))]

    def endpoint(self, scheme: str = "tcp") -> str:
        """The first endpoint of this kind."""
        return next(endpoint for endpoint in self.endpoints() if endpoint.startswith(scheme + ":"))

    def wait_until_it_listens(self) -> Self:
        """Wait until the log has told the endpoint of every listener."""
        self._wait(lambda: len(self.endpoints()) >= self._listeners, "listening")
        return self

    def wait_for_log(self, pattern: str) -> str:
        """Wait for a line of the log that holds this pattern."""
        search = re.compile(pattern).search

        def found() -> str | None:
            return next((line for line in self.out if search(line)), None)

        self._wait(lambda: found() is not None, pattern)
        line = found()
        assert line is not None
        return line

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        with self._changed:
            done = self._changed.wait_for(lambda: reached() or self._open_streams == 0, PATIENCE)
            assert done and reached(), f"no {what} in the log:\n{self.report()}"

    def report(self) -> str:
        """What the process wrote, its last lines only."""
        return "\n".join(["stdout:", *self.out[-40:], "stderr:", *self.err[-40:]])

    def totals(self) -> dict[str, int]:
        """The counts of the ledger, from the last lines of the log, by the ledger's words."""
        found: dict[str, int] = {}
        for line in self.out[-40:]:
            for word in ("accepted", "delivered", "returned", "dropped", "queued", "refused"):
                match = re.search(rf"\b{word}\b[\"']?\s*[=:]\s*(\d+)", line) or re.search(rf"\b(\d+) {word}\b", line)
                if match:
                    found[word] = int(match[1])
        return found

    # --- the process

    def memory(self, field: Literal["VmRSS", "VmHWM"]) -> int:
        """Bytes of memory now, or at the most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        assert match is not None, status
        return int(match[1]) * KIB

    @contextmanager
    def grows_less_than(self, bound: int) -> Iterator[None]:
        """Whatever happens inside: the process's memory never peaked this much above what it was at first."""
        before = self.memory("VmRSS")
        # 5 sets the peak back to what is in use now.
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        yield
        growth = self.memory("VmHWM") - before
        assert growth < bound, f"grew by {growth / MIB:.1f} MiB, bound {bound / MIB:.1f} MiB"

    @property
    def pid(self) -> int:
        """The node's own process."""
        if self._is_daemon:
            return int(self.wait_for_log(r"^daemon \d+$").split()[1])
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the process's own end: its exit status."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.report()}") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        if self._tail is not None:
            self._tail.wait(PATIENCE)
        return status

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once; what it wrote can still be read."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # a daemon that has ended, whose supervisor has not yet
                self.signal(signal.SIGKILL)
        self.wait()

    def expect_no_surprise(self) -> None:
        """Nothing in what it wrote is a traceback."""
        surprises = [line for line in self.out + self.err if "Traceback" in line or "Unhandled" in line]
        assert not surprises, self.report()


def _environment(directory: Path, more: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NETTOOL_")}
    kept |= {"HOME": str(directory), "XDG_STATE_HOME": str(directory)}
    try:
        distribution("nettool")
    except PackageNotFoundError:  # not installed: the node of this checkout
        kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    paths = [path for path in (more.get("PYTHONPATH"), kept.get("PYTHONPATH")) if path]
    return kept | dict(more) | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


class Street:
    """What is outside of one node: its peers, who are closed when the test ends."""

    def __init__(self, node: RealNode) -> None:
        self.node = node
        self._peers: list[RealPeer] = []

    def connect(
        self,
        scheme: str = "tcp",
        *,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> RealPeer:
        """A new connection, not logged in."""
        peer = RealPeer.connect(
            self.node.endpoint(scheme), receive_buffer=receive_buffer, send_buffer=send_buffer, context=context
        )
        self._peers.append(peer)
        return peer

    def peer(self, name: str, scheme: str = "tcp", **options: int | None) -> RealPeer:
        """A new peer, logged in."""
        return self.connect(scheme, **options).login(name)  # type: ignore[arg-type]

    def peers(self, *names: str) -> list[RealPeer]:
        """New peers, logged in in this order."""
        return [self.peer(name) for name in names]

    def hearer(self, name: str, *topics: bytes, scheme: str = "tcp", **options: int | None) -> RealPeer:
        """A new peer, logged in, that hears these topics."""
        peer = self.peer(name, scheme, **options)
        peer.say(*(b"/join " + topic for topic in topics))
        peer.expect(*(b"ok join " + topic for topic in topics))
        return peer

    def try_login(self, name: str) -> RealPeer | None:
        """A new peer, or None when its name is still taken."""
        peer = self.connect()
        peer.name = name
        peer.say(name.encode())
        answer = peer.line()
        if answer == f"ok login {name}@{NODE_NAME}".encode():
            return peer
        assert answer == f"error name-taken: {name}".encode(), answer
        assert peer.to_end() == [b"bye name-taken"]
        peer.close()
        return None

    def login_when_free(self, name: str) -> RealPeer:
        """A new peer, as soon as its name is free."""
        return eventually(lambda: self.try_login(name), f"{name} is free")

    def try_takeover(self, name: str) -> RealPeer | None:
        """A new peer where names may be taken over, or None when somebody else is just taking it over."""
        peer = self.connect(receive_buffer=64 * KIB)
        peer.name = name
        peer.say(name.encode())
        return peer if peer.line().startswith(b"ok login ") else None

    def close_only(self, *peers: RealPeer) -> None:
        """Close these peers."""
        for peer in peers:
            self._peers.remove(peer)
            peer.close()

    def close(self) -> None:
        """Close all peers."""
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    def sweep(self) -> None:
        """Close all peers, and wait until the node has seen all of them go."""
        self.close()
        assert self.node.process.poll() is None, f"the node has ended:\n{self.node.report()}"
        try:
            sweeper = self.login_when_free("sweeper")
            eventually(lambda: who(sweeper) == [b"sweeper"], "everybody has gone")
            sweeper.quit()
        finally:
            self.close()


def who(peer: RealPeer, topic: bytes = b"") -> list[bytes]:
    """Who is here, or who hears the topic, as this peer is told; whatever else it hears meanwhile is thrown away."""
    peer.say(b"/who " + topic if topic else b"/who")
    names: list[bytes] = []
    while True:
        line = peer.line()
        if line.startswith(b"peer "):
            names.append(line.removeprefix(b"peer "))
        elif line.startswith(b"ok who "):
            assert line == b"ok who %d" % len(names)
            return names


def open_descriptors_limit() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
