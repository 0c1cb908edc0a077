"""
What there is to ask for: every path, and its answer.

In: a path's parameters.  Out: status, kind and bytes.  Never: HTML with anything in it that the node knows: the page is
the same for every node, and its script fetches the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from nettool.ops import snapshots
from nettool.ops.metrics import exposition
from nettool.ops.web.facts import Facts, Rows
from nettool.ops.web.lists import BadQuery, objects, parameters, part_in, plain
from nettool.service import NodeService

Given = Mapping[bytes, Sequence[bytes]]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus reads."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets."""

    body: bytes
    kind: str = JSON
    status: int = 200


@dataclass(frozen=True, slots=True)
class Path:
    """Something to ask for."""

    answer: Callable[[Given], Answer]
    free: bool = False
    """Whether it is told without the token."""


class Answers:
    """The answers about one node, by path."""

    def __init__(self, node: NodeService, facts: Facts) -> None:
        self._node = node
        self._facts = facts
        self.paths: Mapping[bytes, Path] = {
            b"/": _file("page.html", "text/html; charset=utf-8"),
            b"/page.css": _file("page.css", "text/css; charset=utf-8"),
            b"/page.js": _file("page.js", "text/javascript; charset=utf-8"),
            b"/icon.svg": _file("icon.svg", "image/svg+xml"),
            b"/healthz": Path(lambda given: Answer(b"ok\n", TEXT), free=True),
            b"/readyz": Path(self._readyz, free=True),
            b"/metrics": Path(lambda given: Answer(facts.of(exposition), EXPOSITION)),
            b"/api/stats": Path(self._stats),
            b"/api/why": Path(self._why),
            b"/api/peers": self._list("peers", snapshots.peers, snapshots.Peer),
            b"/api/topics": self._list("topics", snapshots.topics, snapshots.Topic),
            b"/api/links": self._list("links", snapshots.links, snapshots.Link),
            b"/api/closed": self._list("closed", snapshots.closed, snapshots.Closed),
        }

    def _readyz(self, given: Given) -> Answer:
        state = snapshots.state(self._node)
        return Answer(f"{state}\n".encode(), TEXT, 200 if state == "running" else 503)

    def _stats(self, given: Given) -> Answer:
        parameters(given, ())
        return in_json(plain(self._facts.of(snapshots.stats)))

    def _why(self, given: Given) -> Answer:
        name = parameters(given, ("name",)).get("name", "")
        if not name:
            raise BadQuery("name: expected a peer's name, as /api/why?name=bob or /api/why?name=bob@node2")
        why = snapshots.why(self._node, name)
        if why is None:
            return in_json({"error": f"no-such-peer: {name.encode('utf-8', 'backslashreplace').decode()}"}, 404)
        return in_json(plain(why))

    def _list(self, word: str, look: Rows, kind: type) -> Path:
        def answer(given: Given) -> Answer:
            rows, total = self._facts.part_of(look, _COUNTS[word], part_in(given, kind))
            return in_json({word: objects(rows, kind), "total": total})

        return Path(answer)


_COUNTS: Mapping[str, Callable[[NodeService], int]] = {
    "peers": lambda node: len(node.peers.connections),
    "topics": lambda node: len(node.broker.directory.near),
    "links": lambda node: 0 if node.links is None else len(node.links.names),
    "closed": lambda node: len(node.peers.last_closed()),
}
"""How many rows a list has, without making them."""


def in_json(value: object, status: int = 200) -> Answer:
    """An answer in JSON, which ends with its line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Answer(text.encode() + b"\n", JSON, status)


def _file(name: str, kind: str) -> Path:
    content = files("nettool.ops.web").joinpath("static", name).read_bytes()
    return Path(lambda given: Answer(content, kind), free=True)
