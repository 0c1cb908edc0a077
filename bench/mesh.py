"""The mesh beside others that do the same: envelopes through an echoing hub, over 16 connections.

In: hubs, each a process on one core; bytes of envelopes, encoded beforehand, from another core.  Out: envelopes a
second, by the clock and by the hub's processor time, as ratios of runs side by side; round trips; the rate beside a
connection that never reads.  Never: a run in which an envelope is missing.

    python -m bench.mesh                    everything, some minutes
    python -m bench.mesh --quick            one short round of the rates
    python -m bench.mesh --parts rates,trips,slow --rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from bench import machine
from bench.meshload import Load, Result, dealers, round_trips, share_beside_slow, zmq_trips
from bench.servers import ROOT

CONNECTIONS = 16
SIZE = 100
HUBS = ("int32", "zmq", "iterate", "many", "looked")
WORDS = {
    "int32": "`Int32StringReceiver`",
    "zmq": "pyzmq `ROUTER`",
    "iterate": "mesh, `async for` and `send`",
    "many": "mesh, `recv_many` and `send_many`",
    "looked": "the same, where each envelope is looked at",
}
PARTS = ("rates", "trips", "slow")
SCHEMES = ("inproc", "tcp", "tls", "unix", "ws", "wss")


@contextlib.contextmanager
def hub(kind: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A hub in a process of its own, on the first core; where it listens, and its number."""
    cores = machine.usable_cores()
    with machine.pinned(cores[0] if len(cores) > 1 else None):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.meshhub", kind, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"bench.mesh: the hub {kind} did not start")
        yield address, process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def rates(kinds: list[str], rounds: int, seconds: float, mixed: bool) -> dict[str, list[Result]]:
    """Each hub in turn, and again."""
    found: dict[str, list[Result]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            with hub(kind) as (address, pid):
                if kind == "zmq":
                    found[kind].append(dealers(address, pid, CONNECTIONS, SIZE, seconds))
                else:
                    found[kind].append(Load(address, CONNECTIONS, SIZE, mixed).run(pid, seconds))
    return found


def trips(kinds: list[str], rounds: int, number: int) -> dict[str, list[float]]:
    """Microseconds of a round trip, one at a time: the median of each run."""
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            with hub(kind) as (address, _):
                measure: Callable[[str, int, int], float] = zmq_trips if kind == "zmq" else round_trips
                found[kind].append(measure(address, SIZE, number))
    return found


def slow(schemes: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """The share of their rate that 16 connections keep beside one whose other end never reads, for each transport."""
    found: dict[str, list[float]] = {scheme: [] for scheme in schemes}
    for _ in range(rounds):
        for scheme in schemes:
            with tempfile.TemporaryDirectory() as directory:
                found[scheme].append(share_beside_slow(scheme, directory, CONNECTIONS, SIZE, seconds))
    return found


def _ratios(found: dict[str, list[Result]], kind: str, base: str, per_cpu: bool) -> list[float]:
    field = "per_cpu" if per_cpu else "rate"
    pairs = zip(found[kind], found[base], strict=True)
    return [getattr(one, field) / getattr(other, field) for one, other in pairs]


def _range(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def show_rates(found: dict[str, list[Result]]) -> None:
    """A table: medians, and ratios of runs of one round."""
    print(f"\n| hub, {CONNECTIONS} connections, {SIZE} bytes | M/s | M per s of processor | to int32 | by processor |")
    print("| --- | --- | --- | --- | --- |")
    for kind, results in found.items():
        line = [WORDS[kind], f"{median(r.rate for r in results) / 1e6:.2f}"]
        line.append(f"{median(r.per_cpu for r in results) / 1e6:.2f}")
        for per_cpu in (False, True):
            line.append(_range(_ratios(found, kind, "int32", per_cpu)) if "int32" in found else "")
        print(f"| {' | '.join(line)} |")
    if {"zmq", "iterate"} <= found.keys():
        for per_cpu in (False, True):
            ratio = _range(_ratios(found, "iterate", "zmq", per_cpu))
            print(f"`async for` and `send` to pyzmq{', by processor' if per_cpu else ''}: {ratio}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.mesh", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round of the rates")
    parser.add_argument("--parts", default=",".join(PARTS), help="default %(default)s")
    parser.add_argument("--hubs", default=",".join(HUBS), help="default %(default)s")
    parser.add_argument("--schemes", default=",".join(SCHEMES), help="of the slow reader; default %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a run; default %(default)s")
    parser.add_argument("--trips", type=int, default=3000, help="round trips of a run; default %(default)s")
    parser.add_argument("--mixed", action="store_true", help="sizes from 90 to 109 bytes in turn, instead of 100")
    parser.add_argument("--json", metavar="FILE", help="all figures")
    options = parser.parse_args(arguments)
    for name, known in (("parts", PARTS), ("hubs", HUBS), ("schemes", SCHEMES)):
        chosen = getattr(options, name).split(",")
        if not set(chosen) <= set(known):
            parser.error(f"--{name} are of {','.join(known)}, not {getattr(options, name)!r}")
        setattr(options, name, chosen)
    if min(options.rounds, options.seconds, options.trips) <= 0:
        parser.error("--rounds, --seconds and --trips are above 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = _options(arguments)
    parts = ["rates"] if options.quick else options.parts
    rounds, seconds = (1, 0.3) if options.quick else (options.rounds, options.seconds)
    kinds = [kind for kind in options.hubs if kind != "zmq" or _has_zmq()]
    cores = machine.usable_cores()
    if len(cores) > 1:
        machine.pin(cores[1])
    for key, value in machine.description().items():
        print(f"{key}: {value}")
    everything: dict[str, Any] = {"machine": machine.description()}
    if "rates" in parts:
        found = rates(kinds, rounds, seconds, options.mixed)
        show_rates(found)
        everything["rates"] = {kind: [result._asdict() for result in results] for kind, results in found.items()}
    if "trips" in parts:
        everything["trips"] = trips([kind for kind in kinds if kind not in ("many", "looked")], rounds, options.trips)
        print("\n| hub | round trip, µs: median (and range) of the runs' medians |\n| --- | --- |")
        for kind, values in everything["trips"].items():
            print(f"| {WORDS[kind]} | {_range(values)} |")
    if "slow" in parts:
        everything["slow"] = slow(options.schemes, rounds, seconds)
        print(
            f"\n| transport | share of their rate that {CONNECTIONS} keep beside one that never reads |\n| --- | --- |"
        )
        for scheme, values in everything["slow"].items():
            print(f"| {scheme} | {_range(values)} |")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    return 0


def _has_zmq() -> bool:
    try:
        __import__("zmq")
    except ImportError:
        print("pyzmq is not installed (pip install pyzmq): left out")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
