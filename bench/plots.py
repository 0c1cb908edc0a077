"""`python -m bench.plots FILE...`: draw what `python -m bench --json FILE` wrote.

In: one or several such files.  Out: SVG files, and with --tables the tables as Markdown.
Never: a figure that is not in the files; a plot of a workload that was not measured: it is left out, and that is said.

Which figure stands where is decided here and needs no library; `drawing.py` puts it on paper with matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.quantities import GROWTH_BESIDE, HELD_UP, IDLE, KEPT, LOGINS, P50, P99, RATE, Quantity
from bench.record import WrongFile, read
from bench.report import Results, Row, as_markdown
from bench.servers import ROOT

REFERENCE = "nats"
"""The server to whose rates the others' are set in relation."""


@dataclass(frozen=True)
class Point:
    """One figure: the median of its rounds, and their range."""

    label: str
    """What it stands beside: a workload, or the size of a text."""
    series: str
    """The server's key."""
    middle: float
    low: float
    high: float
    hollow: bool = False
    """The second of two figures with the same label and series."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    points: tuple[Point, ...]
    unit: Callable[[float], str]
    logarithmic: bool = True
    one: bool = False
    """Whether the value 1 is what everything is compared with."""


@dataclass(frozen=True)
class Plot:
    """One file.  `kind` is a key of `drawing.KINDS`."""

    name: str
    kind: str
    panels: tuple[Panel, ...]


def plots(results: Results) -> Iterator[Plot]:
    """All that can be drawn of these results, each plot as far as it was measured."""
    for make in PLOTS.values():
        plot = make(results)
        panels = tuple(panel for panel in plot.panels if panel.points)
        if panels:
            yield replace(plot, panels=panels)


def throughput(results: Results) -> Plot:
    """Rates as ratios to the reference: the median of the rounds' ratios, and their range."""
    points = []
    for row in results.rows:
        if RATE not in row.quantities or row.family not in ("", row.key):
            continue
        for server in results.servers:
            ratio = results.ratio(row, RATE, server, REFERENCE)
            if ratio:
                points.append(Point(row.title, server, ratio.median, ratio.lowest, ratio.highest))
    title = f"lines delivered a second, compared with {results.servers.get(REFERENCE, REFERENCE)}; more is better"
    return Plot("throughput", "dots", (Panel(title, tuple(points), lambda value: f"{value:g}", one=True),))


def sizes(results: Results) -> Plot:
    """For each family of workloads: rates over the size of the texts."""
    families = dict.fromkeys(row.family for row in results.rows if row.family)
    panels = []
    for family in families:
        rows = sorted((row for row in results.rows if row.family == family), key=lambda row: row.text_bytes or 0)
        if len(rows) > 1:
            points = tuple(point for row in rows for point in _medians(results, row, RATE, _size(row.text_bytes or 0)))
            panels.append(Panel(f"{rows[0].title}: lines a second", points, RATE.shown))
    return Plot("sizes", "lines", tuple(panels))


def round_trips(results: Results) -> Plot:
    """p50 and p99, idle and under load."""
    points: list[Point] = []
    for row in results.rows:
        if P50 in row.quantities:
            points += _medians(results, row, P50, row.title)
            points += _medians(results, row, P99, row.title, hollow=True)
    title = "round trips: p50 filled, p99 hollow; less is better"
    return Plot("trips", "dots", (Panel(title, tuple(points), P50.shown),))


def memory(results: Results) -> Plot:
    """Memory of an idle peer."""
    return Plot("memory", "bars", (_bars(results, IDLE, "the server's memory for each idle peer; less is better"),))


def logins(results: Results) -> Plot:
    """Logins a second."""
    return Plot("logins", "bars", (_bars(results, LOGINS, "logins a second; more is better"),))


def slow_reader(results: Results) -> Plot:
    """What one who does not read leaves to the others, and takes from the server."""
    panels = (
        _bars(results, KEPT, "beside a hearer that never reads: the others' rate, to that without it; more is better"),
        _bars(results, HELD_UP, "the others took longer by; less is better"),
        _bars(results, GROWTH_BESIDE, "memory that the server took meanwhile; less is better"),
    )
    return Plot("slow", "bars", panels)


PLOTS: dict[str, Callable[[Results], Plot]] = {
    "throughput": throughput,
    "sizes": sizes,
    "trips": round_trips,
    "memory": memory,
    "logins": logins,
    "slow": slow_reader,
}


def caption(results: Results) -> str:
    """On what all this was measured."""
    about = dict(results.about)
    machine = f"{about.get('processor', '?')}, {about.get('cores', '?')} cores, {about.get('kernel', '?')}"
    software = f"{about.get('python', '?')}, Twisted {about.get('twisted', '?')}"
    versions = ", ".join(f"{title} {about.get(key, '?')}" for key, title in results.servers.items())
    rates = f"; rates {about['rates']}" if "rates" in about else ""
    return f"{machine}; {software}; {versions}; {about.get('date', '?')}{rates}"


def _medians(results: Results, row: Row, quantity: Quantity, label: str, hollow: bool = False) -> Iterator[Point]:
    for server in results.servers:
        summary = results.summary(row, quantity, server)
        if summary.median is not None and summary.lowest is not None and summary.highest is not None:
            yield Point(label, server, summary.median, summary.lowest, summary.highest, hollow)


def _bars(results: Results, quantity: Quantity, title: str) -> Panel:
    rows = [row for row in results.rows if quantity in row.quantities]
    points = tuple(point for row in rows for point in _medians(results, row, quantity, row.title))
    return Panel(title, points, quantity.shown, logarithmic=False)


def _size(count: int) -> str:
    return f"{count // 1024} KiB" if count >= 1024 else f"{count} B"


def main(arguments: list[str] | None = None) -> int:
    """The whole program; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.plots",
        description="Draw what `python -m bench --json FILE` wrote.  A workload that several files have is taken from "
        "the last of them.  Needs matplotlib: pip install --group bench",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures", help="default docs/figures")
    parser.add_argument("--tables", action="store_true", help="print the tables as Markdown instead, without drawing")
    options = parser.parse_args(arguments)
    try:
        results = read(options.files)
    except WrongFile as error:
        print(error, file=sys.stderr)
        return 65
    if options.tables:
        print("\n".join(f"- {key}: {value}" for key, value in results.about.items()))
        print("\n" + as_markdown(results) + "\n")
        print("\n".join(f"- {remark}" for remark in results.remarks()))
        return 0
    try:
        from bench.drawing import draw
    except ModuleNotFoundError as error:
        print(f"{error}: pip install --group bench", file=sys.stderr)
        return 69
    options.out.mkdir(parents=True, exist_ok=True)
    drawn = set()
    for plot in plots(results):
        path = options.out / f"{plot.name}.svg"
        draw(plot, results.servers, caption(results), path)
        drawn.add(plot.name)
        print(path)
    for name in [name for name in PLOTS if name not in drawn]:
        print(f"{name} left out: nothing of it was measured", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
