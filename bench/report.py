"""Figures for people and for programs.

In: runs, and what they ran on.  Out: a table of medians and ratios as text, or everything as plain data for JSON.
Never: a figure from a run that failed, a ratio of runs from different rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.rounds import Run
from bench.workloads import Workload

BUSY = 0.95
"""From this share of its core on, the generator may be what limits a run."""

NOTES = """\
Lines: delivered per second, the median of the rounds.  Round trips: microseconds, the median of the runs' p50 and p99.
Ratio: the first server to the other, median of the rounds' ratios (lowest to highest); of a round trip, less is better.
load, server: share of a core that the generator and the server used.  * the generator may be the limit."""


@dataclass(frozen=True)
class Summary:
    """One workload on one server, over all its rounds."""

    workload: str
    server: str
    rounds: int
    failed: int
    rate: float | None
    p50: float | None
    p99: float | None
    load_share: float | None
    server_share: float | None


@dataclass(frozen=True)
class Ratio:
    """One workload, one server against another, round by round; of rates, or of the p50 of round trips."""

    workload: str
    server: str
    other: str
    median: float
    lowest: float
    highest: float


def summarise(runs: Sequence[Run], workload: str, server: str) -> Summary:
    """The medians of the runs that count."""
    mine = [run for run in runs if run.workload == workload and run.server == server]
    good = [run for run in mine if run.failure is None]
    return Summary(
        workload=workload,
        server=server,
        rounds=len(mine),
        failed=len(mine) - len(good),
        rate=_median([run.rate for run in good]),
        p50=_median([run.p50 for run in good if run.p50 is not None]),
        p99=_median([run.p99 for run in good if run.p99 is not None]),
        load_share=_median([run.load_share for run in good]),
        server_share=_median([run.server_share for run in good if run.server_share is not None]),
    )


def compare(runs: Sequence[Run], workload: str, server: str, other: str) -> Ratio | None:
    """The ratio over the rounds in which both runs count."""
    figures: dict[tuple[str, int], float] = {
        (run.server, run.round): run.p50 or run.rate for run in runs if run.workload == workload and not run.failure
    }
    ratios = [
        figure / figures[other, number]
        for (key, number), figure in figures.items()
        if key == server and (other, number) in figures
    ]
    if not ratios:
        return None
    return Ratio(workload, server, other, statistics.median(ratios), min(ratios), max(ratios))


def as_data(runs: Sequence[Run], workloads: Sequence[Workload], servers: Sequence[str], about: object) -> object:
    """Everything, for `json.dump`."""
    return {
        "about": about,
        "workloads": [{"key": row.key, "title": row.title, "text_bytes": row.text_bytes} for row in workloads],
        "summaries": [asdict(summarise(runs, row.key, server)) for row in workloads for server in servers],
        "ratios": [asdict(ratio) for row in workloads for ratio in _ratios(runs, row.key, servers) if ratio],
        "runs": [asdict(run) for run in runs],
    }


def as_table(runs: Sequence[Run], workloads: Sequence[Workload], servers: Sequence[str]) -> str:
    """One row for each workload: each server's figures, then the ratios to the first one."""
    header = ["workload", "", "text"]
    for server in servers:
        header += [server, "load", "server"]
    header += [f"ratio to {other}" for other in servers[1:]]
    rows = [header]
    for workload in workloads:
        row = [workload.key, workload.title, f"{workload.text_bytes} B"]
        for server in servers:
            row += _cells(summarise(runs, workload.key, server))
        row += [_ratio_cell(ratio) for ratio in _ratios(runs, workload.key, servers)]
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    left = 2
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def figure(run: Run | Summary) -> str:
    """A rate or a round trip, for people."""
    if run.p50 is not None and run.p99 is not None:
        return f"{run.p50 * 1e6:.0f} / {run.p99 * 1e6:.0f} µs"
    if run.rate is None:
        return "-"
    return f"{run.rate / 1e6:.2f} M" if run.rate >= 1e5 else f"{run.rate / 1e3:.1f} k"


def share(value: float | None) -> str:
    """A share of a core, for people."""
    return "-" if value is None else f"{value:.0%}"


def _cells(summary: Summary) -> list[str]:
    shown = figure(summary)
    if summary.failed:
        shown += f" ({summary.failed} of {summary.rounds} failed)"
    busy = "*" if (summary.load_share or 0) >= BUSY and (summary.server_share or 0) < BUSY else ""
    return [shown, share(summary.load_share) + busy, share(summary.server_share)]


def _ratios(runs: Sequence[Run], workload: str, servers: Sequence[str]) -> list[Ratio | None]:
    return [compare(runs, workload, servers[0], other) for other in servers[1:]]


def _ratio_cell(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
