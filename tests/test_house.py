"""The architecture: which room may import what.  The tables here *are* the document; the tests hold the source to them.

An import counts wherever it stands: in a function, under TYPE_CHECKING, or as `import_module("...")`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# 1. An arrow goes from a floor to any floor below it.  It may skip floors, and never turns round.
FLOORS = [
    ["plugin"],
    ["tap"],
    ["ops", "embed", "commands", "reloading"],
    ["linking"],
    ["service", "options"],
    ["client", "cluster", "peers", "listening"],
    ["mesh", "broker"],
    ["outbox"],
    ["wire"],
    ["addresses", "files", "settings", "errors", "interfaces", "_reactor"],
]
# Arrows between rooms on one floor.
BESIDE = [
    ("embed", "ops"),
    ("files", "errors"),
    ("settings", "errors"),
    ("interfaces", "errors"),
    ("interfaces", "settings"),
]
# What each room may be imported by, where that is less than all floors above.
ONLY_FROM = {
    "ops": ["tap", "embed"],
}

# 2. Pure modules: time comes in as `now`, chance as an injected generator.
PURE = [
    "nettool.wire",
    "nettool.wire.*",
    "nettool.broker",
    "nettool.broker.*",
    "nettool.outbox.queue*",
    "nettool.outbox.backlog*",
    "nettool.outbox.batch*",
    "nettool.outbox.gates*",
    "nettool.outbox.losses*",
    "nettool.peers.session*",
    "nettool.peers.reads",
    *[
        f"nettool.cluster.{module}"
        for module in (
            "arrivals",
            "ends",
            "far",
            "frames",
            "link",
            "linked",
            "neighbour",
            "news",
            "outlet",
            "phases",
            "presence",
            "queue",
            "sending",
            "snapshots",
        )
    ],
]
IMPURE = ["twisted.internet", "time", "random", "os", "socket"]

# 3. Who may touch the global reactor.
GLOBAL_REACTOR = "twisted.internet.reactor"
TOUCH_THE_REACTOR = ["tap", "commands", "_reactor"]

# 4. The broker never sees a transport or a protocol.
BLIND = ["broker"]
UNSEEN = ["twisted.internet", "twisted.protocols", "twisted.application", "twisted.web", "twisted.conch"]

# 5. ops touches no other room's private attribute.
POLITE = ["ops"]

# Only these print, or end the process.
SPEAK = ["plugin", "tap", "commands"]
ENDS = ["sys.exit", "os._exit", "os.abort"]

MODULE_LINES = 400
FUNCTION_LINES = 40
# "module" or "module:function" that was looked at again, with the reason why it stays longer.
LOOKED_AT_AGAIN: dict[str, str] = {}

PLUGIN = "twisted.plugins.nettool_plugin"


@dataclass(frozen=True)
class Module:
    """One source file: what the rules look at."""

    name: str
    is_package: bool
    text: str

    @property
    def room(self) -> str:
        """The room it is in; "" for nettool/__init__.py."""
        return room_of(self.name)

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(ast.parse(self.text))

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of all that is imported; `from a import b` may mean the module a.b and counts as it."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for node in self.nodes():
            match node:
                case ast.Import(names=names):
                    yield from ((node.lineno, alias.name) for alias in names)
                case ast.ImportFrom(module=module, names=names, level=level):
                    source = resolve_name("." * level + (module or ""), package) if level else str(module)
                    yield from ((node.lineno, f"{source}.{alias.name}") for alias in names)
                case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if dotted(func).endswith(
                    ("import_module", "__import__", "namedAny", "namedModule")
                ):
                    yield node.lineno, resolve_name(name, package) if name.startswith(".") else name


def room_of(name: str) -> str:
    if name == PLUGIN:
        return "plugin"
    return name.split(".")[1] if "." in name else ""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression that is nothing but that, else only its end."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def within(name: str, packages: list[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
Complaints = Iterator[tuple[int, str]]


def arrows(module: Module) -> Complaints:
    if module.room and module.room not in ROOMS:
        yield 0, f"the room {module.room} is not in the table of floors"
        return
    for line, name in module.imports():
        room = room_of(name) if within(name, ["nettool", PLUGIN]) else ""
        # nettool/__init__.py is no room; what is there, __version__, is for all.
        if room not in ROOMS or room == module.room:
            continue
        if not module.room:
            yield line, f"nettool/__init__.py may not import {room}: whoever imports one room would get them all"
        elif ROOMS[module.room] >= ROOMS[room] and (module.room, room) not in BESIDE:
            yield line, f"{module.room} may not import {room}"
        elif module.room not in ONLY_FROM.get(room, [module.room]):
            yield line, f"{room} may be imported by {', '.join(ONLY_FROM[room])} only"


def purity(module: Module) -> Complaints:
    if any(fnmatch(module.name, pattern) for pattern in PURE):
        yield from (
            (line, f"a pure module may not import {name}") for line, name in module.imports() if within(name, IMPURE)
        )


def reactor(module: Module) -> Complaints:
    if module.room not in TOUCH_THE_REACTOR:
        for line, name in module.imports():
            if within(name, [GLOBAL_REACTOR]):
                yield line, "a reactor or a clock comes in by the constructor"


def blindness(module: Module) -> Complaints:
    if module.room in BLIND:
        yield from (
            (line, f"{module.room} may not see {name}") for line, name in module.imports() if within(name, UNSEEN)
        )


def politeness(module: Module) -> Complaints:
    if module.room not in POLITE:
        return
    for node in module.nodes():
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                yield node.lineno, f"{node.attr} is private to another room"


def silence(module: Module) -> Complaints:
    if module.room in SPEAK:
        return
    for node in module.nodes():
        match node:
            case ast.Call(func=ast.Name(id="print" | "exit" | "quit" as name)):
                yield node.lineno, f"{name}() is for {', '.join(SPEAK)}"
            case ast.Call(func=ast.Attribute() as func) if dotted(func) in ENDS:
                yield node.lineno, f"{dotted(func)}() is for {', '.join(SPEAK)}"
            case ast.Raise(exc=ast.Name(id="SystemExit") | ast.Call(func=ast.Name(id="SystemExit"))):
                yield node.lineno, f"SystemExit is for {', '.join(SPEAK)}"


def sign(module: Module) -> Complaints:
    if module.is_package and not ast.get_docstring(ast.parse(module.text)):
        yield 1, "a room has a sign on its door: what comes in, what goes out, what never happens here"


def sizes(module: Module) -> Complaints:
    for name, line, lines, limit in measures(module):
        if lines > limit and name not in LOOKED_AT_AGAIN:
            yield line, f"{name} has {lines} lines: look at it again (more than {limit})"


def measures(module: Module) -> Iterator[tuple[str, int, int, int]]:
    """Name, line, lines and limit of the module and of each function; a function's docstring is not counted."""
    yield module.name, 1, len(module.text.splitlines()), MODULE_LINES
    for node in module.nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            yield f"{module.name}:{node.name}", node.lineno, lines, FUNCTION_LINES


RULES: list[Callable[[Module], Complaints]] = [
    arrows,
    purity,
    reactor,
    blindness,
    politeness,
    silence,
    sign,
    sizes,
]


def modules() -> Iterator[Module]:
    for path in sorted([*ROOT.glob("nettool/**/*.py"), *ROOT.glob("twisted/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield Module(name, is_package, path.read_text(encoding="utf-8"))


HOUSE = list(modules())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("module", HOUSE, ids=lambda module: module.name)
def test_a_module_keeps_the_rule(module: Module, rule: Callable[[Module], Complaints]) -> None:
    assert [f"{module.name}:{line}: {complaint}" for line, complaint in rule(module)] == []


def test_the_house_is_found() -> None:
    assert {"nettool", "nettool.tap", "nettool.wire", "nettool.broker", PLUGIN} <= {module.name for module in HOUSE}


def test_what_was_looked_at_again_still_is_too_long() -> None:
    long = {name for module in HOUSE for name, _, lines, limit in measures(module) if lines > limit}
    assert set(LOOKED_AT_AGAIN) <= long


# --- The rules themselves, on made-up source ------------------------------------------------------


def _lines(number: int, indent: str = "") -> str:
    return f"{indent}x = 1\n" * number


# (the rule, the module, its source, the line that is wrong)
BAD = [
    (arrows, "nettool.wire.lines", "from nettool.broker import Broker", 1),
    (arrows, "nettool.wire.lines", "import nettool.broker.core as core", 1),
    (arrows, "nettool.wire.lines", "from nettool import broker", 1),
    (arrows, "nettool.wire.lines", "from .. import broker", 1),
    (arrows, "nettool.wire.lines", "from ..broker.core import Broker", 1),
    (arrows, "nettool.wire", "from ..broker import Broker", 1),
    (arrows, "nettool.wire.lines", "def late():\n    from nettool.broker import Broker", 2),
    (arrows, "nettool.wire.lines", "if TYPE_CHECKING:\n    from nettool.broker import Broker", 2),
    (arrows, "nettool.wire.lines", 'importlib.import_module("nettool.broker")', 1),
    (arrows, "nettool.wire.lines", 'import_module("..broker", __package__)', 1),
    (arrows, "nettool.wire.lines", 'namedAny("nettool.broker.Broker")', 1),
    (arrows, "nettool.broker.core", "import nettool.mesh", 1),
    (arrows, "nettool.peers.protocol", "from nettool.cluster import links", 1),
    (arrows, "nettool.broker.core", "from nettool.peers import session", 1),
    (arrows, "nettool.errors", "from nettool.settings import Limits", 1),
    (arrows, "nettool.ops.web", "import nettool.tap", 1),
    (arrows, "nettool.ops.web", "import nettool.embed", 1),
    (arrows, "nettool.commands.top", "from nettool.ops import snapshots", 1),
    (arrows, "nettool.embed", "import nettool.tap", 1),
    (arrows, "nettool.commands.config", "from nettool.tap import Options", 1),
    (arrows, "nettool.tap", "import twisted.plugins.nettool_plugin", 1),
    (arrows, PLUGIN, "from nettool.ops import web", 1),
    (arrows, "nettool", "from nettool.wire import lines", 1),
    (arrows, "nettool", "from .wire import lines", 1),
    (arrows, "nettool.attic", "", 0),
    (arrows, "nettool.utils.things", "", 0),
    (purity, "nettool.wire", "import time", 1),
    (purity, "nettool.wire.names", "import os.path", 1),
    (purity, "nettool.wire.names", "from os import path", 1),
    (purity, "nettool.broker.core", "import twisted.internet.defer", 1),
    (purity, "nettool.broker.core", "from twisted.internet import task", 1),
    (purity, "nettool.broker.core", "from twisted import internet", 1),
    (purity, "nettool.broker.deep.core", "def f():\n    from random import Random", 2),
    (purity, "nettool.outbox.queue", "import socket", 1),
    (purity, "nettool.outbox.queues", "import socket", 1),
    (purity, "nettool.outbox.batch", "import time", 1),
    (purity, "nettool.outbox.gates", "import time", 1),
    (purity, "nettool.peers.session", "if TYPE_CHECKING:\n    from twisted.internet.interfaces import ITransport", 2),
    (purity, "nettool.peers.session_login", "from time import monotonic", 1),
    (reactor, "nettool.mesh.core", "from twisted.internet import reactor", 1),
    (reactor, "nettool.mesh.core", "def f():\n    from twisted.internet import task, reactor as r", 2),
    (reactor, "nettool.ops.web", "import twisted.internet.reactor", 1),
    (reactor, "nettool.embed", "from twisted.internet.reactor import callLater", 1),
    (reactor, PLUGIN, "from twisted.internet import reactor", 1),
    (blindness, "nettool.broker.core", "from twisted.internet.protocol import Protocol", 1),
    (blindness, "nettool.broker.core", "from twisted.protocols import basic", 1),
    (blindness, "nettool.broker", "import twisted.web.server", 1),
    (politeness, "nettool.ops.web", "peers = broker._peers", 1),
    (politeness, "nettool.ops.web", "self._node._broker.peers()", 1),
    (silence, "nettool.broker.core", "def f():\n    print('x')", 2),
    (silence, "nettool.settings", "raise SystemExit(78)", 1),
    (silence, "nettool.settings", "raise SystemExit", 1),
    (silence, "nettool.ops.web", "sys.exit(1)", 1),
    (silence, "nettool.ops.web", "exit()", 1),
    (silence, "nettool.embed", "os._exit(1)", 1),
    (sign, "nettool.wire", "", 1),
    (sign, "nettool", "import this", 1),
    (sizes, "nettool.tap", _lines(MODULE_LINES + 1), 1),
    (sizes, "nettool.tap", "\ndef f():\n" + _lines(FUNCTION_LINES, "    "), 2),
    (sizes, "nettool.tap", "class A:\n    async def f():\n        '''Docstring.'''\n" + _lines(40, " " * 8), 2),
]

GOOD = [
    ("nettool", '"""Sign."""\n__version__ = "1"\n'),
    ("nettool.wire", '"""Sign."""\nfrom .names import Name\nfrom nettool.wire.lines import Line\n'),
    (
        "nettool.wire.lines",
        "from nettool import __version__\nfrom nettool.errors import Code\nfrom ..settings import Limits\n",
    ),
    ("nettool.wire.names", "import timeit\nimport unicodedata\nfrom twisted.logger import Logger\n"),
    ("nettool.broker.core", "from nettool.outbox import queue\nself._peers.clear()\nself.reactor.callLater(1, f)\n"),
    ("nettool.outbox.pump", "import time\nfrom twisted.internet.interfaces import IConsumer\n"),
    ("nettool.peers.protocol", "from twisted.internet import protocol, task\nimport nettool.wire\n"),
    ("nettool.cluster.links", "from nettool.mesh import Mesh\nfrom nettool.broker import Broker\n"),
    ("nettool.embed", "from nettool.ops import snapshots\nfrom nettool.cluster import Cluster\n"),
    ("nettool.ops.web", "from nettool.client import Client\nself._state = cls._other\nobject.__init__(self)\n"),
    ("nettool.tap", "def f():\n    from twisted.internet import reactor\n    print('x')\n    raise SystemExit(78)\n"),
    ("nettool.commands.chat", "from nettool.client import Client\nimport sys\nsys.exit(1)\n"),
    ("nettool._reactor", "from twisted.internet import reactor\n"),
    ("nettool.interfaces", "from nettool.settings import Limits\nfrom zope.interface import Interface\n"),
    ("nettool.tap", _lines(MODULE_LINES)),
    ("nettool.tap", "def f():\n    '''Doc\n\n    string.'''\n" + _lines(FUNCTION_LINES - 1, "    ")),
    (
        PLUGIN,
        'from twisted.application.service import ServiceMaker\nimport nettool.tap\nServiceMaker("n", "nettool.tap")\n',
    ),
]


def made_up(name: str, source: str) -> Module:
    return Module(name, is_package=name in ("nettool", "nettool.wire", "nettool.broker"), text=source)


@pytest.mark.parametrize("rule, name, source, line", BAD)
def test_a_rule_catches(rule: Callable[[Module], Complaints], name: str, source: str, line: int) -> None:
    assert [found for found, _ in rule(made_up(name, source))] == [line]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name, source", GOOD)
def test_a_rule_lets_through(rule: Callable[[Module], Complaints], name: str, source: str) -> None:
    assert list(rule(made_up(name, source))) == []


def test_every_rule_is_tried() -> None:
    assert {rule for rule, *_ in BAD} == set(RULES)
