"""What can be measured, each with its unit, which way is better, and how people read it.

In: a number in its base unit.  Out: a few characters.  Never: what a server or a workload is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Quantity:
    """One column of figures.  Two quantities with the same key are the same."""

    key: str
    title: str = field(compare=False)
    unit: str = field(compare=False)
    """A key of `UNITS`."""
    less_is_better: bool = field(default=False, compare=False)
    compared: bool = field(default=True, compare=False)
    """Whether ratios of servers say anything: not of differences, which may be nothing or less."""

    def shown(self, value: float | None) -> str:
        """For people."""
        return "-" if value is None else UNITS[self.unit](value)


def _count(value: float) -> str:
    if value >= 1e8:
        return f"{value / 1e6:.0f} M"
    if value >= 1e5:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1e3 else f"{value:.0f}"


def _bytes(value: float) -> str:
    if abs(value) >= 1024 * 1024:
        return f"{value / 1024 / 1024:.1f} MiB"
    return f"{value / 1024:.1f} KiB"


def _seconds(value: float) -> str:
    if abs(value) < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.3g} ms" if abs(value) < 0.9995 else f"{value:.1f} s"


UNITS: dict[str, Callable[[float], str]] = {
    "1/s": _count,
    "lines": _count,
    "s": _seconds,
    "B": _bytes,
    "B/line": lambda value: f"{value:.1f} B",
    "share": lambda value: f"{value:.0%}",
}

RATE = Quantity("rate", "delivered lines a second", "1/s")
P50 = Quantity("p50", "p50", "s", less_is_better=True)
P99 = Quantity("p99", "p99", "s", less_is_better=True)
LOGINS = Quantity("logins", "logins a second", "1/s")
IDLE = Quantity("idle", "memory of an idle peer", "B", less_is_better=True)
KEPT = Quantity("kept", "the others' rate, to that without it", "share")
HELD_UP = Quantity("held_up", "the others took longer by", "s", less_is_better=True, compared=False)
RATE_BESIDE = Quantity("rate_beside", "the others' rate", "1/s")
RATE_WITHOUT = Quantity("rate_without", "their rate without it", "1/s")
GROWTH_BESIDE = Quantity("growth_beside", "memory taken", "B", less_is_better=True, compared=False)
GROWTH_WITHOUT = Quantity("growth_without", "memory taken without it", "B", less_is_better=True, compared=False)
SLOW_LOST = Quantity("slow_lost", "share of its own lines that it lost", "share", less_is_better=True, compared=False)
LOST = Quantity("lost", "lines that the others lost", "lines", less_is_better=True, compared=False)
GROWTH_HERE = Quantity("growth_here", "memory taken by the senders' node", "B", less_is_better=True, compared=False)
GROWTH_THERE = Quantity("growth_there", "memory taken by the receivers' node", "B", less_is_better=True, compared=False)
CARRIED = Quantity("carried", "bytes between the nodes for each line", "B/line", less_is_better=True, compared=False)
