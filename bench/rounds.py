"""Runs: a server is started, warmed up, loaded and ended; then the next server's turn; then the next round.

In: a workload, the servers, how long a run shall take.  Out: one `Run` after the other.
Never: two servers at once; a run sized by another server's speed; a rate of a run that failed.
"""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench import machine
from bench.check import check_contents
from bench.connections import RunFailed, connected, settle
from bench.load import Block, encode, flows_for, stream
from bench.plan import Plan
from bench.roundtrip import round_trips
from bench.servers import Running, Server, ServerFailed, running
from bench.tokens import pass_tokens
from bench.workloads import Mix, Workload

CALIBRATION_SECONDS = 0.15
WARM_UP = 0.2
"""Of a run's length, before it."""
DISTURBED = 0.05
"""From this share of a core on, other processes make a run doubtful."""


@dataclass(frozen=True)
class Settings:
    """What the command line says about all runs."""

    seconds: float = 1.0
    trips: int = 3000
    mix: Mix = field(default_factory=Mix)
    server_core: int | None = None
    rounds: int | None = None
    redo: int = 2
    """How often a run that other processes disturbed is done again at once."""
    per_cpu: bool = False
    """Rates are by the server's processor time: they hardly change when other processes take a share of its core."""


@dataclass(frozen=True)
class Run:
    """One run of one workload on one server; with `failure`, the rest means nothing."""

    workload: str
    server: str
    round: int
    failure: str | None = None
    seconds: float = 0.0
    deliveries: int = 0
    rate: float = 0.0
    """Delivered lines per second, or per second of the server's processor time."""
    p50: float | None = None
    """Seconds, of a round trip."""
    p99: float | None = None
    load_share: float = 0.0
    """The generator's processor time for each second."""
    server_share: float | None = None
    others_share: float | None = None
    """What other processes on this machine used meanwhile."""

    @property
    def disturbed(self) -> bool:
        """Whether other processes took enough of the machine to make the run doubtful."""
        return (self.others_share or 0.0) >= DISTURBED


@dataclass
class Subject:
    """A workload on one server, and how many lines of each sender make a run of the wanted length."""

    workload: Workload
    server: Server
    settings: Settings
    plan: Plan
    lines: int = 0
    whole: Block | None = None
    """The plan's lines, encoded once."""

    def run(self, number: int) -> Run:
        """One run in a fresh server, after a warm-up; before the first, `prepare`."""
        try:
            if not self.lines:
                self.lines = self.prepare()
            with running(self.server, self.settings.server_core) as node, connected(node, self.plan.peers) as sockets:
                self._load(node, sockets, max(1, round(self.lines * WARM_UP)), number)
                run = self._load(node, sockets, self.lines, number)
            if self.workload.kind != "round trip":
                self.lines = self._resized(self.lines, run.seconds)
            return run
        except (RunFailed, ServerFailed, OSError) as error:
            return Run(self.workload.key, self.server.key, number, failure=str(error))

    def run_undisturbed(self, number: int) -> Run:
        """One run, done again if other processes disturbed it; the last one counts, whatever it shows."""
        for _ in range(self.settings.redo):
            run = self.run(number)
            if run.failure or not run.disturbed:
                return run
        return self.run(number)

    def prepare(self) -> int:
        """Check what is delivered, and find out how many lines make a run of the wanted length."""
        with running(self.server, self.settings.server_core) as node, connected(node, self.plan.peers) as sockets:
            check_contents(self.plan, self.server.dialect, sockets)
            settle(sockets, self.server.dialect)
            if self.workload.kind == "round trip":
                return self.settings.trips
            lines, seconds = 8, 0.0
            while seconds < CALIBRATION_SECONDS:
                lines *= 4
                seconds = self._load(node, sockets, lines, 0).seconds
        return self._resized(lines, seconds)

    def _resized(self, lines: int, seconds: float) -> int:
        """How many lines are sent in the wanted time if that many took so long."""
        return max(1, round(lines * self.settings.seconds / seconds))

    def _load(self, node: Running, sockets: dict[bytes, socket.socket], lines: int, number: int) -> Run:
        """Send so many lines from each sender, and see that nothing came too much."""
        watch = machine.Stopwatch(node.pid)
        dialect = self.server.dialect
        trips: list[float] = []
        if self.workload.kind == "stream":
            deliveries = self._stream(sockets, lines, watch)
        elif self.workload.kind == "tokens":
            deliveries = lines * len(self.plan.lines)
            pass_tokens(self.plan, dialect, sockets, deliveries, watch)
        else:
            deliveries = 2 * lines
            trips = round_trips(self.plan, dialect, sockets, lines, watch)
        settle(sockets, dialect)
        return Run(
            workload=self.workload.key,
            server=self.server.key,
            round=number,
            seconds=watch.seconds,
            deliveries=deliveries,
            rate=deliveries / (watch.seconds * (watch.server_share or 1.0 if self.settings.per_cpu else 1.0)),
            p50=statistics.median(trips) if trips else None,
            p99=statistics.quantiles(trips, n=100)[98] if len(trips) > 1 else None,
            load_share=watch.load_share,
            server_share=watch.server_share,
            others_share=watch.others_share,
        )

    def _stream(self, sockets: dict[bytes, socket.socket], lines: int, watch: machine.Stopwatch) -> int:
        """Send whole blocks, or the start of one; how many lines were delivered."""
        if self.whole is None:
            self.whole = encode(self.plan, self.server.dialect)
        block, repeats = self.whole, round(lines / self.whole.lines)
        if not repeats:
            block, repeats = encode(self.plan.cut(lines), self.server.dialect), 1
        stream(flows_for(block, repeats, sockets), watch)
        return block.deliveries * repeats


def in_turn(workload: Workload, servers: Sequence[Server], settings: Settings) -> Iterator[Run]:
    """All rounds of one workload, each server once in each round."""
    plan = workload.plan(settings.mix)
    subjects = [Subject(workload, server, settings, plan) for server in servers]
    for number in range(1, (settings.rounds or workload.rounds) + 1):
        for subject in subjects:
            yield subject.run_undisturbed(number)
