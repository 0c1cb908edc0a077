"""The session that the protocol's description prints, with plain sockets and with the programs it names."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tests.real.node import PATIENCE, RealNode, Street, in_background


def test_the_session_goes_as_printed(street: Street) -> None:
    alice, bob = street.connect(), street.connect()
    alice.send(b"alice\n")
    alice.expect(b"ok login alice@node1")
    bob.send(b"bob\n")
    bob.expect(b"ok login bob@node1")
    alice.send(b"bob: hello\n")
    bob.expect(b"from alice: hello")
    bob.send(b"alice, bob: hi!\n")
    alice.expect(b"from bob: hi!")
    bob.expect(b"from bob: hi!")
    alice.send(b"dave: are you there?\n")
    alice.expect(b"error no-such-peer: dave")
    for peer in (alice, bob):
        assert peer.barrier() == []


def port_of(node: RealNode) -> str:
    """The port on which the node listens."""
    return node.endpoint().rpartition(":")[2]


class Program:
    """A program that is a peer: what is typed into it, and what it prints."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def type(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def expect(self, *lines: str) -> None:
        """It prints these lines next."""
        assert self.process.stdout is not None
        for line in lines:
            printed: Future[bytes] = in_background(self.process.stdout.readline)
            assert printed.result(PATIENCE) == line.encode() + b"\n"

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def run() -> Iterator[Callable[..., Program]]:
    """Programs that end with the test."""
    programs: list[Program] = []

    def started(*command: str) -> Program:
        programs.append(Program(*command))
        return programs[-1]

    yield started
    for program in programs:
        program.end()


@pytest.mark.system("nc")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_session_goes_as_printed_with_nc(street: Street, run: Callable[..., Program], host: str) -> None:
    alice, bob = run("nc", host, port_of(street.node)), run("nc", host, port_of(street.node))
    alice.type("alice")
    alice.expect("ok login alice@node1")
    bob.type("bob")
    bob.expect("ok login bob@node1")
    alice.type("bob: hello")
    bob.expect("from alice: hello")
    bob.type("alice, bob: hi!")
    alice.expect("from bob: hi!")
    bob.expect("from bob: hi!")
    alice.type("dave: are you there?")
    alice.expect("error no-such-peer: dave")
    for program in (alice, bob):
        program.type("/quit")
        program.expect("bye quit")


@pytest.mark.system("nc")
def test_printf_into_nc_loses_no_reply(street: Street) -> None:
    bob = street.peer("bob")
    for number in range(5):
        done = subprocess.run(
            ["sh", "-c", f"printf 'alice{number}\\nbob: hello\\n/who\\n' | nc -N 127.0.0.1 {port_of(street.node)}"],
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout == b"ok login alice%d@node1\npeer alice%d\npeer bob\nok who 2\nbye quit\n" % (number, number)
        bob.expect(b"from alice%d: hello" % number)


@pytest.mark.system("bash")
def test_a_shell_script_is_a_full_client(street: Street) -> None:
    bob = street.hearer("bob", b"#t")
    script = """
        exec 3<>/dev/tcp/127.0.0.1/$1
        printf 'alice\\n' >&3; read -r line <&3; echo "$line"
        printf 'bob, #t: hello\\n/ping done\\n/quit\\n' >&3
        cat <&3
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", port_of(street.node)], capture_output=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == b"ok login alice@node1\npong done\nbye quit\n"
    bob.expect(b"from alice: hello", b"from alice to #t: hello")
