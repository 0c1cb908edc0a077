"""The manhole of a real node, by the real `ssh`: who comes in and who does not, and what it cannot harm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.real.conftest import Start
from tests.real.node import KIB, MIB, PATIENCE, RealPeer, Street, eventually, in_background
from tests.real.ssh import Ssh, make_key, public, start_manhole

pytestmark = pytest.mark.system("ssh", "ssh-keygen")

DENIED = b"Permission denied (publickey)."


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "alice")


class Place:
    """A node with a manhole, and alice, who may come in."""

    def __init__(self, start: Start, directory: Path, key: Path, *options: str) -> None:
        self.street, self.authorized = start_manhole(start, directory, key, *options)
        self.ssh = Ssh(self.street, directory, key)
        self.directory = directory

    def with_key(self, key: Path | None) -> Ssh:
        return Ssh(self.street, self.directory, key)


@pytest.fixture
def place(start: Start, tmp_path: Path, key: Path) -> Place:
    return Place(start, tmp_path, key)


# --- who comes in


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_the_right_key_comes_in_as_whoever_it_likes(place: Place, tmp_path: Path, kind: str) -> None:
    other = make_key(tmp_path / kind, kind, f"{kind} key")
    with place.authorized.open("a") as file:
        file.write("\n# another one\nno-port-forwarding " + public(other))
    done = place.with_key(other).run("-l", "somebody", "localhost", "who()")
    assert (done.returncode, done.stdout) == (0, b"nobody is here\n"), done
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", other.with_suffix(".pub")], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    place.street.node.wait_for_log(rf"{fingerprint.replace('+', '.')} \({kind} key\) came in from .* as somebody")
    place.street.node.wait_for_log(rf"console 1, {fingerprint.replace('+', '.')} \({kind} key\): 'who\(\)'")


def test_a_key_with_a_passphrase_comes_in(place: Place, tmp_path: Path) -> None:
    """It is typed in the middle of authentication."""
    locked = make_key(tmp_path / "locked", passphrase="open sesame")
    place.authorized.write_text(public(locked))
    ssh = place.with_key(locked)
    ssh.environment = lambda: {**Ssh.environment(ssh), "SSH_ASKPASS_REQUIRE": "never"}  # type: ignore[method-assign]
    with ssh.terminal("1 + 1") as terminal:
        terminal.expect("passphrase")
        terminal.type("open sesame\n")
        assert b"\r\n2\r\n" in terminal.to_end()[0]


NO_KEY = ["-o", "PubkeyAuthentication=no"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        NO_KEY,
        [*NO_KEY, "-o", "PreferredAuthentications=password"],
        [*NO_KEY, "-o", "PreferredAuthentications=keyboard-interactive"],
        [*NO_KEY, "-o", "PreferredAuthentications=none,password,keyboard-interactive,hostbased"],
    ],
    ids=["wrong key", "no key", "empty password", "keyboard-interactive", "anything"],
)
def test_nobody_else_does(place: Place, tmp_path: Path, words: list[str]) -> None:
    mallory = make_key(tmp_path / "mallory")
    for user in ("root", "alice", ""):
        done = place.with_key(mallory).run("-l", user or "node1", *words, "localhost", "who()")
        assert done.returncode == 255 and DENIED in done.stderr and not done.stdout, done
    assert place.ssh.ask("1") == "1\n"
    assert not [line for line in place.street.node.out if "console" in line and "mallory" in line]


def test_a_key_that_is_removed_while_the_node_runs_comes_in_no_more(place: Place, tmp_path: Path) -> None:
    assert place.ssh.ask("1") == "1\n"
    other = make_key(tmp_path / "other")
    place.authorized.write_text(public(other))
    done = place.ssh.run("localhost", "drain()")
    assert done.returncode == 255 and DENIED in done.stderr
    assert place.with_key(other).ask("2") == "2\n"


@pytest.mark.parametrize("state", ["missing", "directory", "open to all", "malformed"])
def test_a_file_that_cannot_be_used_lets_nobody_in(place: Place, state: str) -> None:
    before = place.authorized.read_text()
    place.authorized.unlink()
    if state == "directory":
        place.authorized.mkdir()
    elif state == "open to all":
        place.authorized.write_text(before)
        place.authorized.chmod(0o666)
    elif state == "malformed":
        place.authorized.write_text("ssh-ed25519 " + before + before.replace("ssh-ed25519 ", "ssh-ed25519 AAAA"))
        place.authorized.chmod(0o600)
    done = place.ssh.run("localhost", "who()")
    assert done.returncode == 255 and DENIED in done.stderr
    place.street.node.wait_for_log("nobody may come in|authorized_keys, line 1: ")
    if place.authorized.is_dir():
        place.authorized.rmdir()
    place.authorized.write_text(before)
    place.authorized.chmod(0o600)
    assert place.ssh.ask("1") == "1\n"


def test_a_line_with_options_that_are_not_known_opens_nothing(place: Place) -> None:
    place.authorized.write_text('command="who()" ' + public(place.directory / "alice"))
    assert place.ssh.run("localhost", "who()").returncode == 255
    place.street.node.wait_for_log("does not know the option command, so the key is refused")


def test_nothing_is_forwarded_and_there_are_no_files(place: Place) -> None:
    done = place.ssh.run("-W", "127.0.0.1:22", "localhost")
    assert done.returncode != 0 and b"administratively prohibited" in done.stderr
    done = place.ssh.run("-s", "localhost", "sftp")
    assert done.returncode != 0 and b"subsystem request failed" in done.stderr
    done = place.ssh.run("-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:22", "localhost")
    assert done.returncode == 255 and b"remote port forwarding failed" in done.stderr


# --- the node's own key


def test_the_host_key_is_made_once_and_refused_when_others_can_read_it(start: Start, tmp_path: Path, key: Path) -> None:
    place = Place(start, tmp_path, key)
    path = tmp_path / "state" / "manhole_host_key"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    told = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout.split()[1]
    assert any(f"the host key made {told}" in line for line in place.street.node.out)
    assert place.ssh.ask("1") == "1\n"
    assert place.street.node.terminate() == 0
    again = Place(start, tmp_path, key)
    assert any(f"the host key is {told}" in line for line in again.street.node.out)
    assert again.ssh.run("-o", "HostKeyAlias=localhost", "localhost", "1").stdout == b"1\n"
    assert again.street.node.terminate() == 0
    path.chmod(0o640)
    with pytest.raises(AssertionError, match="others can read the host key") as refused:
        Place(start, tmp_path, key)
    assert "Traceback" not in str(refused.value)


# --- commands


def test_commands_print_and_say_by_their_status_whether_they_failed(place: Place) -> None:
    alice, bob = place.street.peers("alice", "bob")
    lines = place.ssh.ask("who()").splitlines()
    assert [line.split()[0] for line in lines] == ["name", "alice", "bob"]
    assert place.ssh.ask('say("bob", "from an operator")') == "1 copy on the way, from @node1\n"
    bob.expect(b"from @node1: from an operator")
    for source, said in (("1/0", b"ZeroDivisionError"), ('kick("nobody")', b"no-such-peer"), ("1 +", b"SyntaxError")):
        done = place.ssh.run("localhost", source)
        assert done.returncode == 1 and said in done.stdout, done
    assert place.ssh.run("localhost", "raise SystemExit(5)").returncode == 5
    assert place.ssh.run("localhost", "raise KeyboardInterrupt").returncode == 1
    assert place.ssh.ask('kick("bob")').startswith("bob is thrown out")
    assert bob.to_end() == [b"bye kicked"]
    assert eventually(lambda: "bob" in place.ssh.ask("closed()"), "bob is remembered")
    assert alice.barrier() == []


def test_a_script_may_be_piped_in(place: Place) -> None:
    script = b"total = 0\nfor number in range(5):\n    total += number\n\nprint(total)\n"
    done = place.ssh.run("-T", "localhost", given=script)
    assert (done.returncode, done.stdout) == (0, b"10\n"), done
    assert place.ssh.run("-T", "localhost", given=b"1/0\nprint('on')\n").returncode == 1


def test_a_result_that_comes_later_is_waited_for(place: Place) -> None:
    source = "from twisted.internet import reactor, task\ntask.deferLater(reactor, 0.2, lambda: 'late')"
    assert place.ssh.ask(source) == "#1: is shown when it comes\n#1: 'late'\n"
    source = "from twisted.internet import reactor, task\nx = await task.deferLater(reactor, 0.1, lambda: 21)\nx * 2"
    assert place.ssh.ask(source) == "#1: is shown when it comes\n42\n"


def test_why_of_a_real_slow_reader(place: Place) -> None:
    alice = place.street.peer("alice", send_buffer=64 * KIB)
    bob = place.street.peer("bob", receive_buffer=16 * KIB)
    flood = in_background(lambda: alice.stream.sendall((b"bob: " + b"x" * 1000 + b"\n") * 20_000))

    def told() -> str:
        said = place.ssh.ask('why("bob")')
        return said if "not read because of it" in said else ""

    text = eventually(told, "alice waits")
    for words in ("Its connection takes nothing now.", "full for ", "direct-patience is 5.0 s", "Who fills it:"):
        assert words in text, text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("    ") and "alice" in line] == [
        "alice"
    ] * 2
    assert "waits" in place.ssh.ask("who()")
    bob.stream.setblocking(True)
    in_background(bob.to_end)
    flood.result(PATIENCE)
    alice.close()
    bob.close()


# --- at a terminal


def test_a_prompt_with_history_completion_and_a_tail(place: Place) -> None:
    alice, bob = place.street.peers("alice", "bob")
    with place.ssh.terminal() as terminal:
        terminal.expect("Ctrl-D leaves.")
        terminal.expect(">>> ")
        terminal.type("6 * 7\r")
        terminal.expect("\r\n42\r\n")
        terminal.type("\x1b[A + 1\r")
        terminal.expect("\r\n43\r\n")
        terminal.type('tai\t"bo\t")\r')
        terminal.expect('tail("bob")')
        assert place.ssh.ask("len(node.peers.connections)") == "2\n"
        alice.say(b"bob: one", b"bob: \x1b]0;evil\x07")
        terminal.expect("from alice: one\r\n")
        terminal.expect(r"from alice: \x1b]0;evil\x07")
        terminal.type("\x03")
        terminal.expect(">>> ")
        terminal.type("1/0\r")
        terminal.expect("ZeroDivisionError: division by zero\r\n")
        terminal.expect(">>> ")
        terminal.type("\x04")
        _, status = terminal.to_end()
        assert status == 0
    bob.expect(b"from alice: one", b"from alice: \x1b]0;evil\x07")


def test_a_console_left_open_does_not_hold_up_a_drain(place: Place) -> None:
    alice = place.street.peer("alice")
    with place.ssh.terminal() as terminal, place.ssh.terminal("1; tail('alice')") as tail:
        terminal.expect(">>> ")
        tail.expect("1\r\n")
        terminal.type("half a line")
        terminal.expect("half a line")
        place.street.node.signal(signal.SIGTERM)
        terminal.expect("[the node drains; this console closes when it has]")
        assert alice.to_end() == [b"bye shutdown"]
        alice.close()
        assert place.street.node.wait() == 0
        said, status = terminal.to_end()
        assert b"the node has ended" in said and status == 255
        assert tail.to_end()[1] == 255


def test_the_node_is_drained_from_a_console(place: Place) -> None:
    alice = place.street.peer("alice")
    done = place.ssh.run("localhost", "drain()")
    assert b"node1 drains, for at most 10 s, and ends" in done.stdout
    assert alice.to_end() == [b"bye shutdown"]
    alice.close()
    assert place.street.node.wait() == 0


def test_a_console_whose_client_is_stopped_does_not_hold_up_a_drain(place: Place) -> None:
    with place.ssh.terminal() as terminal:
        terminal.expect(">>> ")
        os.kill(terminal.process.pid, signal.SIGSTOP)
        place.street.node.signal(signal.SIGTERM)
        assert place.street.node.wait() == 0


def test_new_keys_in_the_middle_of_output_and_no_compression(place: Place) -> None:
    """The client wants new keys after each 64 KiB, and would like zlib."""
    done = place.ssh.run("-C", "-o", "RekeyLimit=64K", "localhost", "'x' * 900_000")
    assert (done.returncode, done.stdout) == (0, b"'" + b"x" * 900_000 + b"'\n")


def test_several_consoles_on_one_connection(place: Place, tmp_path: Path) -> None:
    shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/shared", "-o", "ControlPersist=yes"]
    for number in range(3):
        # What stays in the background must not keep our pipes.
        quiet = ["-E", os.devnull] if number == 0 else []
        done = place.ssh.run(*quiet, *shared, "localhost", f"{number} * 2")
        assert done.stdout == b"%d\n" % (number * 2)
    assert len([line for line in place.street.node.out if "came in" in line]) == 1
    assert place.ssh.run(*shared, "-O", "exit", "localhost").returncode == 0


# --- what harms nothing


def test_a_huge_result_is_cut(place: Place) -> None:
    with place.street.node.grows_less_than(400 * MIB):
        done = place.ssh.run("localhost", "'x' * 100_000_000")
    assert done.returncode == 1, "it is not whole"
    assert len(done.stdout) < 1.1 * MIB and done.stdout.endswith(b"[cut: a command prints at most 1.0 MiB]\n")
    done = place.ssh.run("localhost", "import itertools\nfor i in itertools.count(): print(i)")
    assert done.stdout.startswith(b"0\n1\n2\n") and done.stdout.endswith(b"[cut: a command prints at most 1.0 MiB]\n")
    assert place.ssh.ask("1") == "1\n"


def test_a_client_that_is_killed_in_the_middle_of_output_harms_nothing(place: Place) -> None:
    alice = place.street.peer("alice")
    for _ in range(3):
        client = subprocess.Popen(
            place.ssh.command("localhost", "for i in range(10**5): i"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=place.ssh.environment(),
        )
        assert client.stdout is not None
        assert client.stdout.read(10_000)
        client.kill()
        client.wait(PATIENCE)
        client.stdout.close()
    assert alice.barrier() == []
    assert eventually(lambda: place.ssh.ask("len(node.at_end)") == "1\n", "it goes on")


def test_a_terminal_that_takes_nothing_costs_little_and_nobody_else(place: Place) -> None:
    """Its window is full, and bob, at whom it looks on, gets a flood."""
    alice, bob = place.street.peers("alice", "bob")
    with place.ssh.terminal("1; tail('bob')") as tail:
        tail.expect("1\r\n")
        os.kill(tail.process.pid, signal.SIGSTOP)
        with place.street.node.grows_less_than(40 * MIB):
            for _ in range(20):
                flood = in_background(alice.stream.sendall, (b"bob: " + b"y" * 200 + b"\n") * 10_000)
                for _ in range(10_000):
                    bob.line()
                flood.result(PATIENCE)
        os.kill(tail.process.pid, signal.SIGCONT)
        tail.expect("lines left out")


# --- strangers with nc


def connect(place: Place) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", place.ssh.port), PATIENCE)
    stream.settimeout(PATIENCE)
    return stream


def read_to_end(stream: socket.socket) -> bytes:
    read = b""
    try:
        while data := stream.recv(65536):
            read += data
    except ConnectionError:
        pass
    return read


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01\x02\xff" * 50, b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-" + b"x" * 5000, b"SSH-2.0-x\r\n" + b"\xff" * 5000],
    ids=["garbage", "http", "endless version", "garbage behind it"],
)
def test_what_is_no_ssh_is_closed(place: Place, data: bytes) -> None:
    with connect(place) as stream:
        stream.sendall(data)
        said = read_to_end(stream)
        assert len(said) < 4096
    place.street.node.wait_for_log("is refused: ")
    assert place.ssh.ask("1") == "1\n"


def test_a_thousand_connections_that_say_nothing_keep_nobody_out(place: Place) -> None:
    streams: list[socket.socket] = []
    try:
        with place.street.node.grows_less_than(30 * MIB):
            for _ in range(1000):
                streams.append(connect(place))
            assert place.ssh.ask("1") == "1\n"
    finally:
        for stream in streams:
            stream.close()
    assert isinstance(place.street.peer("alice"), RealPeer)
    assert place.ssh.ask("len(node.peers.connections)") == "1\n"


def test_a_version_line_that_never_ends_costs_nothing(place: Place) -> None:
    with connect(place) as stream, place.street.node.grows_less_than(20 * MIB):
        stream.sendall(b"SSH-2.0-")
        try:
            for _ in range(1000):
                stream.sendall(b"x" * 65536)
        except ConnectionError:
            pass
        else:
            pytest.fail("it is read for ever")


def test_the_street_is_used_by_peers_too(place: Place) -> None:
    assert isinstance(place.street, Street)
    alice = place.street.peer("alice")
    assert alice.quit() == []
