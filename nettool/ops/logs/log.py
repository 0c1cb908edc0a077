"""
The log of a node's process: an observer of `twisted.logger`.

In: every event of the process, Twisted's own too, from any thread.  Out: a line for each that matters, as text or JSON,
to a sink; of a burst a few, and a count.  Never: an exception, since Twisted drops an observer that raises one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isinf
from threading import RLock, local
from typing import Any

from twisted.logger import ILogObserver, LogLevel
from twisted.python import threadable
from zope.interface import implementer

from nettool.ops.logs.bursts import Burst, Bursts
from nettool.ops.logs.entries import (
    LEVELS,
    Entry,
    as_json,
    as_text,
    entry_of,
    kind_of,
    level_of,
    name_of,
    subject_of,
)
from nettool.ops.logs.events import EVENTS
from nettool.ops.logs.plain import Plain, cut, escaped, plain
from nettool.ops.logs.sinks import Sink

FORMATS = {"text": as_text, "json": as_json}

RETRY = 0.02
"""Seconds until a sink that took nothing is asked again."""

LAST_PATIENCE = 1.0
"""Seconds that a slow reader of the log has for the last lines, when the node's end holds nobody up any more."""

NESTED = 16
"""Events that may come while one is written, from a `__repr__` or a `__del__`; what is beyond is lost."""


@implementer(ILogObserver)
class Log:
    """The log, whose format and level may change at any time.

    Invariant: every event at its level or above is a line, or counted in one, or in the sink's count of lost lines.
    """

    default_format: str | None = None
    """What is meant by no format; if that is None too, text on a terminal and else json."""
    default_level = "info"
    """What is meant by info, where the program that runs the node was told of another level."""

    def __init__(
        self, clock: Any, sink: Sink, format: str | None = None, level: str = "info", bursts: Bursts | None = None
    ) -> None:
        """`format`: text, json, or None for what suits the sink.  `level`: one of `LEVELS`."""
        self._clock = clock
        self._bursts = Bursts() if bursts is None else bursts
        self._lock = RLock()
        self._mine = local()
        self._bursts_are_due = self._sink_is_due = False
        self._patience = 0.0
        self.sink = sink
        self.set(format, level)

    def set(self, format: str | None, level: str) -> None:
        """Change format and level, at once; `ValueError` for what is none."""
        if format is not None and format not in FORMATS:
            raise ValueError(f"expected {' or '.join(FORMATS)}, not {format!r}")
        if level not in LEVELS:
            raise ValueError(f"expected {', '.join(LEVELS)}, not {level!r}")
        self.format = format or self.default_format
        self.level = self.default_level if level == "info" else level

    # What comes in

    def __call__(self, event: dict[str, Any]) -> None:
        """Log an event."""
        self._one_by_one(self._observe, event)

    def _one_by_one(self, call: Callable[..., None], *arguments: Any) -> None:
        """Do this now; or, if this thread is within such a call, as soon as that has ended.

        A field's `__repr__` may log, and so may a `__del__` at any time: never in the middle of a line.
        """
        waiting: list[Callable[[], None]] | None = getattr(self._mine, "waiting", None)
        if waiting is not None:
            if len(waiting) < NESTED:
                waiting.append(partial(call, *arguments))
            return
        self._mine.waiting = waiting = [partial(call, *arguments)]
        try:
            for each in waiting:  # which grows meanwhile
                each()
        except Exception:  # a fault of ours
            self.sink.lost += 1
        finally:
            self._mine.waiting = None

    def _observe(self, event: dict[str, Any]) -> None:
        try:
            self._note(event)
        except BaseException as error:  # somebody's class may raise anything, SystemExit too
            self._note(
                {
                    "event": "unloggable",
                    "log_level": LogLevel.error,
                    "log_namespace": __name__,
                    "log_format": "an event could not be shown: {type}",
                    "type": plain(type(error)),
                }
            )

    def _note(self, event: dict[str, Any]) -> None:
        name = name_of(event)
        level = level_of(event, name)
        if LEVELS[level] < LEVELS[self.level]:
            return
        if (name is None or EVENTS[name].limited) and not self._admits(event, name, level):
            return
        entry = entry_of(event, name, level, self._clock.seconds(), self.level == "debug")
        if entry.message or entry.event or entry.fault:  # what has neither, Twisted's observers leave out too
            self._write(entry)

    def _admits(self, event: dict[str, Any], name: str | None, level: str) -> bool:
        kind = kind_of(event, name, level)
        sample = (level, str(event.get("log_namespace")), name, subject_of(event))
        severe = LEVELS[level] >= LEVELS["error"]
        with self._lock:
            now = self._clock.seconds()
            self._tell(self._bursts.over(now))
            admitted = self._bursts.admits(kind, level, severe, sample, now)
            if not admitted and not self._bursts_are_due:
                self._bursts_are_due = True
                self._later(self._bursts.next_end() - now, self._bursts_end)
        return admitted

    # What is said of itself

    def _say(self, name: str, message: str, **fields: object) -> None:
        shown: dict[str, Plain] = {key: plain(value) for key, value in fields.items()}
        level = EVENTS[name].level
        text = escaped(message.format_map(fields))
        self._write(Entry(self._clock.seconds(), level, __name__, name, text, shown, frozenset(shown)))

    def _tell(self, bursts: list[Burst]) -> None:
        """Say how often what was held back has happened."""
        now = self._clock.seconds()
        for burst in bursts:
            level, namespace, name, subject = burst.sample
            if burst.mixed:
                name, subject = None, f"other lines of level {level}"
            seconds = round(max(now - burst.began, 0.0), 1)
            message = f"{escaped(subject)} … repeated {burst.held} times in {seconds:g} s"
            fields: dict[str, Plain] = {"repeated": burst.held, "seconds": seconds}
            self._write(Entry(now, level, escaped(cut(namespace, 200)), name, message, fields, frozenset(fields)))

    def _bursts_end(self) -> None:
        with self._lock:
            self._bursts_are_due = False
            now = self._clock.seconds()
            self._tell(self._bursts.over(now))
            end = self._bursts.next_end()
            if not isinf(end):
                self._bursts_are_due = True
                self._later(max(end - now, 0.0), self._bursts_end)

    # What goes out

    def _write(self, entry: Entry) -> None:
        with self._lock:
            sink = self.sink
            if sink.write(self._line(entry), entry.level) and sink.lost:
                lost, sink.lost = sink.lost, 0
                if not sink.write(self._line(self._loss(lost)), "error"):
                    sink.lost += lost
            self._look_at_sink()

    def _loss(self, lines: int) -> Entry:
        message = f"{lines} lines of the log could not be written"
        fields: dict[str, Plain] = {"lines": lines}
        level = EVENTS["log-lost"].level
        return Entry(self._clock.seconds(), level, __name__, "log-lost", message, fields, frozenset(fields))

    def _line(self, entry: Entry) -> str:
        return FORMATS[self.format or ("text" if self.sink.is_terminal else "json")](entry)

    def _look_at_sink(self) -> None:
        if self.sink.go_on(self._patience):
            return
        self._patience = 0.0
        if not self._sink_is_due:
            self._sink_is_due = True
            self._later(RETRY, self._sink_goes_on)

    def _sink_goes_on(self) -> None:
        with self._lock:
            self._sink_is_due = False
            self._look_at_sink()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        if threadable.isInIOThread():
            self._clock.callLater(seconds, self._one_by_one, call)
        else:
            self._clock.callFromThread(self._clock.callLater, seconds, self._one_by_one, call)

    # What the process asks

    def rotate(self) -> None:
        """Begin a new log file, if there is one; if that fails, the log goes on where it is, and says so."""
        self._one_by_one(self._rotate)

    def _rotate(self) -> None:
        with self._lock:
            try:
                path = self.sink.rotate()
            except OSError as error:
                reason = error.strerror or str(error)
                self._say("log-not-rotated", "cannot rotate {path}: {error}", path=error.filename, error=reason)
            else:
                if path:
                    self._say("log-rotated", "{path} begins", path=path)

    def is_behind(self) -> bool:
        """Whether lines wait for whoever reads the log."""
        with self._lock:
            return self._sink_is_due

    def end(self) -> None:
        """Tell what was held back, and write what waits: the process is about to end, and no timer runs any more."""
        self._one_by_one(self._end)

    def _end(self) -> None:
        with self._lock:
            self._patience = LAST_PATIENCE
            self._tell(self._bursts.all())
            self._look_at_sink()
