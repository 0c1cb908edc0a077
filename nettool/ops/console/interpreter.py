"""
Python typed by an operator, run in the node.

In: source.  Out: what it prints, results, a traceback.  Never: the end of the node, whatever is raised; more printed
than a command may; the process's own input or output.
"""

from __future__ import annotations

import ast
import builtins
import codeop
import inspect
import io
import pydoc
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from types import CodeType
from typing import Any, NoReturn, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nettool.ops.levers import LeverError
from nettool.ops.tables import Report, Shown, printable, size
from nettool.ops.tail import Tail

MOST_PRINTED = 1024 * 1024
"""Characters that one command prints; there it is cut, and stopped."""

PIECE = 16 * 1024
"""Characters that are printed at a time."""

FILE = "<console>"

# A name that nobody can type.
_SHOW = "<show>"


class OutputLimit(BaseException):
    """A command has printed all that it may.  No `Exception`, so that a loop does not go on regardless."""


class Leaving(BaseException):
    """The operator wants to go: `exit()`."""

    def __init__(self, code: object) -> None:
        self.code = code
        """What it was called with, as of `SystemExit`."""


class Paper(Protocol):
    """Where it is all shown."""

    width: int | None
    """Columns of the terminal; nothing where there is none."""
    most_rows: int | None
    """Rows of a table that are shown; nothing for all."""

    def write(self, text: str) -> None:
        """Show printable text."""

    def follow(self, tail: Tail) -> None:
        """Show lines as they come, until somebody has seen enough."""

    def leave(self, status: int) -> None:
        """The operator wants to go."""

    def settled(self) -> None:
        """A result that was waited for has come."""


class Interpreter:
    """Runs what is typed at one console, in a namespace of its own.

    Invariant: nothing that is raised by what it runs leaves it.
    """

    def __init__(self, namespace: dict[str, Any], paper: Paper, help_text: Callable[[], str]) -> None:
        self.namespace = namespace
        self.pending: dict[int, Deferred[Any]] = {}
        """Results that have not come, by their number."""
        self.failed = False
        """Whether something was raised."""
        self._paper = paper
        self._help_text = help_text
        self._numbered = 0
        self._printable = MOST_PRINTED
        self._buffer: list[str] = []
        self._buffered = 0
        self._is_running = False
        self._compile = codeop.CommandCompiler()
        self._compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._out = _Out(self.write)
        namespace["__builtins__"] = self._builtins()
        namespace["__name__"] = "__console__"

    # Running

    def wants_more(self, source: str) -> bool:
        """Whether this is only the beginning of a statement."""
        try:
            return self._compile(source, FILE, "single") is None
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            return False  # it is complete, and wrong

    def run(self, source: str) -> None:
        """Run statements, and show the values of those that are expressions."""
        self._printable = MOST_PRINTED
        self._is_running = True
        try:
            with redirect_stdout(self._out), redirect_stderr(self._out):
                result = eval(self._compiled(source), self.namespace)
                if inspect.iscoroutine(result):  # there is an `await` in it; it shows its values by itself
                    self._wait(Deferred.fromCoroutine(result), lambda number, value: None)
        except BaseException as error:
            self._raised(error)
        finally:
            self._is_running = False
            self._flush()

    @staticmethod
    def _compiled(source: str) -> CodeType:
        tree = ast.fix_missing_locations(_ShowsValues().visit(ast.parse(source, FILE, "exec")))
        code: CodeType = compile(tree, FILE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return code

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, SystemExit | Leaving):
            status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            self.failed = self.failed or status != 0
            self._paper.leave(status & 0xFF)
            return
        self.failed = True
        if isinstance(error, LeverError):
            self._tell(f"{error}\n")
        elif not isinstance(error, OutputLimit):
            self._tell(_traceback(error))

    # Showing

    def write(self, text: str) -> None:
        """Print; `OutputLimit` in a command that has printed too much."""
        at = 0
        while at < len(text) and self._printable > 0:  # by pieces, since what is escaped is longer
            piece = printable(text[at : at + PIECE])[: self._printable]
            at += PIECE
            self._printable -= len(piece)
            self._buffer.append(piece)
            self._buffered += len(piece)
            if not self._printable:
                self._buffer.append(f"\n[cut: a command prints at most {size(MOST_PRINTED)}]\n")
        # A command's output goes out in pieces, what comes by itself in lines: print() writes it in bits.
        if self._buffered >= PIECE or not self._printable or (text.endswith("\n") and not self._is_running):
            self._flush()
        if not self._printable and self._is_running:
            raise OutputLimit

    def _flush(self) -> None:
        buffered, self._buffer, self._buffered = self._buffer, [], 0
        if buffered:
            self._paper.write("".join(buffered))

    def _tell(self, text: str) -> None:
        """Print what is no output of the command's, so that it is never cut for what the command printed."""
        self._flush()
        self._paper.write(printable(text[:MOST_PRINTED]))

    def _show(self, value: object) -> None:
        if value is None:
            return
        self.namespace["_"] = value
        if inspect.iscoroutine(value):
            value = Deferred.fromCoroutine(value)
        if isinstance(value, Tail):
            self._paper.follow(value)
        elif isinstance(value, Deferred):
            self._wait(value, self._show_late)
        else:
            self.write(self._text(value) + "\n")

    def _text(self, value: object) -> str:
        if isinstance(value, Shown):
            return value.show(self._paper.most_rows, self._paper.width)
        if isinstance(value, str | bytes | bytearray) and not isinstance(value, Report) and len(value) > MOST_PRINTED:
            return repr(value[:MOST_PRINTED])  # which is longer, so that it is cut, and nobody makes the whole of it
        return repr(value)

    def _wait(self, deferred: Deferred[Any], show: Callable[[int, object], None]) -> None:
        """Show a result, or what is raised, when it comes: now, or with a number later."""
        number = self._numbered + 1
        came = False

        def succeeded(result: Any) -> Any:
            nonlocal came
            came = True
            if number in self.pending:
                self._came(number, lambda: show(number, result))
            else:
                self._show(result)
            return result  # whoever else waits for it gets it, too

        def failed(failure: Failure) -> None:
            nonlocal came
            came = True
            self._came(number, lambda: self._raised(failure.value or RuntimeError("it failed, and does not say why")))

        deferred.addCallbacks(succeeded, failed)
        if not came:
            self._numbered = number
            self.pending[number] = deferred
            self.write(f"#{number}: is shown when it comes\n")

    def _came(self, number: int, show: Callable[[], None]) -> None:
        waited = self.pending.pop(number, None) is not None
        try:
            show()
        except BaseException as error:
            self._raised(error)
        if waited:
            self._paper.settled()

    def _show_late(self, number: int, value: object) -> None:
        self.write(f"#{number}: " if value is not None else f"#{number}: None\n")
        self._show(value)

    # What the code has instead of the process's own

    def _builtins(self) -> dict[str, Any]:
        def console_print(*values: object, file: Any = None, **more: Any) -> None:
            builtins.print(*values, file=self._out if file is None else file, **more)

        def no_input(*_: object, **__: object) -> NoReturn:
            raise LeverError("there is no input here: the node would wait for it")

        def leave(status: object = None) -> NoReturn:
            raise Leaving(status)

        def console_help(*about: object) -> None:
            if not about:
                text = self._help_text()
            elif isinstance(about[0], Shown):
                text = about[0].show()
            else:
                text = pydoc.render_doc(about[0], "%s", renderer=pydoc.plaintext)  # type: ignore[attr-defined]
            self.write(text + "\n")

        return {
            **vars(builtins),
            "print": console_print,
            "help": console_help,
            "input": no_input,
            "breakpoint": no_input,
            "exit": leave,
            "quit": leave,
            _SHOW: self._show,
        }


class _Out(io.TextIOBase):
    """What `print` writes to."""

    encoding = "utf-8"

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def write(self, text: str) -> int:
        self._write(text)
        return len(text)

    def writable(self) -> bool:
        return True


class _ShowsValues(ast.NodeTransformer):
    """Each expression that is a statement, in a loop too, shows its value; not so within functions and classes."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        show = ast.copy_location(ast.Name(_SHOW, ast.Load()), node)
        node.value = ast.copy_location(ast.Call(show, [node.value], []), node)
        return node

    def _leave_alone(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave_alone


def _traceback(error: BaseException) -> str:
    """As Python prints it, without our own frames."""
    try:
        told = traceback.TracebackException.from_exception(error, limit=-100)
        while told.stack and told.stack[0].filename == __file__:
            del told.stack[0]
        return "".join(told.format())
    except BaseException:  # an exception may be anything, too
        return f"{type(error).__name__}, which cannot be shown\n"
