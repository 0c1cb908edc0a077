"""
Addresses from a domain's SRV records.

In: a domain, what looks it up, a clock, chance.  Out: the nodes that its records name, looked up again when their time
to live is over.  Never: a node forgotten because an answer is negative, late or makes no sense.

**Which record is of which node**: a node's name is the first label of the record's target, in lower case, so
`node2.cluster.example` is an address of `node2`, and so is `node2.backup.example`.  Several records of one node are
several addresses of it, in the order of RFC 2782: by priority, and by chance in the proportion of their weights.

That order is drawn anew only when the node's records change.  Else each look would be news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import BindError, ConnectError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.names import dns
from twisted.names.error import DNSNameError, DomainError
from twisted.python.failure import Failure

from nettool.cluster.resolver.addresses import SERVICE, Address, Addresses, Nodes, host_fault
from nettool.cluster.resolver.sources import SourceResolver
from nettool.wire.names import name_fault

LEAST, MOST = 5.0, 3600.0
"""Seconds after which an answer is looked up again, whatever its time to live says."""

RETRY_LEAST, RETRY_MOST = 5.0, 60.0
"""Seconds after which a look that failed is repeated: twice as long each time."""

JITTER = 0.1
"""A wait is longer by up to this part of it, so that not all nodes ask at once."""

LOOKUP_TIME = 30.0
"""Seconds that one look may take, however many servers there are."""


class Record(NamedTuple):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    host: str
    """Without the dot at its end."""


Lookup = Callable[[str], Deferred[tuple[Sequence[dns.RRHeader], Sequence[dns.RRHeader], Sequence[dns.RRHeader]]]]
"""From a name to the answers for its SRV records, as `lookupService` of twisted.names; it can be cancelled."""


class SrvResolver(SourceResolver):
    """The nodes of a domain.

    Invariant: what it knows is what one answer said.  It looks up one name at a time, or waits.
    """

    _log = Logger()

    def __init__(self, domain: str, lookup: Lookup, clock: Any, chance: Random) -> None:
        super().__init__()
        self.service = f"{SERVICE}.{domain}"
        self._lookup = lookup
        self._clock = clock
        self._chance = chance
        self._records: dict[bytes, list[Record]] = {}
        """Of each node, sorted."""
        self._unusable: list[str] = []
        self._has_answered = False
        self._failures = 0
        """How often it has failed, one after the other."""
        self._looking: Deferred[Any] | None = None
        self._next: IDelayedCall | None = None

    def startService(self) -> None:
        """Look it up now, and from now on."""
        super().startService()
        self._look()

    def stopService(self) -> None:
        """Look no more; what is known stays."""
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._next = None
        self._looking = maybeDeferred(self._lookup, self.service)
        self._looking.addTimeout(LOOKUP_TIME, self._clock)
        self._looking.addCallback(self._answered).addErrback(self._failed).addCallback(self._wait)

    def _answered(self, answer: tuple[Sequence[dns.RRHeader], Any, Any]) -> float:
        """Take what it says; the seconds for which it holds."""
        headers = answer[0]
        found = list(_srv(headers))
        records, unusable = _of_nodes(record for record in found if record.host)
        if unusable and unusable != self._unusable:
            self._log.warn(
                "records of {service} that are no node's are left out: {unusable}",
                event="nodes-left-out",
                service=self.service,
                unusable="; ".join(unusable),
            )
        self._unusable = unusable
        # A target that is the root is RFC 2782's way to say that there is no such service, so that is an answer.
        if not records and (unusable or not found):
            raise _Negative("there is no record of a node")
        if self.fault or not self._has_answered:
            self._log.info(
                "addresses of nodes in {where}: {count}", event="nodes-found", where=self.service, count=len(records)
            )
        self._has_answered = True
        self.fault, self._failures = "", 0
        self.become(self._nodes_of(records))
        lives = [float(header.ttl) for header in headers]
        return min(max(min(lives), LEAST), MOST)

    def _nodes_of(self, records: Iterable[tuple[bytes, Record]]) -> Nodes:
        by_node: dict[bytes, list[Record]] = {}
        for name, record in records:
            by_node.setdefault(name, []).append(record)
        nodes: Nodes = {}
        for name, of_node in by_node.items():
            of_node.sort()
            unchanged = self._records.get(name) == of_node
            nodes[name] = self.addresses(name) if unchanged else in_order(of_node, self._chance)
        self._records = by_node
        return nodes

    def _failed(self, failure: Failure) -> float:
        """Keep what is known; the seconds until the next look."""
        if failure.check(CancelledError) and not self.running:
            return 0.0
        fault = f"{self.service}: {_meaning(failure)}"
        if not failure.check(*_EXPECTED):
            self._log.failure("looking up nodes failed", failure, event="lookup-failed")
        elif fault != self.fault:
            self._log.error("nodes stay where they were: {fault}", event="nodes-kept", fault=fault)
        self.fault = fault
        seconds = min(RETRY_LEAST * 2.0**self._failures, RETRY_MOST)
        self._failures = min(self._failures + 1, 10)
        return seconds

    def _wait(self, seconds: float) -> None:
        self._looking = None
        if self.running:
            self._next = self._clock.callLater(seconds * (1 + JITTER * self._chance.random()), self._look)


class _Negative(Exception):
    """An answer without a record of a node."""


def _of_nodes(found: Iterable[Record]) -> tuple[list[tuple[bytes, Record]], list[str]]:
    """Nodes and their records, each once; and what is wrong with those that are left out."""
    records: dict[tuple[bytes, Record], None] = {}
    unusable: list[str] = []
    for record in found:
        name = record.host.partition(".")[0].lower().encode()
        if fault := name_fault(name) or host_fault(record.host) or ("" if record.port else "its port is 0"):
            unusable.append(f"{printable(record.host)}: {fault}")
        else:
            records[name, record] = None
    return list(records), unusable


def _srv(headers: Iterable[dns.RRHeader]) -> Iterator[Record]:
    """The SRV records of an answer, which may have others: a name may be an alias."""
    for header in headers:
        payload: Any = header.payload
        if header.type == dns.SRV:
            host = payload.target.name.decode("ascii", "backslashreplace").removesuffix(".")
            yield Record(payload.priority, payload.weight, payload.port, host)


def in_order(records: Iterable[Record], chance: Random) -> Addresses:
    """Addresses in the order in which RFC 2782 has them tried."""
    left = list(records)
    chance.shuffle(left)
    # Those without weight first, so that they have a small chance too.
    left.sort(key=lambda record: (record.priority, record.weight > 0))
    ordered: list[Record] = []
    while left:
        same = [record for record in left if record.priority == left[0].priority]
        drawn = chance.randint(0, sum(record.weight for record in same))
        for record in same:
            drawn -= record.weight
            if drawn <= 0:
                break
        left.remove(record)
        ordered.append(record)
    return tuple(dict.fromkeys(Address(record.host, record.port) for record in ordered))


_EXPECTED = (DomainError, TimeoutError, CancelledError, ConnectError, BindError, OSError, _Negative)
"""What a look may fail with, without a fault of ours."""


def _meaning(failure: Failure) -> str:
    """Why there is no answer, for people."""
    if failure.check(DNSNameError):
        return "there is no such name"
    if failure.check(TimeoutError, CancelledError):
        return "no server has answered in time"
    if failure.check(_Negative):
        return failure.getErrorMessage()
    if failure.check(DomainError):
        return f"the server answers {type(failure.value).__name__}"
    return f"{type(failure.value).__name__}: {printable(failure.getErrorMessage())}"


def printable(text: str) -> str:
    """In one line, whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
