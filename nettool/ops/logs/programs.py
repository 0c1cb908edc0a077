"""
How twistd and twist come to log by our observer.

In: the program's own options, as they were parsed around those of nettool.  Out: a `Log`, where the program would have
logged.  Never: something else than what the program was told: `--logger` has its way.

twistd (Twisted 26.10) builds its logger before the service is made and asks it for an observer afterwards; between the
two it takes an `ILogObserver` that the application has as a component, unless `--logger` names one.  twist calls a
factory, which is among its options until it runs, with the stream to which it logs.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.app import ServerOptions
from twisted.logger import ILogObserver, LogLevel
from twisted.python.components import Componentized

from nettool.errors import SettingError
from nettool.ops.logs.log import Log
from nettool.ops.logs.sinks import File, Sink, Syslog, sink_of


def begin(program: Any, clock: Any, format: str | None, level: str) -> Log | None:
    """The log of a process that twistd or twist runs, with these options of its own.

    None if it was told to log by something else, or is neither.  `SettingError` if its log cannot be opened.  To be
    called where the service is made: neither has begun to log by then.
    """
    try:
        if isinstance(program, ServerOptions):
            return None if program["logger"] else Log(clock, _sink_of_twistd(program), format, level)
        if isinstance(program, dict) and "fileLogObserverFactory" in program:
            return _log_of_twist(program, clock, format, level)
    except OSError as error:
        raise SettingError(f"logfile: {error.filename}: {error.strerror}") from None
    return None


def observe(application: object, log: Log | None) -> None:
    """Have twistd log by this, once it begins: `application` is what the service gets as its parent."""
    if log is not None and isinstance(application, Componentized):
        application.setComponent(ILogObserver, log)


def _sink_of_twistd(program: ServerOptions) -> Sink:
    """What twistd's own logger does, of which nothing is public."""
    path, is_daemon = program["logfile"], not program.get("nodaemon")
    if program.get("syslog"):
        return Syslog(program["prefix"])
    if path == "-" and is_daemon:
        raise SettingError("logfile: a daemon cannot log to its standard output; name a file, or add -n")
    if path == "-" or (not path and not is_daemon):
        return sink_of(sys.stdout)
    return File(path or "twistd.log")


def _log_of_twist(program: dict[str, Any], clock: Any, format: str | None, level: str) -> Log:
    stream = program["logFile"]
    if stream in (sys.stdout, sys.stderr):
        sink = sink_of(stream)
    else:  # twist has opened it, and would never notice that it was moved away
        sink = File(stream.name)
        stream.close()
    log = Log(clock, sink)
    # twist has options of these names too: they are in force where ours were not given.
    log.default_format, log.default_level = program["logFormat"], program["logLevel"].name
    log.set(format, level)
    program["fileLogObserverFactory"] = lambda stream: log
    program["logLevel"] = LogLevel.debug  # the log decides itself, and may be told otherwise later
    return log
