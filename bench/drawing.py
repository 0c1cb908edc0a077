"""Plots on paper, with matplotlib: the only module that needs more than Python and nettool.

In: a `Plot`.  Out: an SVG file, the same bytes for the same figures and version of matplotlib.
Never: a figure computed here; a background that lets a dark page through.
"""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.plots import Panel, Plot, Point

# By name, so that mypy needs no matplotlib.
matplotlib: Any = importlib.import_module("matplotlib")
figure: Any = importlib.import_module("matplotlib.figure")
ticker: Any = importlib.import_module("matplotlib.ticker")

# Okabe and Ito's colours, which the colour-blind can tell apart, and a shape for each.
STYLES = {
    "nettool": ("#0072b2", "o"),
    "nats": ("#d55e00", "s"),
    "redis": ("#009e73", "^"),
    "mosquitto": ("#8a6d8f", "D"),
}
FURTHER = ("#555555", "v")
INCHES_PER_LABEL = 0.5
WIDTH = 8.0

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text: a tenth of the size
        "svg.hashsalt": "bench",  # the same names in each file
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
    }
)


def draw(plot: Plot, servers: Mapping[str, str], caption: str, path: Path) -> None:
    """Write one plot."""
    across = plot.kind == "lines"
    counts = [len(dict.fromkeys(point.label for point in panel.points)) for panel in plot.panels]
    inches = 3.2 if across else sum(INCHES_PER_LABEL * count + 0.7 for count in counts)
    lines = textwrap.wrap(caption, 130)
    below = 0.45 + 0.16 * len(lines)
    paper = figure.Figure(figsize=(WIDTH, inches + below + 0.3), facecolor="white", layout="constrained")
    paper.get_layout_engine().set(rect=(0, below / (inches + below + 0.3), 1, 1 - below / (inches + below + 0.3)))
    shape = {"nrows": 1, "ncols": len(counts)} if across else {"nrows": len(counts), "height_ratios": counts}
    axes = paper.subplots(squeeze=False, **shape).flat
    for panel, ax in zip(plot.panels, axes, strict=True):
        ax.set_facecolor("white")
        ax.set_title(panel.title)
        KINDS[plot.kind](ax, panel, list(servers))
    marks = [_mark(key) for key in servers]
    paper.legend(
        marks,
        [*servers.values()],
        loc="lower center",
        bbox_to_anchor=(0.5, (0.16 * len(lines) + 0.05) / (inches + below + 0.3)),
        ncols=len(marks),
        frameon=False,
    )
    paper.text(0.01, 0.01, "\n".join(lines), fontsize=7, color="#444444", va="bottom")
    paper.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    # matplotlib leaves blanks at the ends of lines.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def _dots(ax: Any, panel: Panel, servers: list[str]) -> None:
    """A line for each label, a mark with its range for each server."""
    rows = _rows(ax, panel)
    for point in panel.points:
        colour, marker = _style(point.series)
        at = rows[point.label] + _offset(point, servers)
        ax.plot([point.low, point.high], [at, at], color=colour, linewidth=1.2)
        ax.plot([point.middle], [at], marker, color=colour, markersize=5, markerfacecolor=_face(point))
    if panel.one:
        ax.axvline(1, color="#999999", linewidth=0.8)
    _value_axis(ax, ax.xaxis, panel)
    ax.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    ax.set_axisbelow(True)


def _bars(ax: Any, panel: Panel, servers: list[str]) -> None:
    """A group for each label, a bar with its figure for each server."""
    rows = _rows(ax, panel)
    for point in panel.points:
        at = rows[point.label] + _offset(point, servers)
        ax.barh([at], [point.middle], 0.8 / len(servers), color=_style(point.series)[0])
        ax.annotate(
            panel.unit(point.middle),
            (max(0.0, point.middle), at),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    ax.xaxis.set_visible(False)
    ax.spines.bottom.set_visible(False)
    ax.margins(x=0.1)


def _lines(ax: Any, panel: Panel, servers: list[str]) -> None:
    """A line for each server over the labels."""
    labels = list(dict.fromkeys(point.label for point in panel.points))
    for server in servers:
        mine = [point for point in panel.points if point.series == server]
        colour, marker = _style(server)
        at = [labels.index(point.label) for point in mine]
        ax.plot(at, [point.middle for point in mine], marker=marker, color=colour, markersize=4, linewidth=1.2)
        ax.vlines(at, [point.low for point in mine], [point.high for point in mine], color=colour, linewidth=1)
    ax.set_xticks(range(len(labels)), labels, rotation=40)
    _value_axis(ax, ax.yaxis, panel)
    ax.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    ax.set_axisbelow(True)


KINDS: dict[str, Callable[[Any, Any, list[str]], None]] = {"dots": _dots, "bars": _bars, "lines": _lines}


def _rows(ax: Any, panel: Panel) -> dict[str, int]:
    """The labels, from the top down."""
    labels = list(dict.fromkeys(point.label for point in panel.points))
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    return {label: number for number, label in enumerate(labels)}


def _value_axis(ax: Any, axis: Any, panel: Panel) -> None:
    if panel.logarithmic:
        (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_minor_formatter(ticker.NullFormatter())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: panel.unit(value)))


def _offset(point: Point, servers: list[str]) -> float:
    """Servers below each other within their label's line."""
    return (servers.index(point.series) - (len(servers) - 1) / 2) * 0.8 / len(servers)


def _style(server: str) -> tuple[str, str]:
    return STYLES.get(server, FURTHER)


def _face(point: Point) -> str:
    return "white" if point.hollow else _style(point.series)[0]


def _mark(server: str) -> Any:
    colour, marker = _style(server)
    lines: Any = importlib.import_module("matplotlib.lines")
    return lines.Line2D([], [], color=colour, marker=marker, linestyle="none")
