"""What operators type, and see: prompts, commands, pipes; slow terminals, lost ones, and the node's end."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import MSG_GLOBAL_REQUEST
from twisted.conch.ssh.transport import MSG_KEXINIT
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from nettool.ops.console.auth import CHANNELS
from nettool.ops.console.interpreter import MOST_PRINTED
from nettool.ops.console.outflow import HELD
from nettool.ops.console.sitting import LOOK
from nettool.ops.console.transport import ENDING
from nettool.outbox.queue import Outbox
from tests.ops.console.manholes import Manhole
from tests.support.ssh import SshClient, SshSession
from tests.support.street import kibibytes
from tests.support.terminal import Terminal


class Seat:
    """Somebody at a terminal, with a prompt."""

    def __init__(self, manhole: Manhole, columns: int = 80, client: SshClient | None = None, **options: Any) -> None:
        self.client = client or manhole.ssh()
        self.terminal = Terminal(columns)
        self.session: SshSession = self.client.prompt(columns, **options)
        self.look()

    def type(self, keys: str | bytes) -> list[str]:
        """Type; what the terminal shows then."""
        self.session.write(keys.encode() if isinstance(keys, str) else keys)
        self.client.settle()
        return self.look()

    def look(self) -> list[str]:
        self.client.settle()
        self.terminal.feed(self.session.output)
        self.session.output.clear()
        return self.terminal.lines


@pytest.fixture
def seat(manhole: Manhole) -> Seat:
    return Seat(manhole)


HELLO = "nettool 0.1.0, node1. help() tells what there is; Ctrl-D leaves."

# --- the prompt


def test_a_prompt_says_what_it_is_and_runs_what_is_typed(seat: Seat) -> None:
    assert seat.look() == [HELLO, ">>>"]
    assert seat.type("1 + 1") == [HELLO, ">>> 1 + 1"]
    assert seat.type("\r") == [HELLO, ">>> 1 + 1", "2", ">>>"]
    assert seat.terminal.cursor == (3, 4)


def test_a_statement_may_have_several_lines(seat: Seat) -> None:
    assert seat.type("for i in range(2):\r    i\r\r")[1:] == [
        ">>> for i in range(2):",
        "...     i",
        "...",
        "0",
        "1",
        ">>>",
    ]
    assert seat.type("def f():\r\treturn 7\r\rf()\r")[-2:] == ["7", ">>>"], "a tab at the beginning indents"


def test_an_exception_is_a_traceback_and_nothing_else(seat: Seat) -> None:
    assert seat.type("1/0\r")[2:] == [
        "Traceback (most recent call last):",
        '  File "<console>", line 1, in <module>',
        "ZeroDivisionError: division by zero",
        ">>>",
    ]
    assert seat.type("raise KeyboardInterrupt\r")[-2:] == ["KeyboardInterrupt", ">>>"]


def test_output_without_a_line_end_does_not_hide_the_prompt(seat: Seat) -> None:
    assert seat.type("print('x', end='')\r")[2:] == ["x", ">>>"]


def test_names_in_other_letters_can_be_typed(seat: Seat) -> None:
    assert seat.type("'jürgen 漢字'\r")[1:3] == [">>> 'jürgen 漢字'", "'jürgen 漢字'"]
    typed = "'é'".encode()
    for at in range(len(typed)):
        seat.type(typed[at : at + 1])
    assert seat.type("\r")[-2:] == ["'é'", ">>>"]
    assert seat.type(b"'\xff\xe4'\r")[-2:] == ["'\ufffd\ufffd'", ">>>"]


def test_a_line_longer_than_the_terminal_is_wide(manhole: Manhole) -> None:
    seat = Seat(manhole, columns=20)
    seat.type("'" + "x" * 50 + "'")
    assert seat.terminal.lines[-3:] == [">>> '" + "x" * 15, "x" * 20, "x" * 15 + "'"]
    seat.type("\x01" + "y = ")
    assert seat.terminal.lines[-3] == ">>> y = '" + "x" * 11
    assert seat.type("\rlen(y)\r")[-2:] == ["50", ">>>"]


def test_history_and_editing(seat: Seat) -> None:
    seat.type("x = 5\rx * 2\r")
    assert seat.type("\x1b[A\x1b[A")[-1] == ">>> x = 5"
    assert seat.type("\x7f7\r\x1b[A\x1b[A\r")[-2:] == ["14", ">>>"]
    assert seat.type("abc\x1b[D\x1b[D\x1b[3~\x1b[HX\x1b[FY")[-1] == ">>> XacY"
    assert seat.type("\x15one two\x17\x1bb\x0b")[-1] == ">>>"
    assert seat.type("a b\x1b[1;5D\x1b[1;5DX\x1b[1;5CY")[-1] == ">>> XaY b", "by words"
    assert seat.type("\x1b[15~\x1b[99~\x1bz\x07\x1b[?x")[-1] == ">>> XaY b", "what is no key of ours does nothing"


def test_tab_completes(seat: Seat, manhole: Manhole) -> None:
    manhole.peers(b"boris", b"bob-the-builder", b"carol")
    assert seat.type("clos\t")[-1] == ">>> closed("
    assert seat.type("\x15node.bro\t")[-1] == ">>> node.broker"
    assert seat.type('\x15kick("ca\t')[-1] == '>>> kick("carol'
    assert seat.type('\x15kick("b\t')[-1] == '>>> kick("bo'
    assert seat.type("\t")[-2:] == ["bob-the-builder  boris", '>>> kick("bo']
    assert seat.type("\x15nothing_such\t")[-1] == ">>> nothing_such" and seat.terminal.bells == 1


def test_ctrl_c_forgets_what_is_typed(seat: Seat) -> None:
    assert seat.type("for i in x:\r    1/\x03")[-2:] == ["...     1/^C", ">>>"]
    assert seat.type("5\r")[-2:] == ["5", ">>>"]


def test_ctrl_l_clears_the_terminal(seat: Seat) -> None:
    assert seat.type("1\rhalf\x0c") == [">>> half"]


def test_ctrl_d_leaves_with_status_0(seat: Seat) -> None:
    seat.type("x\x04\x7f")
    assert not seat.session.ended
    seat.type("\x04")
    assert (seat.session.ended, seat.session.status) == (True, 0)


def test_exit_leaves_with_its_status_and_nothing_behind_it_runs(seat: Seat, manhole: Manhole) -> None:
    seat.type("exit(3)\rdrain()\r")
    assert (seat.session.ended, seat.session.status) == (True, 3)
    assert not manhole.done
    assert manhole.service.running


def test_a_terminal_may_change_its_size(seat: Seat) -> None:
    seat.type("'" + "x" * 50)
    seat.client.resize(seat.session, 40)
    seat.session.output.clear()
    seat.terminal = Terminal(40)
    seat.type("'\r")
    assert seat.type("stats()\r")[-1] == ">>>"
    assert max(map(len, seat.terminal.lines)) <= 40
    seat.client.resize(seat.session, 0, 0)
    seat.client.resize(seat.session, 2**32 - 1, 2**32 - 1)
    assert seat.type("1\r")[-2:] == ["1", ">>>"]


def test_what_is_pasted_has_a_bound(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.prompt()
    typed = client.type(session, "x" * 60_000) + client.type(session, "y" * 60_000)
    assert b"\a" in typed and b"y" * 5_536 in typed and b"y" * 5_537 not in typed
    said = b"".join(client.type(session, '\x15"""' + "x" * 60_000 + "\r") for _ in range(3))
    assert b"a statement has at most" not in said
    said = client.type(session, '\x03"""' + "\r" * 1001)
    assert b"a statement has at most 1,000 lines\r\n" in said
    assert b"\r\n2\r\n" in client.type(session, "\x031 + 1\r")


def test_a_statement_of_few_but_long_lines_has_a_bound_too(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.prompt()
    said = b"".join(client.type(session, '"""\r' * (number == 0) + "x" * 60_000 + "\r") for number in range(5))
    assert b"a statement has at most" in said


def test_long_tables_and_views_are_cut_to_the_prompts_terminal(seat: Seat, manhole: Manhole) -> None:
    manhole.peers(*(b"peer%d" % number for number in range(150)))
    for source in ("who()", "peers"):
        assert seat.type(f"\x0c{source}\r")[-2:] == ["... and 50 more", ">>>"]
    assert len(manhole.ssh().run("peers").output.splitlines()) == 151


# --- what comes later


def test_late_results_stand_above_what_is_being_typed(seat: Seat, manhole: Manhole) -> None:
    deferred: Deferred[str] = Deferred()
    manhole.service.result = deferred  # type: ignore[attr-defined]
    assert seat.type("node.result\r")[-2:] == ["#1: is shown when it comes", ">>>"]
    seat.type("half a li")
    deferred.callback("here")
    assert seat.look()[-2:] == ["#1: 'here'", ">>> half a li"]
    assert seat.type("ne\x1b[D")[-1] == ">>> half a line" and seat.terminal.cursor[1] == 14


def test_await_works(seat: Seat, manhole: Manhole) -> None:
    deferred: Deferred[int] = Deferred()
    manhole.service.result = deferred  # type: ignore[attr-defined]
    seat.type("x = await node.result\r1\r")
    deferred.callback(5)
    assert seat.type("x\r")[-2:] == ["5", ">>>"]


def test_a_result_that_comes_when_the_console_is_gone_harms_nothing(seat: Seat, manhole: Manhole) -> None:
    deferred: Deferred[int] = Deferred()
    manhole.service.result = deferred  # type: ignore[attr-defined]
    seat.type("node.result\r")
    seat.client.vanish()
    deferred.callback(5)
    failing: Deferred[int] = Deferred()
    manhole.service.result = failing  # type: ignore[attr-defined]
    seat = Seat(manhole)
    seat.type("node.result\r")
    seat.client.vanish()
    failing.errback(ValueError())


# --- tail


def test_a_tail_runs_until_ctrl_c(seat: Seat, manhole: Manhole) -> None:
    alice, bob = manhole.peers(b"alice", b"bob")
    outbox = bob.protocol.session.outbox
    seat.type('tail("bob")\r')
    alice.say(b"bob: one", b"bob: \x1b[2J")
    manhole.pass_time(LOOK)
    assert seat.look()[2:] == ["from alice: one", r"from alice: \x1b[2J"]
    seat.type("typed meanwhile\r")
    alice.say(b"bob: two")
    manhole.pass_time(LOOK)
    assert seat.look()[4:] == ["from alice: two"]
    assert seat.type("\x03")[-1] == ">>>"
    assert type(outbox) is Outbox
    alice.say(b"bob: three")
    manhole.pass_time(LOOK)
    assert seat.type("1\r")[-2:] == ["1", ">>>"]
    assert not manhole.reactor.getDelayedCalls()


def test_a_tail_ends_when_its_peer_goes(seat: Seat, manhole: Manhole) -> None:
    alice, bob = manhole.peers(b"alice", b"bob")
    seat.type('tail("bob")\r')
    alice.say(b"bob: last")
    bob.vanish()
    manhole.pass_time(LOOK)
    manhole.pass_time(LOOK)
    assert seat.look()[2:] == ["from alice: last", "[bob has gone]", ">>>"]


@pytest.mark.parametrize("how", ["vanish", "close"])
def test_a_tail_ends_with_its_console(seat: Seat, manhole: Manhole, how: str) -> None:
    [bob] = manhole.peers(b"bob")
    seat.type('tail("bob")\r')
    if how == "vanish":
        seat.client.vanish()
    else:
        seat.session.conn.sendClose(seat.session)
        seat.client.settle()
    assert type(bob.protocol.session.outbox) is Outbox
    manhole.pass_time(LOOK)
    assert not manhole.reactor.getDelayedCalls()


def test_a_flood_does_not_flood_the_terminal(seat: Seat, manhole: Manhole) -> None:
    alice, bob = manhole.peers(b"alice", b"bob")
    seat.type('tail("bob")\r')
    for _ in range(50):
        alice.say(*(b"bob: " + text for text in kibibytes(100, 20)))
        bob.hear()
    for _ in range(100):
        manhole.pass_time(LOOK)
    lines = seat.look()
    told = [line for line in lines if "left out" in line]
    assert told
    assert len(lines) < 5000
    assert manhole.service.broker.ledger.delivered == 5000


def test_a_tail_on_a_slow_terminal_fills_nothing_but_what_is_its_own(manhole: Manhole) -> None:
    alice, bob = manhole.peers(b"alice", b"bob")
    client = manhole.ssh()
    session = client.open(localWindow=4096)
    session.conn.adjustWindow = lambda channel, size: None  # it reads no more
    client.start(session, b"exec", NS(b'tail("bob")'))
    for _ in range(200):
        alice.say(*(b"bob: " + text for text in kibibytes(20)))
        bob.hear()
        manhole.pass_time(LOOK)
    [channel] = manhole.door.consoles
    assert channel.behind and len(channel._outflow._waiting) < 100_000
    type(session.conn).adjustWindow(session.conn, session, 10_000_000)
    client.settle()
    manhole.pass_time(LOOK)
    client.settle()
    assert b"lines left out" in session.output and b"bytes cut" not in session.output


# --- commands without a prompt


@pytest.mark.parametrize(
    ("source", "printed", "status"),
    [
        ("who()", "nobody is here\n", 0),
        ("1; 'two'", "1\n'two'\n", 0),
        ("x = 3\nfor i in range(x):\n    print(i, end=' ')\n", "0 1 2 ", 0),
        ("kick('bob')", "no-such-peer: bob; who() lists those who are here\n", 1),
        ("exit(7)", "", 7),
        ("exit('x')", "", 1),
        ("", "", 0),
        ("async def f(): return 1\nf()", "1\n", 0),
        ("print('\\x1b[2J')", "\\x1b[2J\n", 0),
    ],
)
def test_a_command_prints_its_result_and_ends(manhole: Manhole, source: str, printed: str, status: int) -> None:
    session = manhole.ssh().run(source)
    assert (session.output.decode(), session.status, session.ended) == (printed, status, True)


def test_a_command_that_raises_ends_with_1(manhole: Manhole) -> None:
    for source in ("1/0", "1 +", "for i in x:", "raise KeyboardInterrupt"):
        session = manhole.ssh().run(source)
        assert session.status == 1 and session.output


def test_a_command_that_is_no_text_is_refused(manhole: Manhole) -> None:
    client = manhole.ssh()
    assert not client.ask(client.open(), b"exec", NS(b"\xff"))


def test_a_command_waits_for_its_results(manhole: Manhole) -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    manhole.service.results = [first, second]  # type: ignore[attr-defined]
    client = manhole.ssh()
    session = client.run("for d in node.results: d")
    assert session.status is None
    second.callback(2)
    client.settle()
    assert session.status is None
    first.errback(ValueError("no"))
    client.settle()
    assert session.status == 1 and session.ended
    assert session.output.decode().splitlines()[-1] == "ValueError: no"


def test_a_command_may_be_a_tail(manhole: Manhole) -> None:
    alice, bob = manhole.peers(b"alice", b"bob")
    client = manhole.ssh()
    session = client.run('tail("bob")')
    client.end_input(session)
    alice.say(b"bob: one")
    manhole.pass_time(LOOK)
    client.settle()
    assert session.output == b"from alice: one\n"
    bob.vanish()
    client.pass_time(LOOK)
    client.pass_time(LOOK)
    assert session.output == b"from alice: one\n[bob has gone]\n" and session.status == 0


def test_a_signal_interrupts_a_command(manhole: Manhole) -> None:
    manhole.peers(b"bob")
    client = manhole.ssh()
    session = client.run('tail("bob")')
    assert not client.ask(session, b"signal", NS(b"KILL"))
    client.start(session, b"signal", NS(b"INT"))
    assert session.status == 130 and session.ended


def test_ctrl_c_interrupts_a_command_on_a_terminal(manhole: Manhole) -> None:
    from twisted.conch.ssh.session import packRequest_pty_req

    manhole.peers(b"bob")
    client = manhole.ssh()
    session = client.open()
    client.start(session, b"pty-req", packRequest_pty_req(b"xterm", (24, 80, 0, 0), b""))
    client.start(session, b"exec", NS(b'print("hi"); tail("bob")'))
    assert session.output == b"hi\r\n"
    client.type(session, "x\x03")
    assert session.status == 130


def test_what_is_piped_in_is_run_line_by_line(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.open()
    client.start(session, b"shell")
    assert client.type(session, "x = 5\nfor i in ran") == b""
    assert client.type(session, "ge(2):\n    i + x\n\nx") == b"5\n6\n"
    client.end_input(session)
    assert session.output == b"5\n6\n5\n" or session.output.endswith(b"5\n")
    assert session.status == 0 and session.ended


def test_what_is_piped_in_and_raises_goes_on_and_ends_with_1(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.open()
    client.start(session, b"shell")
    session.write(b"1/0\r\n\r\nif True:\r\n    2\r\n")
    client.end_input(session)
    assert session.output.decode().splitlines()[-2:] == ["ZeroDivisionError: division by zero", "2"]
    assert session.status == 1


def test_a_statement_that_is_piped_in_has_a_bound(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.open()
    client.start(session, b"shell")
    for _ in range(40):
        client.type(session, b"x" * 30_000)
    assert session.status == 1 and session.ended


# --- who is asked for what


def test_nothing_but_consoles_is_there(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.open()
    assert not client.ask(session, b"subsystem", NS(b"sftp"))
    assert not client.ask(session, b"env", NS(b"LANG") + NS(b"C"))
    assert not client.ask(session, b"auth-agent-req@openssh.com")
    assert not client.ask(session, b"x11-req", b"")
    assert not client.ask(session, b"window-change", bytes(16)), "there is no terminal"
    assert not client.ask(session, b"pty-req", b"nonsense")
    assert not client.ask(session, b"\xff\xff")
    client.start(session, b"exec", NS(b"1"))
    assert session.output == b"1\n"
    for kind in (b"direct-tcpip", b"x11", b"forwarded-tcpip", b"auth-agent@openssh.com", b"\xff"):
        other = SshSession()
        other.name = kind
        client.transport.connection.openChannel(other, b"\0" * 40)
        client.settle()
        assert other.refused
    forward = client.transport.connection.sendGlobalRequest(b"tcpip-forward", NS(b"") + bytes(4), wantReply=1)
    refused: list[Any] = []
    forward.addErrback(refused.append)
    client.settle()
    assert refused


def test_a_session_has_one_console(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.prompt()
    assert not client.ask(session, b"shell")
    assert not client.ask(session, b"exec", NS(b"1"))
    assert client.type(session, "2\r").count(b"2\r\n") == 1


def test_a_connection_has_several_sessions_but_not_any_number(manhole: Manhole) -> None:
    client = manhole.ssh()
    sessions = [client.open() for _ in range(CHANNELS + 1)]
    assert [session.refused for session in sessions] == [False] * CHANNELS + [True]
    client.start(sessions[0], b"exec", NS(b"1"))
    assert not client.open().refused, "one has ended"


def test_packets_of_a_byte_are_not_sent(manhole: Manhole) -> None:
    client = manhole.ssh()
    assert client.open(localMaxPacket=1).refused and client.open(localMaxPacket=1023).refused
    assert client.run("1", localMaxPacket=1024).output == b"1\n"


# --- every command is in the log


def test_every_command_is_logged_escaped_with_the_key_that_entered_it(manhole: Manhole, seat: Seat) -> None:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    try:
        seat.type("1/0\r")
        seat.type("if 1:\r  2\r\r")
        manhole.ssh().run("'\\x1b[2J\u202e'")
    finally:
        globalLogPublisher.removeObserver(events.append)
    told = [event["log_format"].format(**event) for event in events if "command" in event]
    key = "SHA256:"
    assert [line[: len("manhole: console 1, SHA256:")] for line in told] == [
        f"manhole: console {number}, {key}" for number in (1, 1, 2)
    ]
    assert [line.partition("(alice@laptop): ")[2] for line in told] == [
        "'1/0'",
        r"'if 1:\n  2\n'",
        ascii("'\\x1b[2J\u202e'"),
    ]


def test_a_key_that_is_removed_runs_nothing_more(manhole: Manhole, seat: Seat) -> None:
    seat.type("x = 1\r")
    manhole.authorized.write_bytes(b"")
    seat.type("drain()\r")
    assert "this key may not come in any more: nothing was done" in seat.terminal.lines
    assert seat.session.ended and seat.session.status == 1
    assert not manhole.done


# --- slow terminals, and lost ones


def test_a_large_result_waits_for_a_slow_terminal_and_is_whole(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.open(localWindow=4096)
    grown: list[int] = []
    session.conn.adjustWindow = lambda channel, size: grown.append(size)  # the client does not read on
    client.start(session, b"exec", NS(b"'x' * 500_000"))
    assert len(session.output) == 4096
    [channel] = manhole.door.consoles
    assert not channel.buf, "conch holds nothing"
    while session.localWindowLeft < 4096 and not session.ended:
        type(session.conn).adjustWindow(session.conn, session, 4096 - session.localWindowLeft)
        client.settle()
    assert session.output == b"'" + b"x" * 500_000 + b"'\n"
    assert session.status == 0


def test_what_a_terminal_does_not_take_is_bounded_and_cut(manhole: Manhole) -> None:
    client = manhole.ssh()
    seat = Seat(manhole, client=client, localWindow=4096)
    session = seat.session
    session.conn.adjustWindow = lambda channel, size: None
    for _ in range(10):
        session.write(b"'x' * 1_000_000\r")
        client.settle()
    [channel] = manhole.door.consoles
    held = channel.behind
    assert held and len(channel._outflow._waiting) <= HELD
    type(session.conn).adjustWindow(session.conn, session, 100_000_000)
    client.settle()
    assert b"bytes cut: this terminal is too slow]" in session.output
    assert len(session.output) < HELD + 10_000
    session.output.clear()
    session.write(b"\x15'still here'\r")
    client.settle()
    assert b"'still here'\r\n" in session.output


def test_a_slow_network_is_waited_for(manhole: Manhole) -> None:
    client = manhole.ssh()
    client.end.room = 0
    session = client.open()
    client.end.take(2000)
    client.settle()
    session.conn.sendRequest(session, b"exec", NS(b"'x' * 1_000_000"))
    for _ in range(20):
        client.clock.advance(0)
    [channel] = manhole.door.consoles
    assert client.end.held < 256 * 1024, "the transport holds little"
    assert channel.behind
    client.end.take()
    client.settle()
    assert len(session.output) == 1_000_003 and session.status == 0


def test_output_that_is_not_read_stops_commands_from_being_read(manhole: Manhole) -> None:
    """And so nothing piles up, however many commands are sent."""
    client = manhole.ssh()
    session = client.prompt()
    client.end.room = 0
    for _ in range(100):
        session.write(b"'x' * 100_000\r")
    for _ in range(300):
        client.clock.advance(0)
    [channel] = manhole.door.consoles
    assert len(channel._outflow._waiting) <= HELD and client.end.held < 256 * 1024
    client.end.take()
    client.settle()
    assert client.type(session, "1\r").count(b"1\r\n") >= 1


@pytest.mark.parametrize("source", ["'x' * 1_000_000", "for i in range(100_000): i", "node.peers", "1/0"])
def test_a_client_that_vanishes_in_the_middle_of_output_harms_nothing(manhole: Manhole, source: str) -> None:
    client = manhole.ssh()
    session = client.prompt()
    client.end.room = 1000
    session.write(source.encode() + b"\r\r")
    client.clock.advance(0)
    client.vanish()
    assert not manhole.door.consoles
    assert manhole.ssh().run("1").output == b"1\n"
    assert not manhole.reactor.getDelayedCalls()


def test_new_keys_in_the_middle_of_output(manhole: Manhole) -> None:
    """While keys are exchanged nothing else may be sent, so nothing is: it waits in the bounded place."""
    client = manhole.ssh()
    session = client.prompt()
    client.transport.sendKexInit()
    session.write(b"")
    client.settle()
    assert b"7\r\n" in client.type(session, "3 + 4\r")
    client.transport.sendKexInit()
    for _ in range(3):
        client.clock.advance(0)
    deferred: Deferred[str] = Deferred()
    manhole.service.result = deferred  # type: ignore[attr-defined]
    client.settle()
    assert b"#1" in client.type(session, "node.result\r")
    deferred.callback("x" * 300_000)
    client.settle()
    assert session.output.count(b"x") == 300_000


@pytest.mark.parametrize("kind", [MSG_GLOBAL_REQUEST, MSG_KEXINIT])
def test_who_exchanges_keys_asks_for_nothing_meanwhile(manhole: Manhole, kind: int) -> None:
    """What it were answered would have to wait, and conch lets that wait without a bound."""
    client = manhole.ssh()
    transport = client.transport
    transport.sendKexInit()
    state, transport._keyExchangeState = transport._keyExchangeState, transport._KEY_EXCHANGE_NONE
    what = {MSG_GLOBAL_REQUEST: NS(b"keepalive@openssh.com") + b"\1", MSG_KEXINIT: transport.ourKexInitPayload[1:]}
    transport.sendPacket(kind, what[kind])  # a client that does not care
    transport._keyExchangeState = state
    client.clock.advance(0)
    client.clock.advance(ENDING)
    client.clock.advance(0)
    assert client.is_cut_off


def test_keys_that_are_begun_to_be_exchanged_and_never_are_hold_no_memory(manhole: Manhole) -> None:
    alice, _ = manhole.peers(b"alice", b"bob")
    client = manhole.ssh()
    session = client.run('tail("bob")')
    client.transport.sendKexInit()
    client.end.room = 0
    client.clock.advance(0)
    server = client.server
    for _ in range(100):
        alice.say(*(b"bob: " + text for text in kibibytes(50)))
        manhole.pass_time(LOOK)
    assert sum(len(data) for _, data in server._blockedByKeyExchange or ()) < 10_000
    assert session.status is None


# --- the node's end


def test_a_console_that_is_left_open_does_not_hold_up_a_drain(manhole: Manhole, seat: Seat) -> None:
    manhole.peers(b"alice")
    ended = manhole.service.stopService()
    assert seat.look()[1:] == ["[the node drains; this console closes when it has]", ">>>"]
    assert seat.type("node.draining\r")[-2:] == ["True", ">>>"], "it may look on"
    manhole.pass_time(5)
    seat.look()
    manhole.pass_time(0)
    assert ended.called
    assert seat.client.is_cut_off
    assert "[the node has ended]" in seat.terminal.lines


def test_a_console_that_takes_nothing_does_not_hold_up_a_drain_either(manhole: Manhole) -> None:
    client = manhole.ssh()
    session = client.prompt()
    client.end.room = 0
    session.write(b"'x' * 1_000_000\r")
    client.clock.advance(0)
    ended = manhole.service.stopService()
    for _ in range(8):
        manhole.pass_time(1)
    assert ended.called and client.is_cut_off
    assert ENDING <= 2


def test_drain_and_reload_at_the_prompt(manhole: Manhole, seat: Seat) -> None:
    assert seat.type("reload()\r")[-2:] == ["outbox-bytes: 4MiB -> 8MiB", ">>>"]
    assert seat.type("drain()\r")[-2:] == ["node1 drains, for at most 10 s, and ends", ">>>"]
    assert manhole.done == ["reload", "drain"]


def test_the_bounds_go_together() -> None:
    assert 4 * MOST_PRINTED + 64 * 1024 <= HELD, "what a command may print fits into what waits for a terminal"


def test_help_of_a_command_says_how_it_is_called(seat: Seat) -> None:
    seat.type("\x0chelp(kick)\r")
    assert "".join(seat.terminal.lines[1:3]).startswith("kick(name, within=None): Throw a peer out; it has")
