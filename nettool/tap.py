"""
The process around a node: command line, signals, exit statuses.

In: a command line.  Out: a service, ready to be started by twistd, twist or a test.  Never: a line.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from twisted.internet.error import CannotListenError
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from nettool import __version__
from nettool._reactor import process_reactor
from nettool.errors import SettingError
from nettool.ops import logs, process
from nettool.options import TABLE, settings_from
from nettool.service import NodeService
from nettool.settings import MIB, NodeSettings, Settings
from nettool.wire.names import is_name

DEFAULT_LISTEN = "tcp:6388:interface=127.0.0.1"

# sysexits.h
EX_UNAVAILABLE = 69
EX_CONFIG = 78


class Options(UsageOptions):
    """`twistd nettool`'s options.

    A mistake is told in one line on standard error, without a traceback, and the process ends with status 78.
    """

    synopsis = "[options]"
    longdesc = (
        "Routes lines of text between named peers. Connect with nc, say a name, then `name: text`. Times are written "
        "100ms, 10s, 2m or forever; sizes 64KiB, 4MiB or plain bytes."
    )
    optParameters: ClassVar = [[option.name, None, None, option.help] for option in TABLE]

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.log_format: str | None = None
        self.log_level = "info"
        self.settings = Settings()

    def opt_listen(self, endpoint: str) -> None:
        """Where peers connect: a Twisted server endpoint string, such as tcp:6388, unix:/run/nettool.sock or
        ssl:6390:privateKey=key.pem:certKey=cert.pem; may be given several times.
        [default: tcp:6388:interface=127.0.0.1]"""
        self.listen.append(endpoint)

    def opt_log_format(self, text: str) -> None:
        """text, or json: one object a line. [default: text on a terminal, else json]"""
        if text not in logs.FORMATS:
            raise UsageError(f"log-format: expected {' or '.join(logs.FORMATS)}, not {text!r}")
        self.log_format = text

    def opt_log_level(self, text: str) -> None:
        """debug, info, warn, error or critical: what is less is left out. [default: info]"""
        if text not in logs.LEVELS:
            raise UsageError(f"log-level: expected {', '.join(logs.LEVELS)}, not {text!r}")
        self.log_level = text

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
        written = {option.name: self[option.name] for option in TABLE if self[option.name] is not None}
        try:
            self.settings = settings_from(written, Settings(NodeSettings(name=_host_name())))
        except SettingError as error:
            raise UsageError(str(error)) from None


def makeService(options: Options, reactor: Any = None) -> ProcessNode:
    """A whole node, not yet started.

    Without a reactor it is the process's own node: it uses the process's reactor, takes TERM and INT, and tunes the
    allocator.  With one, a `MemoryReactorClock` for example, it touches nothing else.
    """
    own_process = reactor is None
    if reactor is None:
        reactor = process_reactor()
        _raise_allocator_thresholds()
    try:
        node = ProcessNode(options.settings, reactor, options.listen or [DEFAULT_LISTEN])
    except SettingError as error:
        _end(EX_CONFIG, f"listen: {error}")
    if own_process:
        try:
            node.log = process.join(
                node,
                reactor,
                options.parent,
                os.environ,
                reload=node.reload,
                log_format=options.log_format,
                log_level=options.log_level,
            )
        except SettingError as error:
            _end(EX_CONFIG, str(error))
    return node


class ProcessNode(NodeService):
    """The node of a process: a listener that cannot be bound ends it with one line that says which."""

    def __init__(self, settings: Settings, reactor: Any, listen: Sequence[str]) -> None:
        super().__init__(settings, reactor, listen)
        self._reactor = reactor
        self.log: logs.Log | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Belong to the application, and have twistd log by our log."""
        logs.observe(parent, self.log)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """Start, and say where it listens when all else is there, signals too."""
        super().startService()
        self._reactor.callWhenRunning(self.say_where)

    def reload(self) -> None:
        """There is no configuration that could be read again."""
        self._log.info("there is nothing to reload", event="nothing-to-reload")

    def privilegedStartService(self) -> None:
        """Bind all listeners, or end the process."""
        try:
            super().privilegedStartService()
        except SettingError as error:
            _end(EX_CONFIG, f"listen: {error}")
        except (CannotListenError, OSError) as error:
            # where standard error is nobody's
            self._log.critical("cannot listen: {error}", event="cannot-listen", error=str(error))
            _end(EX_UNAVAILABLE, f"listen: {error}")


def _host_name() -> bytes:
    name = socket.gethostname().partition(".")[0].encode()
    return name if is_name(name) else b"node"


def _raise_allocator_thresholds() -> None:
    """Let glibc keep what it is given back: otherwise each read's memory is faulted in anew.

    One to one 7.1 to 12.9 M lines/s.  It works since glibc raises its mmap and trim thresholds to the size of the
    largest block that was freed.  It is for the whole process, so it is done for a node's own process only.
    """
    block = bytes(8 * MIB)
    del block


def _end(status: int, message: str) -> NoReturn:
    """End the process: a mistake is told in one line, for the one who made it."""
    # Not sys.stderr: once twistd has begun to log, that is its log.
    print(f"nettool: {message}", file=sys.__stderr__)
    raise SystemExit(status)
