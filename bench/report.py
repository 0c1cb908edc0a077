"""Figures for people: medians, ratios, tables.

In: rows (workloads), servers and runs, as they are or read from a file.  Out: text, or Markdown for the documentation.
Never: a figure from a run that failed, a ratio of runs from different rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from bench.quantities import Quantity
from bench.rounds import Run

BUSY = 0.95
"""From this share of its core on, the generator may be what limits a run."""

NOTES = """\
Each figure is the median of the rounds; of round trips, of the runs' p50 and p99.  A ratio is the first server's figure
to the other's: the median of the rounds' ratios (lowest-highest).
* the generator may be the limit.  - no figure; why is said below."""


@dataclass(frozen=True)
class Row:
    """A workload, as far as a report needs it."""

    key: str
    title: str
    heading: str
    text_bytes: int | None
    family: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Summary:
    """One quantity of one workload on one server, over all rounds."""

    workload: str
    quantity: str
    server: str
    rounds: int
    failed: int
    median: float | None
    lowest: float | None
    highest: float | None
    generator_busy: bool


@dataclass(frozen=True)
class Ratio:
    """One quantity of one workload, one server against another, round by round."""

    workload: str
    quantity: str
    server: str
    other: str
    median: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Results:
    """All that was measured, and on what."""

    about: dict[str, str]
    rows: tuple[Row, ...]
    servers: dict[str, str]
    """Titles, by key."""
    runs: tuple[Run, ...]

    def summary(self, row: Row, quantity: Quantity, server: str) -> Summary:
        """The median of the runs that count."""
        mine = [run for run in self.runs if run.workload == row.key and run.server == server]
        good = [run for run in mine if quantity.key in run.figures]
        values = [run.figures[quantity.key] for run in good]
        busy = statistics.median(run.load_share for run in good) >= BUSY if good else False
        idle = statistics.median(run.server_share or 0.0 for run in good) < BUSY if good else False
        return Summary(
            workload=row.key,
            quantity=quantity.key,
            server=server,
            rounds=len(mine),
            failed=sum(run.failure is not None for run in mine),
            median=statistics.median(values) if values else None,
            lowest=min(values, default=None),
            highest=max(values, default=None),
            generator_busy=busy and idle,
        )

    def ratio(self, row: Row, quantity: Quantity, server: str, other: str) -> Ratio | None:
        """The ratio over the rounds in which both have this figure."""
        if not quantity.compared:
            return None
        figures = {
            (run.server, run.round): run.figures[quantity.key]
            for run in self.runs
            if run.workload == row.key and run.figures.get(quantity.key)
        }
        ratios = [
            value / figures[other, number]
            for (key, number), value in figures.items()
            if key == server and (other, number) in figures
        ]
        if not ratios:
            return None
        middle = statistics.median(ratios)
        return Ratio(row.key, quantity.key, server, other, middle, min(ratios), max(ratios))

    def remarks(self) -> Iterator[str]:
        """What was said of runs, once each, with how many of them."""
        said: dict[str, int] = {}
        for run in self.runs:
            for what in (f"FAILED: {run.failure}" if run.failure else "", run.cannot, run.remark):
                if what:
                    line = f"{run.workload}, {self.servers.get(run.server, run.server)}: {what}"
                    said[line] = said.get(line, 0) + 1
        for line, times in said.items():
            yield f"{line} ({times} times)" if times > 1 else line


def as_text(results: Results) -> str:
    """Tables for a terminal: one for each kind of figures."""
    return "\n\n".join("\n".join(_aligned(table)) for table in _tables(results))


def as_markdown(results: Results) -> str:
    """The same tables for the documentation."""
    return "\n\n".join(
        "\n".join(
            [
                "| " + " | ".join(table[0]) + " |",
                "| " + " | ".join(["---"] * len(table[0])) + " |",
                *("| " + " | ".join(line) + " |" for line in table[1:]),
            ]
        )
        for table in _tables(results)
    )


def _tables(whole: Results) -> Iterator[list[list[str]]]:
    """For each heading: a header, and a line for each workload and quantity."""
    for heading, rows in groupby(whole.rows, key=lambda row: row.heading):
        several = list(rows)
        results = _with_servers_of(whole, {row.key for row in several})
        table = [["", heading, "text", "better", *results.servers.values(), *_ratio_header(results)]]
        for row in several:
            for number, quantity in enumerate(row.quantities):
                title = row.title if len(row.quantities) == 1 else f"{row.title}: {quantity.title}"
                size = _size(row.text_bytes) if row.text_bytes and not number else ""
                cells = [_cell(results.summary(row, quantity, key), quantity) for key in results.servers]
                start = ["" if number else row.key, title, size, "less" if quantity.less_is_better else "more"]
                table.append([*start, *cells, *_ratio_cells(results, row, quantity)])
        yield table


def _with_servers_of(results: Results, workloads: set[str]) -> Results:
    """The same results, without servers on which none of these workloads is run."""
    there = {run.server for run in results.runs if run.workload in workloads}
    servers = {key: title for key, title in results.servers.items() if key in there}
    return replace(results, servers=servers or results.servers)


def _ratio_header(results: Results) -> list[str]:
    first, *others = results.servers.values()
    return [f"{first} to {other}" for other in others]


def _ratio_cells(results: Results, row: Row, quantity: Quantity) -> list[str]:
    first, *others = results.servers
    ratios = [results.ratio(row, quantity, first, other) for other in others]
    return [_ratio_cell(ratio) if ratio else "-" for ratio in ratios]


def _ratio_cell(ratio: Ratio) -> str:
    shown = _ratio_shown(ratio.median)
    if ratio.lowest == ratio.highest:
        return shown
    return f"{shown} ({_ratio_shown(ratio.lowest)}-{_ratio_shown(ratio.highest)})"


def _ratio_shown(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _cell(summary: Summary, quantity: Quantity) -> str:
    shown = quantity.shown(summary.median) + ("*" if summary.generator_busy else "")
    return f"{shown} ({summary.failed} of {summary.rounds} failed)" if summary.failed else shown


def _size(count: int) -> str:
    return f"{count // 1024} KiB" if count >= 1024 else f"{count} B"


def _aligned(table: list[list[str]]) -> Iterator[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    left = 2
    for line in table:
        cells = zip(line, widths, strict=True)
        yield "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width) for column, (cell, width) in enumerate(cells)
        ).rstrip()
