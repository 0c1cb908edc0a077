"""
The process around a node: command line, signals, exit statuses.

In: a command line, an environment, a file.  Out: a service, ready to be started by twistd, twist or a test.
Never: a line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from nettool import __version__
from nettool._reactor import process_reactor
from nettool.errors import SettingError
from nettool.ops import logs, process
from nettool.ops.levers import Levers
from nettool.options import TABLE, Configuration, Option, Reading
from nettool.reloading import Door, ReloadableNode
from nettool.settings import MIB, Settings

# sysexits.h
EX_UNAVAILABLE = 69
EX_CONFIG = 78


def _manhole(node: ReloadableNode, settings: Settings) -> IProtocolFactory:
    # Here, for it imports conch, and that the process's reactor.
    from nettool.ops.console import manhole_factory

    return manhole_factory(node, _levers(node), settings.node.state_dir, settings.manhole.authorized_keys, node.reactor)


def _web(node: ReloadableNode, settings: Settings) -> IProtocolFactory:
    # Here, for it imports twisted.web and the library of the metrics, which a node without it does not need.
    from nettool.ops.web import site

    return site(node, settings.web.token)


def _levers(node: ReloadableNode) -> Levers:
    return Levers(node, drain=node.reactor.stop, reload=node.reload)


DOORS: Sequence[Door] = [
    Door("peers.listen", lambda node, settings: node.peers),
    Door("links.listen", lambda node, settings: node.linking.door, "other nodes"),
    Door("manhole.listen", _manhole, "operators", ("manhole.authorized-keys",)),
    Door("web.listen", _web, "the web", ("web.token",), to_the_end=True),
]
"""What answers at each of the addresses that the options name."""


def _usage(option: Option) -> str:
    several = " May be given several times." if option.several else ""
    return f"{option.help}{several} [default: {option.default}]"


class Options(UsageOptions):
    """`twistd nettool`'s options.

    A mistake is told in one line on standard error, without a traceback, and the process ends with status 78.
    """

    synopsis = "[options]"
    longdesc = (
        "Routes lines of text between named peers. Connect with nc, say a name, then `name: text`. Times are written "
        "100ms, 10s, 2m or forever; sizes 64KiB, 4MiB or plain bytes. An option goes before its variable, such as "
        "NETTOOL_MAX_LINE, and that before its key in the file. `nettool default-config` prints a file of all "
        "defaults, and `nettool check-config FILE` says what is wrong with one."
    )
    optParameters: ClassVar = [
        ["config", None, None, "A TOML file of these options, which a reload reads again. [default: none]"],
        *([option.name, None, None, _usage(option)] for option in TABLE if not option.several),
    ]

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: the process's, if there is none."""
        super().__init__()
        self._environment = os.environ if environment is None else environment
        self.lists: dict[str, list[str]] = {}
        """What was said of options that may be given several times."""
        self.configuration = Configuration({}, {})
        self.reading = Reading(Settings(), "")

    @property
    def settings(self) -> Settings:
        """What all of it comes to."""
        return self.reading.settings

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"nettool {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, or end the process with one line that says what is wrong."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            _end(EX_CONFIG, str(error))

    def parseArgs(self, *words: str) -> None:
        """There are no arguments."""
        if words:
            raise UsageError(f"unexpected argument {words[0]!r}; see `twistd nettool --help`")

    def postOptions(self) -> None:
        """Make settings of the options, and check them."""
        flags = {option.name: self[option.name] for option in TABLE if self.get(option.name) is not None}
        self.configuration = Configuration(flags | self.lists, self._environment, self["config"])
        try:
            self.reading = self.configuration.read()
        except SettingError as error:
            raise UsageError(str(error)) from None


def _collects(option: Option) -> Callable[[Options, str], None]:
    """A method of Options for an option that may be given several times, as Twisted wants it."""

    def collect(self: Options, value: str) -> None:
        self.lists.setdefault(option.name, []).append(value)

    collect.__doc__ = _usage(option)
    return collect


for _option in TABLE:
    if _option.several:
        setattr(Options, "opt_" + _option.name.replace("-", "_"), _collects(_option))


def makeService(options: Options, reactor: Any = None, doors: Sequence[Door] = DOORS) -> ProcessNode:
    """A whole node, not yet started.

    Without a reactor it is the process's own node: it uses the process's reactor, takes TERM and INT, and tunes the
    allocator.  With one, a `MemoryReactorClock` for example, it touches nothing else.
    """
    own_process = reactor is None
    if reactor is None:
        reactor = process_reactor()
        _raise_allocator_thresholds()
    try:
        node = ProcessNode(options.configuration, options.reading, reactor, doors)
    except SettingError as error:
        _end(EX_CONFIG, str(error))
    if own_process:
        twistd: Mapping[str, Any] = options.parent or {}
        node.pid_file = twistd.get("pidfile", "")
        if twistd.get("nodaemon") == 0 and not twistd.get("debug"):
            node.last_words = LastWords()
        _join_to_process(node, options, reactor)
    return node


def _join_to_process(node: ProcessNode, options: Options, reactor: Any) -> None:
    wanted = options.settings.log
    try:
        node.log = log = process.join(
            node,
            reactor,
            options.parent,
            os.environ,
            reload=node.reload,
            log_format=wanted.format,
            log_level=wanted.level,
        )
    except SettingError as error:
        _end(EX_CONFIG, str(error))
    if log is not None:
        node.when_reloaded.append(lambda settings: log.set(settings.log.format, settings.log.level))


class ProcessNode(ReloadableNode):
    """The node of a process: a listener that cannot be bound ends it with one line that says which."""

    pid_file = ""
    """The file that twistd wrote for this process, and leaves behind when it ends here."""
    last_words: LastWords | None = None
    """Where they are for a parent process to say."""
    log: logs.Log | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Belong to the application, and have twistd log by our log."""
        logs.observe(parent, self.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind all listeners, or end the process."""
        with self._or_end():
            super().privilegedStartService()

    def startService(self) -> None:
        """Bind them, where nobody did before."""
        with self._or_end():
            super().startService()
        if self.last_words is not None:
            self.last_words.are_none()
        self.reactor.callWhenRunning(self.say_where)  # when all else is there, signals too

    @contextmanager
    def _or_end(self) -> Iterator[None]:
        try:
            yield
        except SettingError as error:
            self._end(EX_CONFIG, f"listen: {error}")
        except (CannotListenError, OSError) as error:
            self._end(EX_UNAVAILABLE, f"listen: {error}")

    def _end(self, status: int, message: str) -> NoReturn:
        # For a daemon, whose standard error is nobody's; a critical one twist would print beside the line that follows.
        self._log.error("cannot start: {error}", event="cannot-start", error=message)
        if self.last_words is not None:
            self.last_words.are(status, message)
        _remove_own(self.pid_file)
        _end(status, message)


class LastWords:
    """How a daemon that cannot start tells whoever started it: in one line and by the status, as it would without.

    twistd forks, binds in the child, and has its parent wait.  Of whatever goes wrong the parent says no more than
    that the log has it, and ends with status 1.  So it is made to wait here first, as soon as it has forked.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._parent = os.getpid()
        self._waited = False
        os.register_at_fork(after_in_parent=self._wait)

    def _wait(self) -> None:
        if os.getpid() != self._parent or self._waited:  # twistd's child forks too
            return
        self._waited = True
        os.close(self._write)
        with open(self._read, "rb") as pipe:
            status, _, message = pipe.read().partition(b" ")
        if message:
            print(message.decode(), file=sys.__stderr__, flush=True)
            os._exit(int(status))

    def are(self, status: int, message: str) -> None:
        """Said by the daemon, which ends now."""
        os.write(self._write, f"{status} nettool: {message}".encode("utf-8", "replace"))

    def are_none(self) -> None:
        """Said by the daemon, which lives."""
        os.close(self._write)
        os.close(self._read)


def _raise_allocator_thresholds() -> None:
    """Let glibc keep what it is given back: otherwise each read's memory is faulted in anew.

    One to one 7.1 to 12.9 M lines/s.  It works since glibc raises its mmap and trim thresholds to the size of the
    largest block that was freed.  It is for the whole process, so it is done for a node's own process only.
    """
    block = bytes(8 * MIB)
    del block


def _remove_own(pid_file: str) -> None:
    """Remove the file that says that this process runs, if there is one and it says so."""
    try:
        with open(pid_file, "rb") as file:
            if file.read() == b"%d" % os.getpid():
                os.unlink(pid_file)
    except OSError:
        pass  # there is none, or it is somebody else's


def _end(status: int, message: str) -> NoReturn:
    """End the process: a mistake is told in one line, for the one who made it."""
    # Not sys.stderr: once twistd has begun to log, that is its log.
    print(f"nettool: {message}", file=sys.__stderr__)
    raise SystemExit(status)
