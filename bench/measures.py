"""How a workload is measured: what is taken, and in which unit.  A further kind of figure is a further class.

In: a `Bed`, which is a workload's plan on one server.  Out: an `Outcome` with a figure for each quantity.
Never: a figure of a run in which something was missing: that raises `RunFailed`.

Here are those that load the connections of a plan; `slow.py` and `crowd.py` have the others.
"""

from __future__ import annotations

import socket
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from bench.check import check_contents
from bench.connections import connected, settle
from bench.launch import Running, running
from bench.load import Block, encode, flows_for, stream
from bench.machine import Stopwatch
from bench.plan import Plan
from bench.quantities import P50, P99, RATE, Quantity
from bench.relay import Relay
from bench.roundtrip import loaded_round_trips, round_trips
from bench.servers import Server
from bench.settings import Settings
from bench.tokens import pass_tokens

CALIBRATION_SECONDS = 0.15
WARM_UP = 0.2
"""Of a run's length, before it."""
START_SECONDS = 0.6
"""About how long a server and the connections of a plan take to start and end, for the estimate."""

Sockets = dict[bytes, socket.socket]


@dataclass
class Bed:
    """A workload's plan on one server."""

    server: Server
    settings: Settings
    plan: Plan

    @cached_property
    def block(self) -> Block:
        """The plan's lines, encoded once."""
        return encode(self.plan, self.server.dialect)

    @contextmanager
    def started(self, own_bounds: bool = False, relay: Relay | None = None) -> Iterator[Running]:
        """The server, fresh, as many nodes as the plan needs."""
        with running(self.server, self.settings.server_core, own_bounds, self.plan.nodes, relay) as node:
            yield node

    @contextmanager
    def connected(self) -> Iterator[tuple[Running, Sockets]]:
        """The server, fresh, and the plan's connections."""
        with self.started() as node, connected(node, self.plan.peers) as sockets:
            yield node, sockets

    def rate(self, count: float, watch: Stopwatch) -> float:
        """So many in the time that the watch took, or in the server's processor time."""
        share = watch.server_share if self.settings.per_cpu else None
        return count / (watch.seconds * (share or 1.0))


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    figures: dict[str, float]
    """By the keys of quantities."""
    watch: Stopwatch
    remark: str = ""
    """What else is to be said of it, in a few words."""
    cannot: str | None = None
    """Why there are no figures, although nothing went wrong."""


class Measure(ABC):
    """One kind of figures.  The amount of a run is lines of each sender, round trips, logins: what it says below."""

    title: str
    """What stands above its workloads' figures."""
    quantities: tuple[Quantity, ...]
    """The first is the one that counts."""
    delivers_texts: bool = True
    """Whether the size of the texts matters."""

    @abstractmethod
    def prepare(self, bed: Bed) -> int:
        """Check what has to be checked, and say which amount makes a run of the wanted length."""

    @abstractmethod
    def run(self, bed: Bed, amount: int) -> Outcome:
        """One run, in a fresh server."""

    def resized(self, bed: Bed, amount: int, outcome: Outcome) -> int:
        """The next run's amount, after one of this amount: for rates, such that it takes the wanted time."""
        return max(1, round(amount * self.seconds(bed.settings) / outcome.watch.seconds))

    def seconds(self, settings: Settings) -> float:
        """How long the timed part of a run shall be."""
        return settings.seconds

    def expected_seconds(self, settings: Settings, waiting: float, rounds: int) -> float:
        """About how long all runs take on a server that lets one wait so long after a login."""
        return (START_SECONDS + waiting) * (1 + rounds) + self.seconds(settings) * (1 + WARM_UP) * rounds


class OnPlan(Measure):
    """Loads the connections of the plan, which are checked, warmed up and then timed."""

    def prepare(self, bed: Bed) -> int:
        with bed.connected() as (node, sockets):
            check_contents(bed.plan, bed.server.dialect, sockets)
            settle(sockets, bed.server.dialect)
            return self.amount(bed, node, sockets)

    def run(self, bed: Bed, amount: int) -> Outcome:
        with bed.connected() as (node, sockets):
            self.settled(bed, node, sockets, max(1, round(amount * WARM_UP)))
            return self.settled(bed, node, sockets, amount)

    def amount(self, bed: Bed, node: Running, sockets: Sockets) -> int:
        """The amount of the first run, found out by trying."""
        amount, amounts = 8, [1]
        while True:
            amount *= 4
            outcome = self.settled(bed, node, sockets, amount)
            # The greatest, since another process may have made the last try slow.
            amounts.append(self.resized(bed, amount, outcome))
            if outcome.watch.seconds >= CALIBRATION_SECONDS:
                return max(amounts)

    def settled(self, bed: Bed, node: Running, sockets: Sockets, amount: int) -> Outcome:
        """The load, and that nothing came too much."""
        outcome = self.load(bed, sockets, amount, Stopwatch(*node.pids))
        settle(sockets, bed.server.dialect)
        return outcome

    @abstractmethod
    def load(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> Outcome:
        """The timed part."""


class Stream(OnPlan):
    """Every sender sends as fast as the server takes it.  The amount is lines of each sender."""

    title = "delivered lines a second"
    quantities = (RATE,)

    def __init__(self, line_by_line: bool = False) -> None:
        """`line_by_line`: each line is a write of its own, and the senders take turns."""
        self._line_by_line = line_by_line

    def load(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> Outcome:
        """Whole blocks, or the start of one."""
        block, repeats = bed.block, round(amount / bed.block.lines)
        if not repeats:
            block, repeats = encode(bed.plan.cut(amount), bed.server.dialect), 1
        stream(flows_for(block, repeats, sockets, line_by_line=self._line_by_line), watch)
        return Outcome({RATE.key: bed.rate(block.deliveries * repeats, watch)}, watch)


class Tokens(OnPlan):
    """A peer that gets a line sends its next one: as many are under way as there are peers.  The amount is as above."""

    title = Stream.title
    quantities = (RATE,)

    def load(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> Outcome:
        deliveries = amount * len(bed.plan.lines)
        pass_tokens(bed.plan, bed.server.dialect, sockets, deliveries, watch)
        return Outcome({RATE.key: bed.rate(deliveries, watch)}, watch)


class RoundTrips(OnPlan):
    """One line there and one back, then the next.  The amount is round trips."""

    title = "round trips"
    quantities = (P50, P99)

    def amount(self, bed: Bed, node: Running, sockets: Sockets) -> int:
        return bed.settings.trips

    def resized(self, bed: Bed, amount: int, outcome: Outcome) -> int:
        return amount

    def seconds(self, settings: Settings) -> float:
        return settings.trips * 150e-6

    def load(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> Outcome:
        times, cannot = self.times(bed, sockets, amount, watch)
        if cannot:
            return Outcome({}, watch, cannot=cannot)
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        return Outcome({P50.key: statistics.median(times), P99.key: p99}, watch)

    def times(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> tuple[list[float], str | None]:
        """The round trips, in seconds, or why they do not count."""
        return round_trips(bed.plan, bed.server.dialect, sockets, amount, watch), None


class LoadedRoundTrips(RoundTrips):
    """The same while a third peer sends to a fourth so many lines a second, the same number to every server."""

    def __init__(self, lines_per_second: int) -> None:
        self.lines_per_second = lines_per_second

    def times(self, bed: Bed, sockets: Sockets, amount: int, watch: Stopwatch) -> tuple[list[float], str | None]:
        return loaded_round_trips(bed.plan, bed.server.dialect, sockets, amount, self.lines_per_second, watch)
