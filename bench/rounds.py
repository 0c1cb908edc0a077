"""Runs: each server in turn is started, loaded and ended; then the next round.

In: a workload, the servers, how long a run shall take.  Out: one `Run` after the other.
Never: two servers at once; a run sized by another server's speed; a figure of a run that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.connections import CannotDo, RunFailed
from bench.launch import ServerFailed
from bench.measures import Bed
from bench.servers import Server
from bench.settings import Settings
from bench.workloads import Workload

DISTURBED = 0.05
"""From this share of a core on, other processes make a run doubtful."""


TOO_SHORT = 2.0
"""A run that must be so many times as long is made again: another process disturbed what its length was taken from."""
TRIES = 3


@dataclass(frozen=True)
class Run:
    """One run of one workload on one server; with `failure` or `cannot`, it has no figures."""

    workload: str
    server: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    """By the keys of quantities."""
    remark: str = ""
    failure: str | None = None
    cannot: str | None = None
    """Why this server has no figures here, although nothing went wrong."""
    seconds: float = 0.0
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
    """A workload on one server, and the amount that makes a run of the wanted length."""

    workload: Workload
    bed: Bed
    amount: int = 0

    def run(self, number: int) -> Run:
        """One run in a fresh server; before the first, what is delivered is checked."""
        key, server, measure = self.workload.key, self.bed.server.key, self.workload.measure
        try:
            self.amount = self.amount or measure.prepare(self.bed)
            for _ in range(TRIES):
                amount = self.amount
                outcome = measure.run(self.bed, amount)
                self.amount = measure.resized(self.bed, amount, outcome)
                if self.amount < TOO_SHORT * amount:
                    break
        except CannotDo as reason:
            return Run(key, server, number, cannot=str(reason))
        except (RunFailed, ServerFailed, OSError) as error:
            return Run(key, server, number, failure=str(error))
        watch = outcome.watch
        return Run(
            workload=key,
            server=server,
            round=number,
            figures=outcome.figures,
            remark=outcome.remark,
            cannot=outcome.cannot,
            seconds=watch.seconds,
            load_share=watch.load_share,
            server_share=watch.server_share,
            others_share=watch.others_share,
        )

    def run_undisturbed(self, number: int) -> Run:
        """One run, done again if other processes disturbed it; the last one counts, whatever it shows."""
        for _ in range(self.bed.settings.redo):
            run = self.run(number)
            if run.failure or not run.disturbed:
                return run
        return self.run(number)


def in_turn(workload: Workload, servers: Sequence[Server], settings: Settings) -> Iterator[Run]:
    """All rounds of one workload, each server once in each round."""
    plan = workload.plan(settings.mix, settings.block_bytes)
    subjects = [Subject(workload, Bed(server, settings, plan)) for server in servers if server.fits(workload.nodes)]
    for number in range(1, (settings.rounds or workload.rounds) + 1):
        for subject in subjects:
            yield subject.run_undisturbed(number)


def expected_seconds(workloads: Sequence[Workload], servers: Sequence[Server], settings: Settings) -> float:
    """About how long all runs take on a quiet machine."""
    return sum(
        row.measure.expected_seconds(settings, server.dialect.unasked_seconds, settings.rounds or row.rounds)
        for row in workloads
        for server in servers
        if server.fits(row.nodes)
    )
