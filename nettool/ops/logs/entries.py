"""
What one event becomes in a log.

In: an event of `twisted.logger`, whatever is in it, whoever made it.  Out: an `Entry`, and its line as text or as JSON.
Never: an exception; an unescaped control character; a line break within an entry, but for an indented traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from string import Formatter
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.logger import formatEvent
from twisted.python.failure import Failure, format_frames
from twisted.python.reflect import qual

from nettool.addresses import address_text
from nettool.ops.logs.events import EVENTS, OF_TWISTED, Event
from nettool.ops.logs.plain import MOST, Plain, cut, escaped, plain

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "critical": 50}
"""The levels, as they are written, in order."""

FRAMES = 30
"""Of a traceback, the first and the last so many frames are shown: a recursion has a thousand."""

WITHHELD = "(withheld, since it may quote a peer; log-level debug shows it)"

# What twisted.python.log puts into its events beside values.
_LEGACY = {"message", "time", "system", "format", "isError", "failure", "why", "printed", "logLevel"}


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception, as far as it may be shown."""

    type: str
    message: str | None
    """None where it may quote a peer, and the log does not show that."""
    traceback: str
    """With line breaks; otherwise escaped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line of the log says, plain and escaped."""

    time: float
    level: str
    namespace: str
    event: str | None
    """The stable name; None for what neither nettool's table nor that of Twisted's lines has."""
    message: str
    fields: dict[str, Plain]
    told: frozenset[str] = frozenset()
    """Fields that the message has already."""
    fault: Fault | None = None


# What kind of event it is: this much is looked at even if it will not be written


def name_of(event: dict[str, Any]) -> str | None:
    """The event's stable name."""
    name = event.get("event")
    if isinstance(name, str) and name in EVENTS:
        return name
    template = event.get("log_format")
    return OF_TWISTED.get(template) if isinstance(template, str) else None


def level_of(event: dict[str, Any], name: str | None) -> str:
    """Its level: of Twisted's own lines the table's, which knows better what they mean here."""
    if name is not None and "event" not in event:
        return EVENTS[name].level
    level = getattr(event.get("log_level"), "name", None)
    return level if isinstance(level, str) and level in LEVELS else "info"


def kind_of(event: dict[str, Any], name: str | None, level: str) -> Hashable:
    """What a burst is a burst of: the name or the subject, and for exceptions their type and where they came from."""
    failure = _failure_of(event)
    origin = None if failure is None else (_type_of(failure), _origin(failure))
    return (level, name or (str(event.get("log_namespace")), subject_of(event)), origin)


def subject_of(event: dict[str, Any]) -> str:
    """What it is about, without its values: `slow consumer: <name> at <peer>`."""
    template = event.get("log_format")
    if template in ("{log_text}", "{log_io}"):  # there is no template, only what was written: its numbers are left out
        return re.sub(r"\d+", "0", str(event.get("log_text", event.get("log_io")))[:200])
    return _without_values(template) if isinstance(template, str) else str(template)[:200]


@lru_cache(maxsize=512)
def _without_values(template: str) -> str:
    return re.sub(r"\{(\w+)[^{}]*\}", r"<\1>", template[:200])


def _type_of(failure: Failure) -> str:
    return escaped(cut(qual(failure.type), 200)) if failure.type is not None else "-"


def _origin(failure: Failure) -> tuple[str, int] | None:
    frames = failure.frames
    return (frames[-1][1], frames[-1][2]) if frames else None


def _failure_of(event: dict[str, Any]) -> Failure | None:
    for key in ("log_failure", "failure"):
        failure = event.get(key)
        if isinstance(failure, Failure):
            return failure
    return None


# What it says


def entry_of(event: dict[str, Any], name: str | None, level: str, now: float, shows_all: bool) -> Entry:
    """The entry, of `now` if the event has no time; what is withheld otherwise is in it too if it `shows_all`."""
    about = EVENTS.get(name or "")
    failure = _failure_of(event)
    time = event.get("log_time")
    template = event.get("log_format")
    return Entry(
        time=time if isinstance(time, float) else now,
        level=level,
        namespace=escaped(cut(str(event.get("log_namespace", "")), 200)),
        event=name,
        message=escaped(cut(_message(event, failure).rstrip("\n"))),
        fields=_fields(event, name),
        told=_told(template) if isinstance(template, str) else frozenset(),
        fault=None if failure is None else _fault(failure, about, shows_all),
    )


def _message(event: dict[str, Any], failure: Failure | None) -> str:
    if failure is not None and "log_failure" not in event:  # of twisted.python.log: its text is the traceback
        why = event.get("why")
        return str(why) if why else "Unhandled error"
    return formatEvent({key: _readable(value) for key, value in event.items()})


def _readable(value: object) -> object:
    """An address as people write it, where Twisted would show how it was made; anything else as it is."""
    try:
        return address_text(value) if IAddress.providedBy(value) else value
    except BaseException:  # somebody's class lies about what it provides; formatEvent makes the best of that
        return value


def _fields(event: dict[str, Any], name: str | None) -> dict[str, Plain]:
    ours = {"event"} if name is not None else set()
    if "log_logger" not in event:
        ours |= _LEGACY
    wanted = ((str(key), value) for key, value in event.items() if key not in ours)
    chosen = ((key, value) for key, value in wanted if not key.startswith("log_"))
    return {escaped(cut(key, 200)): plain(value) for key, value in islice(chosen, MOST)}


@lru_cache(maxsize=512)
def _told(template: str) -> frozenset[str]:
    """The fields that a template names, so that text does not say them twice."""
    try:
        return frozenset(
            field.partition(".")[0].partition("[")[0].rstrip("()")
            for _, field, _, _ in Formatter().parse(template)
            if field
        )
    except ValueError:
        return frozenset()


def _fault(failure: Failure, about: Event | None, shows_all: bool) -> Fault:
    kind = _type_of(failure)
    withheld = about is not None and about.withholds and not shows_all
    message = None if withheld else escaped(cut(failure.getErrorMessage()))
    written: list[str] = []
    frames = failure.frames
    if len(frames) > 2 * FRAMES:
        format_frames(frames[:FRAMES], written.append)
        written.append(f"  … {len(frames) - 2 * FRAMES} frames …\n")
        frames = frames[-FRAMES:]
    format_frames(frames, written.append)
    lines = "".join(written).splitlines()
    traceback = ["Traceback (most recent call last):", *map(escaped, lines), f"{kind}: {message or WITHHELD}"]
    return Fault(kind, message, "\n".join(traceback))


# How it is written


def as_json(entry: Entry) -> str:
    """One JSON object, without a line break."""
    record: dict[str, Any] = {
        "time": when(entry.time),
        "level": entry.level,
        "namespace": entry.namespace,
        "event": entry.event,
        "message": entry.message,
        "fields": entry.fields,
    }
    if entry.fault is not None:
        fault = entry.fault
        record["failure"] = {"type": fault.type, "message": fault.message, "traceback": fault.traceback}
    # Text is escaped already, in a way that survives whoever decodes this and shows it: no \u001b that comes to life.
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def as_text(entry: Entry) -> str:
    """One line for a person, and the traceback indented below it, if there is one."""
    about = [entry.event or entry.namespace or "-"]
    about += (f"{key}={_written(value)}" for key, value in entry.fields.items() if key not in entry.told)
    line = f"{when(entry.time)} {entry.level:<8} {entry.message} [{' '.join(about)}]"
    if entry.fault is not None:
        line += "".join(f"\n\t{each}" for each in entry.fault.traceback.split("\n"))
    return line


def _written(value: Plain) -> str:
    return json.dumps(value, ensure_ascii=False)


def when(time: float) -> str:
    """Seconds since 1970 as RFC 3339 has it, in UTC, to the millisecond."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # there is no such year
        return "-"
