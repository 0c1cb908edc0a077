"""Python typed by an operator: results are shown, what is raised harms nothing, nothing prints without an end."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from nettool.ops.console.interpreter import MOST_PRINTED, Interpreter
from nettool.ops.levers import LeverError
from nettool.ops.tables import Report, Table
from nettool.ops.tail import Tail
from nettool.outbox.queue import Outbox


class Paper:
    width: int | None = 40
    most_rows: int | None = 3

    def __init__(self) -> None:
        self.written: list[str] = []
        self.followed: list[Tail] = []
        self.left: list[int] = []
        self.times_settled = 0

    def write(self, text: str) -> None:
        self.written.append(text)

    @property
    def text(self) -> str:
        """What has been printed since it was last looked at with `take`."""
        return "".join(self.written)

    def take(self) -> str:
        text = self.text
        self.written.clear()
        return text

    def follow(self, tail: Tail) -> None:
        self.followed.append(tail)

    def leave(self, status: int) -> None:
        self.left.append(status)

    def settled(self) -> None:
        self.times_settled += 1


class Desk:
    """An interpreter and its paper."""

    def __init__(self, **names: Any) -> None:
        self.paper = Paper()
        self.interpreter = Interpreter(names, self.paper, lambda: "the help")

    def run(self, source: str) -> str:
        """Run it; what was printed."""
        self.paper.take()
        self.interpreter.run(source)
        return self.paper.text

    def names(self) -> dict[str, Any]:
        return self.interpreter.namespace


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("1 + 1", "2\n"),
        ("None", ""),
        ("x = 5", ""),
        ("x = 5; x; x * 2", "5\n10\n"),
        ("for i in range(3): i", "0\n1\n2\n"),
        ("if True:\n    'yes'\n", "'yes'\n"),
        ("def f():\n    1\n    return 2\nf()", "2\n"),
        ("class A:\n    1\n", ""),
        ("(lambda: 3)()", "3\n"),
        ("print('a', 'b', sep='-', end='!')", "a-b!"),
        ("import pprint; pprint.pprint({'a': 1})", "{'a': 1}\n"),
        ("import sys; _ = sys.stdout.write('out'); sys.stderr.write('err') and None", "outerr"),
        ("'\\x1b[2J'", "'\\x1b[2J'\n"),
        ("print('\\x1b[2J\\u202e')", "\\x1b[2J\\u202e\n"),
        ("help()", "the help\n"),
        ("1; _ + 1", "1\n2\n"),
        ('"""a\nb"""', "'a\\nb'\n"),
        ("", ""),
        ("# nothing", ""),
        ("[x for x in 'ab']", "['a', 'b']\n"),
        ("x: int = 3\nx", "3\n"),
    ],
)
def test_what_is_typed_is_run_and_shown(source: str, printed: str) -> None:
    desk = Desk()
    assert desk.run(source) == printed
    assert not desk.interpreter.failed


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("1 +", False),
        ("for i in x:", True),
        ("for i in x:\n    i", True),
        ("for i in x:\n    i\n", False),
        ("f(", True),
        ('"""a', True),
        ("x = 1", False),
        ("await x", False),
        ("async def f():", True),
        ("\0", False),
        ("(" * 500, False),
        ("é = (", True),
    ],
)
def test_it_is_seen_whether_a_statement_is_whole(source: str, more: bool) -> None:
    assert Desk().interpreter.wants_more(source) is more


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("\0", "ValueError: source code string cannot contain null bytes|SyntaxError: .*"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): return f()\nf()", "RecursionError: maximum recursion depth exceeded.*"),
        ("raise BaseException('\\x1b[2J')", r"BaseException: \\x1b\[2J"),
        ("(" * 500, "SyntaxError: too many nested parentheses|MemoryError|RecursionError.*|s_push.*"),
        ("x" * 100, "NameError: name 'x+' is not defined"),
        ("input()", "there is no input here: the node would wait for it"),
        ("breakpoint()", "there is no input here: the node would wait for it"),
        ("import pdb; pdb.Pdb(stdin=None).cmdloop", None),
    ],
)
def test_what_is_raised_prints_and_nothing_else(source: str, last: str | None) -> None:
    import re

    desk = Desk()
    printed = desk.run(source)
    if last is not None:
        assert desk.interpreter.failed
        assert re.fullmatch(last, printed.splitlines()[-1]), printed
    assert not desk.paper.left
    assert desk.run("1") == "1\n", "it goes on"


def test_a_traceback_has_the_frames_of_what_was_typed() -> None:
    assert Desk().run("def f():\n    1/0\nf()") == (
        "Traceback (most recent call last):\n"
        '  File "<console>", line 3, in <module>\n'
        '  File "<console>", line 2, in f\n'
        "ZeroDivisionError: division by zero\n"
    )


def test_what_a_lever_refuses_is_told_in_a_line() -> None:
    def kick(name: str) -> None:
        raise LeverError(f"no-such-peer: {name}")

    desk = Desk(kick=kick)
    assert desk.run("kick('bob')") == "no-such-peer: bob\n"
    assert desk.interpreter.failed


class Nasty(Exception):
    def __str__(self) -> str:
        raise Nasty

    __repr__ = __str__


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    desk = Desk(Nasty=Nasty)
    assert "Nasty" in desk.run("raise Nasty")
    assert "Nasty" in desk.run("Nasty()"), "a result that cannot be shown is a traceback"
    assert desk.run("1") == "1\n"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("exit()", 0),
        ("quit(3)", 3),
        ("exit('sorry')", 1),
        ("raise SystemExit", 0),
        ("import sys; sys.exit(2)", 2),
        ("raise SystemExit(-1)", 255),
        ("exit(0)", 0),
    ],
)
def test_leaving_ends_the_console_and_nothing_else(source: str, status: int) -> None:
    desk = Desk()
    assert desk.run(source) == ""
    assert desk.paper.left == [status]
    assert desk.interpreter.failed is (status != 0)


def test_the_processs_own_output_is_its_own_again() -> None:
    before = sys.stdout, sys.stderr
    desk = Desk()
    desk.run("1/0")
    desk.run("print(1)")
    assert (sys.stdout, sys.stderr) == before


def test_names_are_of_one_console() -> None:
    one, two = Desk(), Desk()
    one.run("x = 1; print = None")
    assert "NameError" in two.run("x")
    assert two.run("print(1)") == "1\n"
    import builtins

    assert builtins.print is not None


# --- much output


def test_a_result_of_a_hundred_megabytes_is_cut() -> None:
    desk = Desk()
    for source in ("'x' * 100_000_000", "b'x' * 100_000_000", "bytearray(100_000_000)"):
        tracemalloc.start()
        printed = desk.run(f"big = {source}; big")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(printed) < MOST_PRINTED + 100
        assert printed.endswith("\n[cut: a command prints at most 1.0 MiB]\n")
        assert peak < 100_000_000 * 1.2, "only the operator's own object is large"
    assert desk.run("len(big)") == "100000000\n"


def test_a_repr_of_a_hundred_megabytes_is_cut() -> None:
    class Big:
        def __repr__(self) -> str:
            return "x" * 100_000_000

    desk = Desk(big=Big())
    printed = desk.run("big")
    assert len(printed) < MOST_PRINTED + 100 and "[cut: " in printed
    assert desk.interpreter.failed


def test_a_loop_that_prints_without_an_end_is_stopped() -> None:
    desk = Desk()
    printed = desk.run(
        "import itertools\nfor i in itertools.count():\n    try:\n        print(i)\n    except Exception:\n        pass"
    )
    assert printed.startswith("0\n1\n2\n") and printed.endswith("[cut: a command prints at most 1.0 MiB]\n")
    assert printed.count("[cut") == 1
    assert desk.run("for i in itertools.count(): i").count("[cut") == 1
    assert desk.run("1") == "1\n", "the next command may print as much again"


def test_what_is_escaped_counts_as_it_is_printed() -> None:
    printed = Desk().run("print('\\U000e0001' * 900_000)")
    assert len(printed) < MOST_PRINTED + 100 and "[cut" in printed


def test_a_result_that_fits_exactly_is_whole() -> None:
    printed = Desk().run(f"print('x' * {MOST_PRINTED - 1})")
    assert printed == "x" * (MOST_PRINTED - 1) + "\n" or printed.count("x") == MOST_PRINTED - 1


def test_late_output_without_an_end_is_cut_and_raises_nothing() -> None:
    calls: list[Any] = []
    desk = Desk(later=calls.append)
    desk.run("def say():\n    for _ in range(100_000): print('x' * 100)\nlater(say)")
    desk.paper.take()
    calls[0]()
    assert desk.paper.text.count("[cut") == 1 and len(desk.paper.text) < MOST_PRINTED + 100


def test_a_long_table_is_cut_to_the_terminal() -> None:
    desk = Desk(table=Table({"n": lambda n: n, "long": lambda n: "x" * 100}, range(10)))
    lines = desk.run("table").splitlines()
    assert lines[-1] == "... and 7 more" and max(map(len, lines)) == 40
    desk.paper.most_rows = desk.paper.width = None
    assert len(desk.run("table").splitlines()) == 11


def test_a_report_is_shown_without_quotes() -> None:
    assert Desk(report=Report("bob\nis slow")).run("report") == "bob\nis slow\n"


# --- what comes later


def test_a_deferred_is_shown_when_it_comes() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    assert desk.run("d") == "#1: is shown when it comes\n"
    assert desk.interpreter.pending == {1: deferred}
    desk.paper.take()
    deferred.callback(42)
    assert desk.paper.text == "#1: 42\n" and not desk.interpreter.pending and desk.paper.times_settled == 1
    got: list[int] = []
    deferred.addCallback(got.append)
    assert got == [42], "whoever else waits for it gets it"
    assert desk.run("_") == "42\n"


def test_nothing_comes_as_none() -> None:
    deferred: Deferred[None] = Deferred()
    desk = Desk(d=deferred)
    desk.run("d")
    deferred.callback(None)
    assert desk.paper.text.endswith("#1: None\n")


def test_a_deferred_that_has_come_is_shown_at_once() -> None:
    from twisted.internet.defer import fail, succeed

    desk = Desk(d=succeed([1]), e=fail(ValueError("no")), n=succeed(None))
    assert desk.run("d") == "[1]\n" and desk.run("n") == "" and not desk.interpreter.failed
    assert desk.run("e").splitlines()[-1] == "ValueError: no" and desk.interpreter.failed


def test_a_deferred_that_fails_is_a_traceback_and_no_unhandled_error() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    desk.run("d")
    deferred.errback(ValueError("no"))
    assert desk.paper.text.splitlines()[-1] == "ValueError: no"
    assert desk.interpreter.failed and not desk.interpreter.pending


def test_coroutines_are_run_and_shown() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    assert desk.run("async def f():\n    print('begun')\n    return await d + 1\nf()") == (
        "begun\n#1: is shown when it comes\n"
    )
    deferred.callback(1)
    assert desk.paper.text.endswith("#1: 2\n")
    assert desk.run("async def g(): return 7\ng()") == "7\n"


def test_await_works_at_the_prompt_and_later_output_is_the_consoles() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    assert desk.run("x = await d\nprint('got', x)\nx + 1") == "#1: is shown when it comes\n"
    desk.paper.take()
    deferred.callback(1)
    assert desk.paper.text == "got 1\n2\n"
    assert desk.run("x") == "1\n"
    assert desk.run("await d; 5") == "5\n"


def test_what_is_raised_late_is_shown_late() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    desk.run("await d\n1/0")
    deferred.callback(1)
    assert desk.paper.text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert desk.interpreter.failed and not desk.paper.left


def test_leaving_late_leaves() -> None:
    deferred: Deferred[int] = Deferred()
    desk = Desk(d=deferred)
    desk.run("await d; exit(4)")
    deferred.callback(1)
    assert desk.paper.left == [4]


def test_a_tail_is_followed() -> None:
    tail = Tail("bob", Outbox.__new__(Outbox))
    desk = Desk(tail=tail)
    assert desk.run("tail") == ""
    assert desk.paper.followed == [tail]


def test_help_of_anything_is_pythons_own_without_a_pager() -> None:
    assert "Return the number of items" in Desk().run("help(len)")


def test_late_output_is_printed_by_lines_and_a_commands_in_few_pieces() -> None:
    calls: list[Any] = []
    desk = Desk(later=calls.append)
    desk.run("later(lambda: (print('a', 'b'), print('c', end='')))")
    desk.paper.take()
    calls[0]()
    assert desk.paper.written == ["a b\n"], "one write redraws the line that is typed once"
    assert desk.run("1") == "c1\n"
    desk.run("for i in range(10_000): print(i)")
    assert len(desk.paper.written) < 5, "each is a packet"
