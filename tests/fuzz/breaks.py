"""What can be broken on purpose, to see whether it is found.

In: the package as it is.  Out: for each break, what stands in the place of what.  Never: a break that stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nettool.broker import directory, ledger, plans, routing
from nettool.outbox import backlog, batch, losses, part, passage
from nettool.peers import session
from nettool.wire import lines, names, replies, requests


@dataclass(frozen=True, slots=True)
class Break:
    """One fault, and the target that has to find it."""

    target: str
    owner: Any
    name: str
    make: Callable[[Any], Any]
    """What stands in the place of what is there."""

    @contextmanager
    def done(self) -> Iterator[None]:
        """Break it for a while."""
        usual = getattr(self.owner, self.name)
        setattr(self.owner, self.name, self.make(usual))
        try:
            yield
        finally:
            setattr(self.owner, self.name, usual)


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _: lambda *_: value


def _also(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda function: lambda *arguments: change(function(*arguments))


def _first_word(reply: replies.Reply) -> replies.Reply:
    if isinstance(reply, replies.Returned):
        return replies.Returned(reply.address.split(b" ")[0], reply.reason, reply.text)
    return reply


def _one_more(count: Any) -> property:
    return property(lambda itself: count.fget(itself) + (count.fget(itself) > 1))


def _without_cr(pieces: list[bytes | None]) -> list[bytes | None]:
    return [piece and piece.replace(b"\r", b"") for piece in pieces]


BREAKS = {
    "a CR within a line is lost": Break("cutter", lines.Cutter, "feed", _also(_without_cr)),
    "a long line among short ones is let through": Break("cutter", lines, "_all_fit", _always(True)),
    "a CR before LF counts": Break(
        "cutter", lines.Cutter, "feed", lambda feed: lambda self, data: feed(self, data.replace(b"\r\n", b"\r\r\n"))
    ),
    "the text begins behind the last colon": Break(
        "requests",
        requests,
        "parse_send",
        lambda parse: lambda line: parse(line.replace(b":", b"", line.count(b":") - 1)),
    ),
    "empty items are kept": Break("requests", requests, "_items", lambda _: lambda text: tuple(text.split(b","))),
    "format characters are let through": Break("names", names, "_BARRED", lambda barred: barred - {"Cf"}),
    "a name is one byte longer": Break("names", names, "MAX_NAME", lambda most: most + 1),
    "an address given back ends at its first space": Break("replies", replies, "parse", _also(_first_word)),
    "plans are never stale": Break("session", directory.Directory, "_changed", _always(None)),
    "a plan forgets whom it leaves out": Break(
        "session", plans.Plan, "__init__", lambda init: lambda plan, place, some, _: init(plan, place, some, None)
    ),
    "the middle of a read to one topic is not looked at": Break(
        "session", routing, "insert", lambda _: lambda block, head, prefix: (prefix + block, block.count(b"\n"))
    ),
    "a text loses its outer spaces": Break(
        "session", routing, "parse_send", _also(lambda send: requests.Send(send.addresses, send.text.strip()))
    ),
    "a line to a name overtakes one to a topic": Break("session", backlog.Backlog, "_topic_came_last", _always(False)),
    "mixed lines change their order": Break("session", passage, "tell_apart", _also(lambda parts: parts[::-1])),
    "what is partly sent is given back whole": Break("session", part.Part, "rest", lambda _: lambda part: part.batch),
    "losses are not counted": Break("session", losses.LossReport, "count", _always(None)),
    "a copy is counted twice": Break("session", ledger.Ledger, "delivered", _one_more),
    "a topic is found in a text": Break("session", batch, "_TOPIC", lambda _: re.compile(rb" to (#[^ :]+): ")),
    "what is left of a read is forgotten": Break("session", session.Session, "go_on", _always(None)),
    "errors of routing are not told": Break("session", routing.Routing, "refuse", _always(None)),
}
